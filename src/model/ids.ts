// Identities: trace ids, tenants, blocks. Span ids stay bytes.
import { AppError } from "../util/errors.ts";
import { hexDigit, toHex } from "../util/hex.ts";

export const TRACE_ID_BYTES = 16;
export const SPAN_ID_BYTES = 8;

/** Tempo's name for the only tenant of an installation without tenancy. */
export const SINGLE_TENANT = "single-tenant";

/** Tempo's bound, in bytes, on what tenants may be called. */
const MAX_TENANT_BYTES = 150;

/** As Go prints what it refuses. */
function quoted(text: string): string {
  return `'${text}'`;
}

/**
 * A tenant id as Tempo takes it: 1 to 150 letters, digits and `! - _ . * ' ( )`, not `.` or `..`. So it is safe in an
 * object key, in an object's name and in a path.
 * @returns `text`
 * @throws AppError `invalid_argument` with Tempo's texts
 */
export function parseTenantId(text: string): string {
  if (text === "") throw new AppError("invalid_argument", "no org id");
  // Longer texts are not looked at; those within it are ASCII when they pass, so characters are bytes.
  if (text.length > MAX_TENANT_BYTES) {
    throw new AppError("invalid_argument", `tenant ID is too long: max ${MAX_TENANT_BYTES} characters`);
  }
  const bad = Array.from(text).find((char) => !/^[A-Za-z0-9!\-_.*'()]$/.test(char));
  if (bad !== undefined) {
    throw new AppError(
      "invalid_argument",
      `tenant ID ${quoted(text)} contains unsupported character ${quoted(bad)}`,
    );
  }
  if (text === "." || text === "..") throw new AppError("invalid_argument", "tenant ID is '.' or '..'");
  return text;
}

/**
 * Reads a trace id from a URL: hex, either case, an odd or short one is padded with zeros on the left.
 * @returns 16 bytes
 * @throws AppError `invalid_argument` with Tempo's texts: a character that is no hex digit, more than 32 digits
 */
export function parseTraceId(text: string): Uint8Array<ArrayBuffer> {
  const chars = Array.from(text);
  const bad = chars.findIndex((char) => char.length !== 1 || hexDigit(char.charCodeAt(0)) < 0);
  if (bad >= 0) {
    throw new AppError(
      "invalid_argument",
      `trace IDs can only contain hex characters: invalid character ${quoted(chars[bad] ?? "")} at position ${bad + 1}`,
    );
  }
  if (chars.length > 2 * TRACE_ID_BYTES) {
    throw new AppError("invalid_argument", "trace IDs can't be larger than 128 bits");
  }
  const padded = text.padStart(2 * TRACE_ID_BYTES, "0");
  const id = new Uint8Array(TRACE_ID_BYTES);
  for (let i = 0; i < TRACE_ID_BYTES; i++) {
    id[i] = (hexDigit(padded.charCodeAt(2 * i)) << 4) | hexDigit(padded.charCodeAt(2 * i + 1));
  }
  return id;
}

/** The trace id as 32 hex digits. */
export function formatTraceId(traceId: Uint8Array): string {
  return toHex(traceId);
}
