// What must be found, told naively: which spans were sent, how often, which were acknowledged, and until when they are kept.
import { hex, identity, sentSpans } from "../support/block-model.ts";
import type { Batch } from "./batches.ts";

interface ModelSpan {
  readonly traceId: string;
  /** The span's bytes with its resource and scope: equal for exact duplicates only. */
  readonly identity: string;
  /** Batches on the way or arrived that hold it: so many copies may be stored. */
  deliveries: number;
  /** Of these, those that still may arrive. */
  onTheWay: number;
  isAcked: boolean;
  /** No block that holds it begins its retention before, in ms. */
  arrivedMs: number;
  /** Retention or deletion may have taken it. */
  mayBeGone: boolean;
  /** It was looked for and not found, after it might be gone: it must not come back. */
  isGone: boolean;
}

export class Violation extends Error {}

function violated(what: string): never {
  throw new Violation(what);
}

export interface Expectation {
  /** Ids of spans that must be there. */
  readonly must: ReadonlySet<string>;
  /** Nothing is hidden for the moment. */
  readonly isWhole: boolean;
  /** What is absent now stays so: everything is durable. */
  readonly isLasting: boolean;
}

export class Model {
  /** By span id. */
  readonly #spans = new Map<string, ModelSpan>();
  readonly #traces = new Map<string, string[]>();
  #latestMs = 0;
  #retentionMs = Infinity;
  /** Everything is being deleted: nothing needs to be found that is acknowledged meanwhile. */
  isDeleting = false;

  sent(batch: Batch): void {
    for (const sent of sentSpans([batch.raw])) {
      const spanId = hex(sent.span.spanId);
      const known = this.#spans.get(spanId);
      if (known !== undefined) {
        known.deliveries++;
        known.onTheWay++;
        known.isGone = false;
        continue;
      }
      const traceId = hex(sent.span.traceId);
      this.#spans.set(spanId, {
        traceId,
        identity: identity(sent),
        deliveries: 1,
        onTheWay: 1,
        isAcked: false,
        arrivedMs: -Infinity,
        mayBeGone: false,
        isGone: false,
      });
      const ids = this.#traces.get(traceId);
      if (ids === undefined) this.#traces.set(traceId, [spanId]);
      else ids.push(spanId);
    }
  }

  /**
   * Rows are lost, those of retention too. A merge that came to nothing as retention took one of its inputs may have left
   * its output, which a rebuild takes as a whole: what was too old stays for as long as the block.
   */
  noteLoss(): void {
    for (const span of this.#spans.values()) span.isGone &&= span.deliveries === 0;
  }

  /** Whether a span of the trace was ever sent. */
  knows(traceId: string): boolean {
    return this.#traces.has(traceId);
  }

  #spansOf(batch: Batch): ModelSpan[] {
    return batch.spans.flatMap(({ spanId }) => this.#spans.get(spanId) ?? []);
  }

  /** The delivery has come to an end: nothing of it arrives later. */
  ended(batch: Batch): void {
    for (const span of this.#spansOf(batch)) span.onTheWay--;
  }

  /** @param arrivedMs the earliest that its blocks may take for the time of its arrival */
  acked(batch: Batch, arrivedMs: number): void {
    for (const span of this.#spansOf(batch)) {
      if (this.isDeleting) continue;
      // What is gone already does not stay because of this delivery if that one is as old.
      span.arrivedMs = Math.max(span.arrivedMs, arrivedMs);
      span.mayBeGone = this.#isOver(span);
      span.isAcked = true;
    }
  }

  /** @param latestMs the latest that any clock has shown @param retentionMs the shortest that may be in force */
  setTime(latestMs: number, retentionMs: number): void {
    if (retentionMs > this.#retentionMs) this.#noteOver();
    this.#latestMs = latestMs;
    this.#retentionMs = retentionMs;
  }

  #isOver({ arrivedMs }: ModelSpan): boolean {
    return arrivedMs + this.#retentionMs < this.#latestMs;
  }

  #noteOver(): void {
    for (const span of this.#spans.values()) span.mayBeGone ||= this.#isOver(span);
  }

  beginDeletion(): void {
    this.isDeleting = true;
    for (const span of this.#spans.values()) span.mayBeGone = true;
  }

  /** Nothing is left of what has arrived. */
  endDeletion(): void {
    this.isDeleting = false;
    for (const span of this.#spans.values()) {
      span.isAcked = false;
      span.isGone = span.onTheWay === 0;
      span.deliveries = span.onTheWay;
    }
  }

  /** Ids of the trace's spans that are acknowledged by now and must be found. */
  mustFind(traceId: string): ReadonlySet<string> {
    const ids = this.#traces.get(traceId) ?? [];
    return new Set(
      ids.filter((id) => {
        const span = this.#spans.get(id);
        return span?.isAcked === true && !span.mayBeGone && !this.#isOver(span);
      }),
    );
  }

  get ackedCount(): number {
    return this.#spans.values().reduce((sum, { isAcked }) => sum + (isAcked ? 1 : 0), 0);
  }

  /**
   * Checks an answer: each span once at most, as it was sent and of this trace, and each of `must` there.
   * @param body TracesData
   */
  check(traceId: string, body: Uint8Array, { must, isWhole, isLasting }: Expectation): void {
    const found = new Set<string>();
    for (const sent of sentSpans([body])) {
      const spanId = hex(sent.span.spanId);
      const span = this.#spans.get(spanId);
      if (span === undefined) violated(`span ${spanId} was never sent`);
      if (span.traceId !== traceId) violated(`span ${spanId} is of another trace`);
      if (span.identity !== identity(sent)) violated(`span ${spanId} is not as it was sent`);
      if (found.has(spanId)) violated(`span ${spanId} is found twice`);
      // What a shorter retention took may be found again by a rebuild under a longer one.
      const isGoneForGood = span.isGone && (span.deliveries === 0 || this.#isOver(span));
      if (isWhole && isGoneForGood) violated(`span ${spanId} of trace ${traceId} was gone and is back`);
      found.add(spanId);
    }
    for (const spanId of must) {
      if (!found.has(spanId))
        violated(`span ${spanId} of trace ${traceId} was acknowledged and is not found`);
    }
    // A deletion that has begun may be forgotten by a shard that crashes, and begins again.
    if (isWhole && isLasting && !this.isDeleting) this.#noteAbsent(traceId, found);
  }

  #noteAbsent(traceId: string, found: ReadonlySet<string>): void {
    for (const spanId of this.#traces.get(traceId) ?? []) {
      const span = this.#spans.get(spanId);
      if (span === undefined || found.has(spanId) || span.onTheWay > 0) continue;
      // One that was never acknowledged may come and go.
      span.isGone ||= span.isAcked && (span.mayBeGone || this.#isOver(span));
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
