// The state machine behind a TraceShard object: buffer, flush, catalogue. Everything outside comes through ports.
import type { Limits } from "../model/limits.ts";
import { decodeHead } from "../segment/frame.ts";
import type { ObjectStore } from "../store/object-store.ts";
import type { AppendBatch, AppendResult, FindTraceReply, ShardStats, TickReport } from "../store/rpc.ts";
import { exactBytes } from "../util/bytes.ts";
import type { Clock } from "../util/clock.ts";
import { AppError, messageOf } from "../util/errors.ts";
import { Catalogue } from "./catalogue.ts";
import type { ParsedFrame } from "./epochs.ts";
import { Epochs } from "./epochs.ts";
import { findLive } from "./find-live.ts";
import { flushEpoch } from "./flush.ts";
import { GroupCommit } from "./group-commit.ts";
import type { BlockTail, ShardStorage } from "./storage.ts";

export interface ShardPorts {
  readonly storage: ShardStorage;
  readonly objects: ObjectStore;
  readonly clock: Clock;
  /** Lets calls that wait run, then goes on. */
  readonly pause: () => Promise<void>;
  readonly sleep: (ms: number) => Promise<void>;
}

export interface ShardIdentity {
  readonly tenant: string;
  readonly shard: number;
}

const RETRY_QUEUE_MS = 1_000;
const RETRY_UNFLUSHED_MS = 5_000;
const FLUSH_BACKOFF_MIN_MS = 1_000;
const FLUSH_BACKOFF_MAX_MS = 60_000;
// An alarm that is late by more than this does not come any more.
const ALARM_LOST_MS = 60_000;
// A stream that still reads epochs delays their drop, by this much in all; one that is slower loses its source and ends
// in an error. So a reader that vanished keeps no row of epochs from being flushed.
const HOLD_MAX_MS = 60_000;
const HOLD_POLL_MS = 250;

/**
 * Buffer, flush and catalogue of one shard. Not durable by itself: built anew from storage after each eviction.
 * The alarm is set once when an epoch opens and once when it is cut by size.
 */
export class Shard {
  readonly #identity: ShardIdentity;
  readonly #limits: Limits;
  readonly #ports: ShardPorts;
  readonly #epochs: Epochs;
  readonly #catalogue: Catalogue;
  readonly #commits: GroupCommit<ParsedFrame>;
  #alarmAt: number | null;
  #flushFailures = 0;
  #appends = 0;
  #ticking: Promise<unknown> = Promise.resolve();

