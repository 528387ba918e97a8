// What a request brings as proof of who it is from: its form, never the proof.
import { readCredentials } from "../access/credentials.ts";
import { tenantOfToken } from "../model/token.ts";
import type { CredentialForm } from "./diagnose.ts";

export function credentialFormOf(headers: Headers): CredentialForm {
  const authorization = headers.get("authorization");
  if (authorization === null && headers.get("x-api-key") === null) return "none";
  try {
    const text = readCredentials(headers) ?? "";
    return tenantOfToken(text) === undefined ? "foreign" : "token";
  } catch {
    return authorization?.includes("%20") === true ? "escaped" : "unknown";
  }
}
