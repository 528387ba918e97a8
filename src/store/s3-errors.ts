// What an S3-compatible server's refusals mean here. Texts hold the server's error code, never its message, which
// may repeat the request's signature, nor any variable's value.
import { AppError } from "../util/errors.ts";
import type { XmlElement } from "./s3-xml.ts";
import { childText } from "./s3-xml.ts";

export interface S3Failure {
  readonly status: number;
  /** The `Code` of the answer's XML; undefined when there was none, or none that is safe to print. */
  readonly code: string | undefined;
  readonly requestId: string | undefined;
  readonly retryAfterMs: number | undefined;
}

/** What the operator should look at, by error code. */
const ADVICE: ReadonlyMap<string, string> = new Map([
  ["SignatureDoesNotMatch", "check S3_SECRET_ACCESS_KEY and S3_REGION"],
  ["InvalidAccessKeyId", "check S3_ACCESS_KEY_ID"],
  // versitygw's word for it.
  ["XAdminUserNotFound", "check S3_ACCESS_KEY_ID"],
  ["InvalidToken", "check S3_SESSION_TOKEN"],
  ["ExpiredToken", "S3_SESSION_TOKEN has expired"],
  ["AuthorizationHeaderMalformed", "check S3_REGION"],
  ["InvalidRegionName", "check S3_REGION"],
  ["NoSuchBucket", "check S3_BUCKET"],
  ["InvalidBucketName", "check S3_BUCKET and S3_ADDRESSING"],
  ["RequestTimeTooSkewed", "the clocks of the server and of this machine differ too much"],
  [
    "AccessDenied",
    "the key S3_ACCESS_KEY_ID must be allowed to get, put, delete and list objects of S3_BUCKET",
  ],
]);

/** Codes with a status of 400 or 409 that a repetition cures: a damaged or slow upload, two writers at once. */
const PASSING = new Set([
  "BadDigest",
  "XAmzContentSHA256Mismatch",
  "IncompleteBody",
  "RequestTimeout",
  "OperationAborted",
  "ConditionalRequestConflict",
  // The parts of an upload are gone, aborted by a lifecycle rule: the job begins anew.
  "NoSuchUpload",
  // In answers that have the status 200 of their beginning.
  "InternalError",
  "SlowDown",
  "ServiceUnavailable",
]);

const PASSING_STATUS = new Set([408, 425, 429, 500, 502, 503, 504]);

function adviceFor({ status, code }: S3Failure): string {
  const byCode = ADVICE.get(code ?? "");
  if (byCode !== undefined) return byCode;
  if (status === 401 || status === 403)
    return "check S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY and their permissions";
  // Signed requests are for one host: following elsewhere would show the key id and cannot succeed.
  if (status >= 300 && status < 400) return "redirected: check S3_ENDPOINT, S3_REGION and S3_ADDRESSING";
  return code === undefined || status === 404 ? "check S3_ENDPOINT" : "which Rubato does not expect";
}

/** The error code in an `Error` element. Servers are not trusted with the text of logs. */
export function codeIn(error: XmlElement): string | undefined {
  const code = childText(error, "Code") ?? "";
  return /^\w{1,64}$/.test(code) ? code : undefined;
}

/** A failure that an answer with status 200 holds. */
export function failureIn(error: XmlElement): S3Failure {
  return { status: 200, code: codeIn(error), requestId: undefined, retryAfterMs: undefined };
}

/** @param what the action and its object, as in "put of key" */
export function s3Error(what: string, failure: S3Failure): AppError {
  const { status, code, requestId, retryAfterMs } = failure;
  const answer = `${what}: answer ${status}${code === undefined ? "" : ` ${code}`}`;
  const place = requestId === undefined ? "" : ` (request ${requestId})`;
  if (PASSING_STATUS.has(status) || PASSING.has(code ?? "")) {
    const options = retryAfterMs === undefined ? {} : { retryAfterMs };
    return new AppError("unavailable", `${answer}${place}`, options);
  }
  return new AppError("internal", `${answer}, ${adviceFor(failure)}${place}`);
}

// Nobody waits longer than this on a server's word; flushes have their own back-off.
const RETRY_AFTER_MAX_MS = 10 * 60_000;

/** Retry-After in milliseconds: seconds, as all stores send it. A date or nonsense is undefined. */
export function retryAfterOf(header: string | null): number | undefined {
  if (header === null || !/^\s*\d{1,9}\s*$/.test(header)) return undefined;
  return Math.min(Number(header) * 1000, RETRY_AFTER_MAX_MS);
}
