// What a route tells of its request beside the answer: for the doctor and the log.
import { type BodyLooks, looksOf } from "../insight/diagnose.ts";
import { type ErrorKind, isAppError } from "../util/errors.ts";
import type { Codec } from "../util/codec.ts";
import { type IngestResult, isRefused } from "../ingest/ingest.ts";
import { describeError } from "./errors.ts";

export interface Refusal {
  readonly status: number;
  readonly kind?: ErrorKind | undefined;
  readonly message: string;
}

/** Spans that were stored. */
export interface Stored {
  readonly protocol: string;
  readonly spans: number;
  /** As sent. */
  readonly bodyBytes: number;
  /** Latest end of a span in ms since 1970. */
  readonly newestEndMs: number;
}

export class RequestReport {
  #refusal: Refusal | undefined;
  #stored: Stored | undefined;
  #looks: BodyLooks | undefined;
  #token: { readonly home: string; readonly id: string } | undefined;

  get refusal(): Refusal | undefined {
    return this.#refusal;
  }

  get stored(): Stored | undefined {
    return this.#stored;
  }

  get looks(): BodyLooks | undefined {
    return this.#looks;
  }

  /** The token that the request brought, if it is a known one, whatever it may. */
  get token(): { readonly home: string; readonly id: string } | undefined {
    return this.#token;
  }

  knownToken(home: string, id: string): void {
    this.#token = { home, id };
  }

  /** An uncompressed body says by its first byte what it is. */
  body(codec: Codec, bytes: Uint8Array): void {
    if (codec === "raw") this.#looks = looksOf(bytes);
  }

  /** @param sent the body */
  ingested(protocol: string, sent: Uint8Array, result: IngestResult): void {
    const { acceptedSpans: spans, newestEndMs } = result;
    this.#stored = { protocol, spans, bodyBytes: sent.length, newestEndMs };
    // Where nothing was stored that should have been, it is an error, and told as one.
    if (result.message !== "" && !isRefused(result)) this.partial(result.message);
  }

  /** Spans were refused, the others were stored. */
  partial(message: string): void {
    this.#refusal = { status: 200, kind: "invalid_argument", message };
  }

  failed(error: unknown): void {
    const kind = isAppError(error) ? error.kind : "internal";
    const { status, message } = describeError(error);
    this.#refusal = { status, kind, message };
  }

  refused(refusal: Refusal): void {
    this.#refusal = refusal;
  }
}
