// The shard's buffer: epochs of segments, which one takes appends, which are due, who still reads them.
import type { FrameHead } from "../segment/frame.ts";
import { decodeHeads, openBody } from "../segment/frame.ts";
import type { StoredFrame } from "../segment/frame-stream.ts";
import type { FrameRef } from "../segment/live-index.ts";
import { LiveIndex } from "../segment/live-index.ts";
import type { Frame, PackedRows, SegmentRow } from "../segment/rows.ts";
import { packRows, readBody } from "../segment/rows.ts";
import { wholeSeconds } from "../store/catalogue.ts";
import type { LiveEpoch } from "../store/rpc.ts";
import type { ShardStorage } from "./storage.ts";
import type { Ride, UsageBook } from "./usage-book.ts";

/** A stream that reads epochs. */
interface Reader {
  /** How long flushes have waited for it, all in all. */
  waitedMs: number;
}

interface Epoch {
  readonly id: number;
  /** From when on its age counts, in ms: its id, or earlier if the clock has gone back since. */
  openedMs: number;
  readonly index: LiveIndex;
  /** Id of the last row, 0 before the first. */
  lastRow: number;
  /** Closed to appends: full, or being flushed. */
  cut: boolean;
  readonly readers: Set<Reader>;
}

export interface ParsedFrame extends Frame {
  readonly parsed: FrameHead;
  /** Shards that the tenant's spans are spread over. */
  readonly shardCount: number;
  /** Id of the token that it was sent with. */
  readonly token?: string | undefined;
}

/** What the epochs' rows have to do with. */
export interface EpochPorts {
  readonly storage: ShardStorage;
  /** Counts what is stored; rows carry its counts, and give them back after a restart. */
  readonly usage: Pick<UsageBook, "ride" | "restore">;
  /**
   * An epoch was opened, its first row is about to be written: what this does is part of the same commit, and its rows are
   * counted with it.
   */
  readonly onOpen: () => void;
  /** A stream begins to read; the returned function is called when it ends. */
  readonly onRead: () => () => void;
}

/** CREATE TABLE counts two rows. */
const TABLE_ROWS = 2;
/** Of a row's room, what counts may take: they ride with the next row rather than make two of one. */
const USAGE_SHARE = 0.25;

/** Part of its time that an epoch is young: with room for clocks that differ a little. */
const YOUNG = 0.9;

export interface EpochLimits {
  readonly flushBytes: number;
  readonly flushAgeMs: number;
  readonly maxRowBytes: number;
}

/** All epochs that are in no block yet. An epoch's id is the time it was opened, in ms, or the next that is free. */
export class Epochs {
  readonly #storage: ShardStorage;
  readonly #ports: EpochPorts;
  readonly #limits: EpochLimits;
  readonly #epochs: Epoch[] = [];

