// What an isolate saw of requests, told to the object that gathers it: seldom, so that no request costs a call.
import type { AcceptedBatch, BatchSums, InsightNote, RefusedRequest } from "../store/insight-rpc.ts";
import type { Clock } from "../util/clock.ts";
import { Accepted, Refusals, sumOf } from "./notes.ts";

/** Between two notes of one isolate about one tenant. */
export const NOTE_EVERY_MS = 10_000;
/** Likewise when there is nothing new to tell: the same senders, accepted or refused for the same reasons. */
export const RENEW_EVERY_MS = 300_000;
/** Lines of a note, of some 400 bytes. */
const REFUSALS_MAX = 20;
/** Tenants in memory: what of the one that was silent longest is untold is given up. */
const TARGETS_MAX = 1_000;

/** Whom a note is for: a tenant, or, where a request names none that is known, the installation. */
export type Target = string | undefined;

export interface ReporterPorts {
  readonly send: (target: Target, note: InsightNote) => Promise<void>;
  readonly clock: Clock;
  /** Keeps a call going when the request that made it has been answered. */
  readonly keepAlive: (call: Promise<unknown>) => void;
  readonly sleep: (ms: number) => Promise<unknown>;
}

/** What cannot be told is given up: the next note tells of what comes then. */
function lost(call: Promise<unknown>): Promise<unknown> {
  return call.catch(() => undefined);
}

interface Pending {
  readonly refused: Refusals;
  accepted: Accepted;
  batches: BatchSums | undefined;
  /** Lines that were told: one more like them is no news. */
  readonly told: Refusals;
  readonly toldBatches: Accepted;
  sentMs: number;
  /** When a note that waits goes; a request that the runtime has ended does not send it, so another one may. */
  waitsUntilMs: number;
}

export class InsightReporter {
  readonly #ports: ReporterPorts;
  /** The one told of last comes last. */
  readonly #pending = new Map<Target, Pending>();

  constructor(ports: ReporterPorts) {
    this.#ports = ports;
  }

  refused(target: Target, refused: RefusedRequest): void {
    const pending = this.#of(target);
    pending.refused.add(refused);
    this.#tell(target, pending, !pending.told.has(refused));
  }

  accepted(target: Target, batch: AcceptedBatch, delayMs: number): void {
    const pending = this.#of(target);
    const before = pending.toldBatches.get(batch.protocol);
    pending.accepted.add(batch);
    pending.batches = sumOf(pending.batches, {
      requests: 1,
      spans: batch.spans,
      bodyBytes: batch.bodyBytes,
      minDelayMs: delayMs,
      maxDelayMs: delayMs,
    });
    this.#tell(target, pending, before === undefined || before.userAgent !== batch.userAgent);
  }

  /** Tells now what has not been told. @throws what the call throws */
  async flush(target: Target): Promise<void> {
    const pending = this.#pending.get(target);
    if (pending !== undefined) await this.#send(target, pending);
  }

  /** A note goes at once, or when the time since the last one is over; without news the next request after that takes it. */
  #tell(target: Target, pending: Pending, isNews: boolean): void {
    const now = this.#ports.clock.now();
    const sinceMs = now - pending.sentMs;
    const { keepAlive, sleep } = this.#ports;
    if (sinceMs < 0 || sinceMs >= (isNews ? NOTE_EVERY_MS : RENEW_EVERY_MS)) {
      pending.sentMs = now;
      // What the same request has to tell besides goes along.
      return keepAlive(lost(Promise.resolve().then(() => this.#send(target, pending))));
    }
    const isWaiting = pending.waitsUntilMs >= now && pending.waitsUntilMs <= now + NOTE_EVERY_MS;
    if (!isNews || isWaiting) return;
    const waitMs = NOTE_EVERY_MS - sinceMs;
    pending.waitsUntilMs = now + waitMs;
    keepAlive(lost(sleep(waitMs).then(() => this.#send(target, pending))));
  }

  async #send(target: Target, pending: Pending): Promise<void> {
    const { batches } = pending;
    const accepted = pending.accepted.all();
    if (pending.refused.isEmpty && accepted.length === 0) return;
    const refused = pending.refused.take();
    pending.accepted = new Accepted();
    pending.batches = undefined;
    pending.sentMs = this.#ports.clock.now();
    for (const line of refused) pending.told.add(line);
    for (const batch of accepted) pending.toldBatches.add(batch);
    await this.#ports.send(target, { refused, accepted, batches });
  }

  #of(target: Target): Pending {
    const pending = this.#pending.get(target) ?? {
      refused: new Refusals(REFUSALS_MAX),
      accepted: new Accepted(),
      batches: undefined,
      told: new Refusals(REFUSALS_MAX),
      toldBatches: new Accepted(),
      sentMs: Number.NEGATIVE_INFINITY,
      waitsUntilMs: Number.NEGATIVE_INFINITY,
    };
    this.#pending.delete(target);
    this.#pending.set(target, pending);
    for (const oldest of this.#pending.keys()) {
      if (this.#pending.size <= TARGETS_MAX) break;
      this.#pending.delete(oldest);
    }
    return pending;
  }
}
