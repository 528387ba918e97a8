// What isolates tell an object of the requests that they saw, and what it tells those who ask. Never spans, never secrets.

/** Requests that were refused alike: one line of the doctor. Texts that others sent are cleaned (insight/clean.ts). */
export interface RefusedRequest {
  /** Of the fix table: insight/diagnose.ts. */
  readonly code: string;
  readonly method: string;
  readonly path: string;
  /** Of the answer. gRPC-Web's has none but 200: then that of the same refusal over HTTP. */
  readonly status: number;
  readonly reason: string;
  /** One sentence: what to do. */
  readonly fix: string;
  readonly contentType?: string | undefined;
  readonly contentEncoding?: string | undefined;
  readonly userAgent?: string | undefined;
  /** The token's id, of one that is known. */
  readonly token?: string | undefined;
  readonly count: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

/** The last batch of a protocol that was stored. */
export interface AcceptedBatch {
  /** Like `otlp/http protobuf`. */
  readonly protocol: string;
  readonly atMs: number;
  readonly spans: number;
  /** As sent. */
  readonly bodyBytes: number;
  readonly contentEncoding?: string | undefined;
  readonly userAgent?: string | undefined;
  readonly token?: string | undefined;
}

/** Batches that were stored since a time: the ratios are what counts, not every isolate's last minute is in it. */
export interface BatchSums {
  readonly requests: number;
  readonly spans: number;
  readonly bodyBytes: number;
  /** Milliseconds from a batch's newest span end to its arrival, least and most; negative is a span from the future. */
  readonly minDelayMs: number;
  readonly maxDelayMs: number;
}

/** What an isolate has seen since it told last. */
export interface InsightNote {
  readonly refused: readonly RefusedRequest[];
  /** One a protocol. */
  readonly accepted: readonly AcceptedBatch[];
  readonly batches?: BatchSums | undefined;
}

export interface InsightView extends InsightNote {
  /** Since when `batches` is counted. */
  readonly sinceMs: number;
  /** Requests that were refused, by code, since there is the object: only what is durable, so that it never becomes less. */
  readonly counts: Readonly<Record<string, number>>;
}

/** Methods of the objects that gather notes: a tenant's for what is its own, the Directory for what names no tenant. */
export interface InsightRpc {
  /**
   * What is told while the tenant is being deleted is forgotten.
   * @returns what a tenant's object counted, to be handed on (usage/usage-days.ts), as `TenantRpc.view` does
   */
  note(note: InsightNote): Promise<Uint8Array | undefined>;
  /** The newest refusals first, accepted batches by protocol. */
  insight(): Promise<InsightView>;
}
