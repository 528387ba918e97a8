// Access tokens: what they look like, what is kept of them, what they allow.
import { AppError } from "../util/errors.ts";
import { toHex } from "../util/hex.ts";
import { parseTenantId } from "./ids.ts";
import { TOKEN_LIMIT_FIELDS, type TokenLimits, wrongOverride } from "./tenant-limits.ts";

/** `ingest` sends spans, `read` asks for them, `admin` looks after its tenants, `metrics` scrapes `/metrics`. */
export const SCOPES = ["ingest", "read", "admin", "metrics"] as const;
export type Scope = (typeof SCOPES)[number];

/** In a token's list of tenants: every tenant there is. */
export const ALL_TENANTS = "*";

/** A token as it is kept: never itself, only its hash. */
export interface TokenRecord {
  /** The beginning of the hash, 12 hex digits: names the token where it can be seen. */
  readonly id: string;
  /** SHA-256 of the token's text, 64 hex digits. */
  readonly hash: string;
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** Tenants that it may act for besides its own. */
  readonly tenants: readonly string[];
  /** A browser key's: pages of these origins may use it, nobody else. Empty: it is no browser key. */
  readonly origins: readonly string[];
  readonly createdMs: number;
  readonly expiresMs?: number | undefined;
  /** Rates of its own, within its tenant's. */
  readonly limits?: TokenLimits | undefined;
}

/** What is asked for when a token is made. */
export type TokenRequest = Omit<TokenRecord, "id" | "hash" | "createdMs">;

const PREFIX = "rbt_";
/** 160 bits of chance. */
const SECRET_BYTES = 20;
/** Longer texts are not looked at: a tenant's id has 150 bytes at most. */
const MAX_TOKEN_CHARS = PREFIX.length + 150 + 1 + 2 * SECRET_BYTES;
const ID_CHARS = 12;
const MAX_NAME_CHARS = 100;
const MAX_LIST = 100;

/** A token of a tenant. @param secret 20 bytes of chance */
export function formatToken(tenant: string, secret: Uint8Array): string {
  return `${PREFIX}${tenant}_${toHex(secret)}`;
}

/** The tenant that a token names; undefined when the text is no token. Whether it is known is another question. */
export function tenantOfToken(text: string): string | undefined {
  if (text.length > MAX_TOKEN_CHARS) return undefined;
  const [, tenant = ""] = /^rbt_(.+)_[0-9a-f]{40}$/.exec(text) ?? [];
  try {
    return parseTenantId(tenant);
  } catch {
    return undefined;
  }
}

/** SHA-256 of a text, as 64 hex digits. */
export async function hashText(text: string): Promise<string> {
  return toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))));
}

/** The name of the token with this hash. */
export function tokenId(hash: string): string {
  return hash.slice(0, ID_CHARS);
}

/** A new token and what is kept of it. The text is shown once. */
export async function makeToken(
  tenant: string,
  request: TokenRequest,
  nowMs: number,
): Promise<{ readonly text: string; readonly record: TokenRecord }> {
  const text = formatToken(tenant, crypto.getRandomValues(new Uint8Array(SECRET_BYTES)));
  const hash = await hashText(text);
  return { text, record: { ...request, id: tokenId(hash), hash, createdMs: nowMs } };
}

/** Whether two hashes are the same, in a time that says nothing of where they differ. */
export function isSameHash(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
}

/** @throws AppError `invalid_argument` when no token may be like this */
export function checkTokenRequest(request: TokenRequest, nowMs: number): void {
  const { name, scopes, tenants, origins, expiresMs } = request;
  if (name === "" || name.length > MAX_NAME_CHARS) {
    throw invalid(`a token's name has 1 to ${MAX_NAME_CHARS} characters`);
  }
  if (scopes.length === 0) throw invalid(`a token needs a scope: ${SCOPES.join(", ")}`);
  if (tenants.length > MAX_LIST || origins.length > MAX_LIST) {
    throw invalid(`a token lists at most ${MAX_LIST} tenants and ${MAX_LIST} origins`);
  }
  for (const tenant of tenants) if (tenant !== ALL_TENANTS) parseTenantId(tenant);
  for (const origin of origins) checkOrigin(origin);
  if (origins.length > 0 && (scopes.some((scope) => scope !== "ingest") || tenants.length > 0)) {
    throw invalid(
      "a browser key, which is bound to origins, has the scope ingest alone and no other tenants",
    );
  }
  checkRates(request.limits);
  if (expiresMs !== undefined && !(expiresMs > nowMs)) throw invalid("a token expires in the future");
}

function checkRates(limits: TokenLimits = {}): void {
  const wrong = wrongOverride(limits, TOKEN_LIMIT_FIELDS);
  if (wrong !== undefined) throw invalid(wrong);
}

function checkOrigin(origin: string): void {
  if (!URL.canParse(origin) || new URL(origin).origin !== origin) {
    throw invalid(`an origin is like https://example.com, not ${JSON.stringify(origin)}`);
  }
}

function invalid(message: string): AppError {
  return new AppError("invalid_argument", message);
}
