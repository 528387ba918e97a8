// Joining what was seen: the same by isolates, which tell of it, and by the objects that gather what they tell.
import type { AcceptedBatch, BatchSums, RefusedRequest } from "../store/insight-rpc.ts";

/** What two refusals have in common that are one line. */
function keyOf(refused: RefusedRequest): string {
  const { code, method, path, status, token, contentType, contentEncoding, userAgent } = refused;
  return JSON.stringify([code, method, path, status, token, contentType, contentEncoding, userAgent]);
}

/** Refusals by what they have in common, `max` at most: the one that was seen last stays longest. */
export class Refusals {
  readonly #max: number;
  readonly #byKey = new Map<string, RefusedRequest>();

  constructor(max: number) {
    this.#max = max;
  }

  get isEmpty(): boolean {
    return this.#byKey.size === 0;
  }

  /** @returns whether there was none like it */
  add(refused: RefusedRequest): boolean {
    const key = keyOf(refused);
    const known = this.#byKey.get(key);
    this.#byKey.delete(key);
    this.#byKey.set(key, known === undefined ? refused : joined(known, refused));
    for (const oldest of this.#byKey.keys()) {
      if (this.#byKey.size <= this.#max) break;
      this.#byKey.delete(oldest);
    }
    return known === undefined;
  }

  has(refused: RefusedRequest): boolean {
    return this.#byKey.has(keyOf(refused));
  }

  /** The last one first. */
  newest(): RefusedRequest[] {
    return [...this.#byKey.values()].sort((a, b) => b.lastMs - a.lastMs);
  }

  take(): RefusedRequest[] {
    const all = [...this.#byKey.values()];
    this.#byKey.clear();
    return all;
  }
}

function joined(a: RefusedRequest, b: RefusedRequest): RefusedRequest {
  const last = b.lastMs >= a.lastMs ? b : a;
  return {
    ...last,
    count: a.count + b.count,
    firstMs: Math.min(a.firstMs, b.firstMs),
    lastMs: last.lastMs,
  };
}

/** The last batch of each protocol; protocols are a short list of ours. */
export class Accepted {
  readonly #byProtocol = new Map<string, AcceptedBatch>();

  add(batch: AcceptedBatch): void {
    const known = this.#byProtocol.get(batch.protocol);
    if (known === undefined || known.atMs <= batch.atMs) this.#byProtocol.set(batch.protocol, batch);
  }

  get(protocol: string): AcceptedBatch | undefined {
    return this.#byProtocol.get(protocol);
  }

  all(): AcceptedBatch[] {
    return [...this.#byProtocol.values()].sort((a, b) => (a.protocol < b.protocol ? -1 : 1));
  }
}

export function sumOf(a: BatchSums | undefined, b: BatchSums | undefined): BatchSums | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return {
    requests: a.requests + b.requests,
    spans: a.spans + b.spans,
    bodyBytes: a.bodyBytes + b.bodyBytes,
    minDelayMs: Math.min(a.minDelayMs, b.minDelayMs),
    maxDelayMs: Math.max(a.maxDelayMs, b.maxDelayMs),
  };
}
