// What must be found, told naively: which spans were sent, how often, and which were acknowledged.
import { hex, identity, sentSpans } from "../support/block-model.ts";
import type { Batch } from "./batches.ts";

interface ModelSpan {
  readonly traceId: string;
  /** The span's bytes with its resource and scope: equal for exact duplicates only. */
  readonly identity: string;
  /** Batches on the way or arrived that hold it: so many copies may be stored. */
  deliveries: number;
  isAcked: boolean;
}

export class Violation extends Error {}

function violated(what: string): never {
  throw new Violation(what);
}

export class Model {
  /** By span id. */
  readonly #spans = new Map<string, ModelSpan>();
  readonly #traces = new Map<string, string[]>();

  sent(batch: Batch): void {
    for (const sent of sentSpans([batch.raw])) {
      const spanId = hex(sent.span.spanId);
      const known = this.#spans.get(spanId);
      if (known !== undefined) {
        known.deliveries++;
        continue;
      }
      const traceId = hex(sent.span.traceId);
      this.#spans.set(spanId, { traceId, identity: identity(sent), deliveries: 1, isAcked: false });
      const ids = this.#traces.get(traceId);
      if (ids === undefined) this.#traces.set(traceId, [spanId]);
      else ids.push(spanId);
    }
  }

  acked(batch: Batch): void {
    for (const { spanId } of batch.spans) {
      const span = this.#spans.get(spanId);
      if (span !== undefined) span.isAcked = true;
    }
  }

  /** Ids of the trace's spans that are acknowledged by now. */
  ackedOf(traceId: string): ReadonlySet<string> {
    const ids = this.#traces.get(traceId) ?? [];
    return new Set(ids.filter((id) => this.#spans.get(id)?.isAcked === true));
  }

  get ackedCount(): number {
    return this.#spans.values().reduce((sum, { isAcked }) => sum + (isAcked ? 1 : 0), 0);
  }

  /**
   * Checks an answer: each span once at most, as it was sent and of this trace, and each of `must` there.
   * @param body TracesData
   */
  check(traceId: string, body: Uint8Array, must: ReadonlySet<string>): void {
    const found = new Set<string>();
    for (const sent of sentSpans([body])) {
      const spanId = hex(sent.span.spanId);
      const span = this.#spans.get(spanId);
      if (span === undefined) violated(`span ${spanId} was never sent`);
      if (span.traceId !== traceId) violated(`span ${spanId} is of another trace`);
      if (span.identity !== identity(sent)) violated(`span ${spanId} is not as it was sent`);
      if (found.has(spanId)) violated(`span ${spanId} is found twice`);
      found.add(spanId);
    }
    for (const spanId of must) {
      if (!found.has(spanId))
        violated(`span ${spanId} of trace ${traceId} was acknowledged and is not found`);
    }
  }

  /** Checks that no span is stored more often than it was delivered: duplicates come from senders only. */
  checkCopies(pieces: Iterable<Uint8Array>): void {
    const copies = new Map<string, number>();
    for (const sent of sentSpans(pieces)) {
      const spanId = hex(sent.span.spanId);
      copies.set(spanId, (copies.get(spanId) ?? 0) + 1);
    }
    for (const [spanId, count] of copies) {
      const deliveries = this.#spans.get(spanId)?.deliveries ?? 0;
      if (count > deliveries)
        violated(`span ${spanId} is stored ${count} times, delivered ${deliveries} times`);
    }
  }
}