  /** @param alarmAt the alarm that is set in storage, if any */
  constructor(identity: ShardIdentity, limits: Limits, ports: ShardPorts, alarmAt: number | null) {
    this.#identity = identity;
    this.#limits = limits;
    this.#ports = ports;
    this.#epochs = new Epochs(ports.storage, limits, ports.clock.now());
    this.#catalogue = new Catalogue(ports.storage);
    this.#commits = new GroupCommit({
      maxGroupBytes: limits.maxRowBytes,
      gather: ports.pause,
      commit: (frames) => this.#commit(frames),
    });
    this.#alarmAt = alarmAt;
    this.#arm();
  }

  /** Resolves once the batch is durable and readable, or says why not and when to try again. */
  async append(batch: AppendBatch): Promise<AppendResult> {
    const parsed = decodeHead(batch.head);
    if (parsed.bodyLength !== batch.body.length) {
      throw new AppError("internal", `frame has ${batch.body.length} of ${parsed.bodyLength} bytes`);
    }
    const refusal = this.#refusal(batch.head.length + batch.body.length, parsed.rawLength);
    if (refusal !== undefined) return refusal;
    const frame: ParsedFrame = { head: batch.head, body: batch.body, parsed };
    try {
      await this.#commits.submit(frame, frame.head.length + frame.body.length);
      this.#appends++;
      return { ok: true };
    } catch (error) {
      const message = `storage refused the batch: ${messageOf(error)}`;
      return { ok: false, kind: "unavailable", message, retryAfterMs: RETRY_UNFLUSHED_MS };
    }
  }

  /** Live spans and block references of one moment. @param traceId 16 bytes */
  findTrace(traceId: Uint8Array): FindTraceReply {
    const live = findLive(this.#epochs, traceId, this.#limits.maxLiveReplyBytes);
    return { live, blocks: this.#catalogue.find(traceId) };
  }

  /** Flushes every epoch that is due at `nowMs`. Never throws for a failed flush: the alarm is set again. */
  async tick(nowMs: number): Promise<TickReport> {
    const ran = this.#ticking.then(() => this.#tick(nowMs));
    this.#ticking = ran.catch(() => undefined);
    return ran;
  }

  stats(): ShardStats {
    return {
      liveSpans: this.#epochs.spanCount,
      liveBytes: this.#epochs.rawBytes,
      epochs: this.#epochs.count,
      blocks: this.#catalogue.count,
      rowsWritten: this.#ports.storage.rowsWritten(),
      appends: this.#appends,
    };
  }

  #refusal(bytes: number, rawBytes: number): AppendResult | undefined {
    const { maxQueuedBytes, maxUnflushedBytes } = this.#limits;
    if (this.#commits.queuedBytes + bytes > maxQueuedBytes) {
      const message = `shard is overloaded: more than ${maxQueuedBytes} bytes wait to be stored`;
      return { ok: false, kind: "unavailable", message, retryAfterMs: RETRY_QUEUE_MS };
    }
    if (this.#epochs.count > 0 && this.#epochs.rawBytes + rawBytes > maxUnflushedBytes) {
      // Refused calls are then the only ones that come: they notice, too, when the alarm does not.
      this.#arm();
      const message = `more than ${maxUnflushedBytes} bytes of spans wait to be written to blocks`;
      return { ok: false, kind: "rate_limited", message, retryAfterMs: RETRY_UNFLUSHED_MS };
    }
    return undefined;
  }

  async #commit(frames: readonly ParsedFrame[]): Promise<void> {
    this.#epochs.append(frames, this.#ports.clock.now());
    this.#arm();
    await this.#ports.storage.sync();
  }

  /**
   * Sets the alarm for the next due epoch, after failed flushes with back-off. One that is set and earlier is left: it
   * finds nothing due. The runtime drops an alarm after six failures of its own; ours goes on for as long as there is
   * data.
   */
  #arm(): void {
    const now = this.#ports.clock.now();
    const due = this.#epochs.nextDue(now);
    if (due === undefined) return;
    const at = Math.max(due, now + this.#backoffMs());
    const isSet = this.#alarmAt !== null && this.#alarmAt <= at && this.#alarmAt > now - ALARM_LOST_MS;
    if (!isSet) this.#setAlarm(at);
  }

  #backoffMs(): number {
    if (this.#flushFailures === 0) return 0;
    return Math.min(FLUSH_BACKOFF_MAX_MS, FLUSH_BACKOFF_MIN_MS * 2 ** (this.#flushFailures - 1));
  }

  #setAlarm(at: number): void {
    this.#alarmAt = at;
    this.#ports.storage.setAlarm(at);
  }

  async #tick(nowMs: number): Promise<TickReport> {
    this.#alarmAt = null;
    let flushedBlocks = 0;
    let flushedSpans = 0;
    let error: string | undefined;
    for (const epoch of this.#epochs.due(nowMs)) {
      const spans = this.#epochs.spanCountOf(epoch);
      try {
        await this.#flush(epoch);
        flushedBlocks++;
        flushedSpans += spans;
      } catch (failure) {
        error ??= messageOf(failure);
      }
    }
    this.#flushFailures = error === undefined ? 0 : this.#flushFailures + 1;
    this.#arm();
    return { flushedBlocks, flushedSpans, ...(error === undefined ? {} : { error }) };
  }

  async #flush(epoch: number): Promise<void> {
    this.#epochs.cut(epoch);
    const { tenant, shard } = this.#identity;
    const { objects, pause, sleep, storage } = this.#ports;
    // A repeated flush, after a crash too, must find the same spans: the object it writes is then the same.
    await storage.sync();
    const { block, tail } = await flushEpoch({ tenant, shard, epochs: this.#epochs, objects, pause }, epoch);
    // Nothing is awaited between the last look for readers and the drop of what they read.
    while (this.#epochs.isHeld(epoch, HOLD_MAX_MS)) {
      await sleep(HOLD_POLL_MS);
      this.#epochs.noteWait(epoch, HOLD_POLL_MS);
    }
    storage.commitBlock(epoch, block, tail);
    this.#catalogue.add(block, exactTail(tail));
    this.#epochs.forget(epoch);
    await storage.sync();
  }
}

/** Copies without the writer's larger buffers behind them, since the catalogue keeps them in memory. */
function exactTail(tail: BlockTail): BlockTail {
  return {
    filter: exactBytes(tail.filter),
    traceIndex: exactBytes(tail.traceIndex),
    resources: exactBytes(tail.resources),
  };
}
