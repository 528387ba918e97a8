// One table from error kind to HTTP and gRPC; the only place where an error becomes a response.
import type { ErrorKind } from "../util/errors.ts";
import { isAppError } from "../util/errors.ts";
import { logError } from "../util/log.ts";

const MAX_FRAMES = 12;

interface KindMapping {
  readonly status: 400 | 401 | 403 | 404 | 412 | 413 | 415 | 428 | 429 | 500 | 503;
  /** google.rpc.Code, for OTLP's error bodies. */
  readonly grpcCode: number;
}

const KINDS: Readonly<Record<ErrorKind, KindMapping>> = {
  invalid_argument: { status: 400, grpcCode: 3 },
  unauthenticated: { status: 401, grpcCode: 16 },
  forbidden: { status: 403, grpcCode: 7 },
  conflict: { status: 412, grpcCode: 10 },
  precondition_required: { status: 428, grpcCode: 9 },
  unsupported_media: { status: 415, grpcCode: 3 },
  not_found: { status: 404, grpcCode: 5 },
  too_large: { status: 413, grpcCode: 3 },
  rate_limited: { status: 429, grpcCode: 8 },
  unavailable: { status: 503, grpcCode: 14 },
  corrupt: { status: 500, grpcCode: 15 },
  internal: { status: 500, grpcCode: 13 },
};

export interface HttpError extends KindMapping {
  readonly message: string;
  readonly retryAfterMs: number | undefined;
  /** Of what could not be changed because it has another version. */
  readonly version: number | undefined;
}

/** How an error is told to the caller. What is no AppError is a bug, and told without its text. */
export function describeError(error: unknown): HttpError {
  if (!isAppError(error)) {
    return { ...KINDS.internal, message: "internal error", retryAfterMs: undefined, version: undefined };
  }
  const { kind, message, retryAfterMs, version } = error;
  return { ...KINDS[kind], message, retryAfterMs, version };
}

/** As `describeError`; faults of ours are logged. */
export function httpError(error: unknown): HttpError {
  if (!isAppError(error)) logError("unexpected error", faultFields(error));
  else if (error.kind === "corrupt" || error.kind === "internal") {
    logError("internal error", { kind: error.kind, reason: error.message });
  }
  return describeError(error);
}

/** Where it happened. What it says may quote spans: V8 puts the text that is no JSON into the message. */
function faultFields(error: unknown): Readonly<Record<string, string>> {
  if (!(error instanceof Error)) return { error: typeof error };
  const frames = (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  return {
    error: error.name,
    reason: error.message,
    stack: frames.slice(0, MAX_FRAMES).join("\n"),
  };
}

/** Whole seconds of a Retry-After header: rounded up, so that nobody comes back too early. */
export function retryAfterHeader(retryAfterMs: number | undefined): Record<string, string> {
  return retryAfterMs === undefined
    ? {}
    : { "retry-after": String(Math.max(1, Math.ceil(retryAfterMs / 1000))) };
}

/** What a 401 must say: how to do better. */
export function challengeHeader(status: number): Record<string, string> {
  return status === 401 ? { "www-authenticate": "Bearer" } : {};
}

/** The ETag of what has another version than the request thought. */
function versionHeader(version: number | undefined): Record<string, string> {
  return version === undefined ? {} : { etag: `"${version}"` };
}

/** The answer of the admin API: what was wrong, for people and for programs. */
export function jsonErrorResponse(error: unknown): Response {
  const { status, message, retryAfterMs, version } = httpError(error);
  const kind: ErrorKind = isAppError(error) ? error.kind : "internal";
  return Response.json(
    { error: { kind, message } },
    {
      status,
      headers: { ...retryAfterHeader(retryAfterMs), ...challengeHeader(status), ...versionHeader(version) },
    },
  );
}

/** The plain-text answer of the query API: a short reason and a newline, as Tempo's. */
export function errorResponse(error: unknown): Response {
  const { status, message, retryAfterMs, version } = httpError(error);
  return new Response(`${message}\n`, {
    status,
    headers: {
      "content-type": "text/plain; charset=utf-8",
      ...retryAfterHeader(retryAfterMs),
      ...challengeHeader(status),
      ...versionHeader(version),
    },
  });
}
