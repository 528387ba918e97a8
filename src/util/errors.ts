// The few kinds of failure that callers can act on. The HTTP form is made in http/errors.ts.

/**
 * What the caller should do:
 * `invalid_argument` fix the request; `unauthenticated` bring a token that is known; `forbidden` bring another one;
 * `conflict` look at what has changed and decide anew; `precondition_required` say which version is to be changed;
 * `unsupported_media` use another encoding; `not_found` look elsewhere;
 * `too_large` send less; `rate_limited` and `unavailable` retry later; `corrupt` stored bytes are wrong,
 * retrying is no use; `internal` a bug.
 */
export type ErrorKind =
  | "invalid_argument"
  | "unauthenticated"
  | "forbidden"
  | "conflict"
  | "precondition_required"
  | "unsupported_media"
  | "not_found"
  | "too_large"
  | "rate_limited"
  | "unavailable"
  | "corrupt"
  | "internal";

export interface AppErrorOptions {
  /** Milliseconds after which a retry makes sense; for `rate_limited` and `unavailable`. */
  readonly retryAfterMs?: number;
  /** For `conflict`: the version that there is. */
  readonly version?: number;
  readonly cause?: unknown;
}

/** The project's only error class. The message is lower case, has no trailing period and names the place. */
export class AppError extends Error {
  override readonly name = "AppError";
  readonly kind: ErrorKind;
  readonly retryAfterMs: number | undefined;
  readonly version: number | undefined;

  constructor(kind: ErrorKind, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.retryAfterMs = options.retryAfterMs;
    this.version = options.version;
  }
}

/** Tells an AppError by its name and kind: `instanceof` does not survive a call between Worker and object. */
export function isAppError(error: unknown): error is AppError {
  return error instanceof Error && error.name === "AppError" && "kind" in error;
}

/** The text of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
