// The token that a request brings: in one of three headers, never in its address.
import { AppError } from "../util/errors.ts";

// A token has 195 characters at most, the admin secret is its operator's choice.
const MAX_CHARS = 1024;

/**
 * The token: `Authorization: Bearer`, `Authorization: Basic` with any user and the token as password, or `X-Api-Key`.
 * @returns undefined when there is none
 * @throws AppError `unauthenticated` for a header of another form, or two tokens that differ
 */
export function readCredentials(headers: Headers): string | undefined {
  const authorization = headers.get("authorization");
  const apiKey = headers.get("x-api-key");
  const tokens = [
    ...(authorization === null ? [] : [fromAuthorization(authorization)]),
    ...(apiKey === null ? [] : [oneWord(apiKey, "X-Api-Key: <token>")]),
  ];
  const [first, second = first] = tokens;
  if (first !== second) {
    throw new AppError("unauthenticated", "Authorization and X-Api-Key bring two different tokens");
  }
  return first;
}

function fromAuthorization(header: string): string {
  const [, scheme = "", rest = ""] = /^ *([A-Za-z]+) +(.*)$/.exec(header.slice(0, 2 * MAX_CHARS)) ?? [];
  switch (scheme.toLowerCase()) {
    case "bearer":
      return oneWord(rest, "Authorization: Bearer <token>");
    case "basic":
      return oneWord(passwordOf(rest.trim()), "Authorization: Basic with the token as password");
    default:
      throw malformed("Authorization: Bearer <token>");
  }
}

/** What stands behind the first colon of the decoded user and password. */
function passwordOf(base64: string): string {
  let decoded: string;
  try {
    decoded = atob(base64);
  } catch {
    throw malformed("Authorization: Basic with the token as password");
  }
  return decoded.slice(decoded.indexOf(":") + 1);
}

/** Repeated headers arrive as one, with a comma between: no token holds one. */
function oneWord(text: string, form: string): string {
  const word = text.trim();
  if (word === "" || word.length > MAX_CHARS || /[\s,]/.test(word)) throw malformed(form);
  return word;
}

function malformed(form: string): AppError {
  return new AppError("unauthenticated", `the request brings no token; it is sent as ${form}`);
}