  /** Rebuilds the index from the heads in the storage. */
  constructor(ports: EpochPorts, limits: EpochLimits, nowMs: number) {
    this.#storage = ports.storage;
    this.#ports = ports;
    this.#limits = limits;
    for (const id of ports.storage.epochs()) this.#epochs.push(loadEpoch(ports, id, nowMs));
    // All but the newest were cut before the restart.
    const newest = this.#epochs.at(-1);
    for (const epoch of this.#epochs) epoch.cut = epoch !== newest || !this.#isYoung(epoch, nowMs);
  }

  get count(): number {
    return this.#epochs.length;
  }

  get spanCount(): number {
    return this.#epochs.reduce((sum, epoch) => sum + epoch.index.spanCount, 0);
  }

  /** Inflated bytes in no block yet. */
  get rawBytes(): number {
    return this.#epochs.reduce((sum, epoch) => sum + epoch.index.rawBytes, 0);
  }

  /** Traces in no block yet; one that has spans in two epochs is two. */
  get traceCount(): number {
    return this.#epochs.reduce((sum, epoch) => sum + epoch.index.traceCount, 0);
  }

  /** Whether spans of the trace would bring nothing new to the open epoch's index. */
  isOpen(hash: number): boolean {
    return this.#current()?.index.has(hash) ?? false;
  }

  /** Bytes of the spans of a trace that are in no block yet. */
  bytesOf(hash: number): number {
    return this.#epochs.reduce((sum, epoch) => sum + epoch.index.bytesOf(hash), 0);
  }

  spansOf(hash: number): number {
    return this.#epochs.reduce((sum, epoch) => sum + epoch.index.spansOf(hash), 0);
  }

  /**
   * Writes the frames, cutting the open epoch before it would pass `flushBytes`.
   * The frames are readable when this returns, durable after `storage.sync()`.
   */
  append(frames: readonly ParsedFrame[], nowMs: number): void {
    for (let at = 0; at < frames.length;) {
      const room = this.#limits.flushBytes - (this.#current()?.index.rawBytes ?? 0);
      const end = fitting(frames, at, room);
      if (end === at && this.#current() !== undefined) {
        this.cutOpen();
        continue;
      }
      const taken = frames.slice(at, Math.max(end, at + 1));
      this.#write(taken, nowMs);
      at += taken.length;
    }
  }

  /** An id for an epoch or a job: the time in ms, or the next that was never used. */
  nextId(nowMs: number): number {
    return Math.max(nowMs, Math.max(this.#storage.lastId(), this.#epochs.at(-1)?.id ?? 0) + 1);
  }

  has(id: number): boolean {
    return this.#epochs.some((epoch) => epoch.id === id);
  }

  /** Closes an epoch to appends. */
  cut(id: number): void {
    const epoch = this.#epochs.find((candidate) => candidate.id === id);
    if (epoch !== undefined) epoch.cut = true;
  }

  /** Closes the open epoch, if there is one: it is due at once. */
  cutOpen(): void {
    const open = this.#current();
    if (open !== undefined) open.cut = true;
  }

  /** Epochs to flush at `nowMs`, oldest first. */
  due(nowMs: number): number[] {
    this.#noteTime(nowMs);
    return this.#epochs.filter((epoch) => this.#dueAt(epoch) <= nowMs).map((epoch) => epoch.id);
  }

  /** When the next epoch is due, in ms; undefined when there is none. */
  nextDue(nowMs: number): number | undefined {
    this.#noteTime(nowMs);
    const times = this.#epochs.map((epoch) => this.#dueAt(epoch));
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** TracesData of every frame of the epoch, one by one. */
  *contents(id: number): Generator<Uint8Array> {
    const epoch = this.#epochs.find((candidate) => candidate.id === id);
    for (const frame of epoch?.index.all() ?? []) yield this.open(id, frame);
  }

  /** Frames that may hold a trace with this hash, oldest first, each with its epoch. */
  find(hash: number): { epoch: number; frame: FrameRef }[] {
    return this.#epochs.flatMap((epoch) =>
      epoch.index.find(hash).map((frame) => ({ epoch: epoch.id, frame })),
    );
  }

  /** The TracesData of one frame. @throws AppError `corrupt` */
  open(epoch: number, frame: FrameRef): Uint8Array {
    return openBody(frame, readBody(this.#storage.bodies(epoch, frame.row), frame.offset, frame.bodyLength));
  }

  /** All epochs, oldest first. */
  live(): LiveEpoch[] {
    return this.#epochs.map(({ id, index, lastRow, cut }) => ({
      id,
      rowCount: lastRow,
      spanCount: index.spanCount,
      rawBytes: index.rawBytes,
      ...wholeSeconds(index.bounds),
      isCut: cut,
    }));
  }

  /** Frames of the rows from `fromRow` on, as they are stored; none when there is no such epoch. */
  *frames(id: number, fromRow: number): Generator<StoredFrame> {
    const epoch = this.#epochs.find((candidate) => candidate.id === id);
    let row = 0;
    let bytes: Uint8Array = new Uint8Array(0);
    for (const ref of epoch?.index.all(fromRow) ?? []) {
      // A row holds many frames: it is read once.
      if (ref.row !== row) [bytes = bytes] = this.#storage.bodies(id, ref.row);
      row = ref.row;
      const end = ref.offset + ref.bodyLength;
      const body =
        end <= bytes.length
          ? bytes.subarray(ref.offset, end)
          : readBody(this.#storage.bodies(id, row), ref.offset, ref.bodyLength);
      yield { ref, body };
    }
  }

  /** Keeps the epochs' tables from being dropped until the returned function is called. */
  hold(ids: ReadonlySet<number>): () => void {
    const held = this.#epochs.filter((epoch) => ids.has(epoch.id));
    const reader: Reader = { waitedMs: 0 };
    for (const epoch of held) epoch.readers.add(reader);
    const end = this.#ports.onRead();
    return () => {
      for (const epoch of held) epoch.readers.delete(reader);
      end();
    };
  }

  /** Whether a stream reads the epoch for which flushes have waited less than `maxMs`. */
  isHeld(id: number, maxMs: number): boolean {
    return this.#readersOf(id).some((reader) => reader.waitedMs < maxMs);
  }

  /** Counts a wait for the epoch's readers. */
  noteWait(id: number, ms: number): void {
    for (const reader of this.#readersOf(id)) reader.waitedMs += ms;
  }

  #readersOf(id: number): Reader[] {
    return [...(this.#epochs.find((epoch) => epoch.id === id)?.readers ?? [])];
  }

  spanCountOf(id: number): number {
    return this.#epochs.find((epoch) => epoch.id === id)?.index.spanCount ?? 0;
  }

  /** Forgets an epoch whose table was dropped. */
  forget(id: number): void {
    const at = this.#epochs.findIndex((epoch) => epoch.id === id);
    if (at >= 0) this.#epochs.splice(at, 1);
  }

  /** No epoch may wait for a clock that has gone back to reach the time of its opening again. */
  #noteTime(nowMs: number): void {
    for (const epoch of this.#epochs) epoch.openedMs = Math.min(epoch.openedMs, nowMs);
  }

  /**
   * Whether the flush of a loaded epoch cannot have begun before the restart, so that it may take more spans: otherwise a
   * put that is still on its way would replace a later one that holds more. Of an id ahead of the clock nobody knows.
   */
  #isYoung({ id }: Epoch, nowMs: number): boolean {
    return id <= nowMs && nowMs < id + YOUNG * this.#limits.flushAgeMs;
  }

  #dueAt(epoch: Epoch): number {
    return epoch.cut ? 0 : epoch.openedMs + this.#limits.flushAgeMs;
  }

  #current(): Epoch | undefined {
    const last = this.#epochs.at(-1);
    return last === undefined || last.cut ? undefined : last;
  }

  #write(frames: readonly ParsedFrame[], nowMs: number): void {
    const current = this.#current();
    // Ids ascend whatever the clock does: a block's key never repeats.
    const epoch = current ?? newEpoch(this.nextId(nowMs), nowMs);
    const isNew = current === undefined;
    if (isNew) {
      this.#epochs.push(epoch);
      this.#ports.onOpen();
    }
    const packed = packRows(frames, this.#limits.maxRowBytes);
    const ride = this.#ports.usage.ride(frames, packed.rows.length + (isNew ? TABLE_ROWS : 0), nowMs);
    const { rows, places } = this.#withUsage(packed, frames, ride);
    try {
      this.#storage.appendRows(epoch.id, epoch.lastRow + 1, rows, isNew);
    } catch (error) {
      ride.settle("failed");
      if (isNew) this.forget(epoch.id);
      throw error;
    }
    ride.settle(rows.some(({ usage }) => usage !== undefined) ? "carried" : "left");
    frames.forEach((frame, i) => {
      const place = places[i];
      if (place !== undefined) epoch.index.add(frame.parsed, epoch.lastRow + 1 + place.row, place.offset);
    });
    epoch.lastRow += rows.length;
  }

  /** The last row carries the counts. If they do not fit, the frames are packed with room for them. */
  #withUsage(packed: PackedRows, frames: readonly ParsedFrame[], { usage }: Ride): PackedRows {
    const { maxRowBytes } = this.#limits;
    const last = packed.rows.at(-1);
    const bytes = (last?.head.length ?? 0) + (last?.body.length ?? 0) + usage.length;
    if (bytes <= maxRowBytes) return { ...packed, rows: carrying(packed.rows, usage) };
    if (usage.length > USAGE_SHARE * maxRowBytes) return packed;
    const roomy = packRows(frames, maxRowBytes - usage.length);
    return { ...roomy, rows: carrying(roomy.rows, usage) };
  }
}

function fitting(frames: readonly ParsedFrame[], from: number, room: number): number {
  let left = room;
  let end = from;
  for (; end < frames.length; end++) {
    left -= frames[end]?.parsed.rawLength ?? 0;
    if (left < 0) break;
  }
  return end;
}

function newEpoch(id: number, nowMs: number): Epoch {
  return {
    id,
    openedMs: Math.min(id, nowMs),
    index: new LiveIndex(),
    lastRow: 0,
    cut: false,
    readers: new Set(),
  };
}

function carrying(rows: readonly SegmentRow[], usage: Uint8Array): readonly SegmentRow[] {
  return rows.map((row, i) => (i === rows.length - 1 ? { ...row, usage } : row));
}

function loadEpoch({ storage, usage: book }: EpochPorts, id: number, nowMs: number): Epoch {
  const epoch = newEpoch(id, nowMs);
  for (const { row, head, usage } of storage.heads(id)) {
    if (usage !== undefined) book.restore(usage);
    let offset = 0;
    for (const parsed of decodeHeads(head)) {
      epoch.index.add(parsed, row, offset);
      offset += parsed.bodyLength;
    }
    epoch.lastRow = row;
  }
  return epoch;
}
