// Validates a batch and takes from it what routing and indexing need, without decoding it: 25 times cheaper per span.
import type { Limits } from "../model/limits.ts";
import { SPAN_ID_BYTES, TRACE_ID_BYTES } from "../model/ids.ts";
import { AppError } from "../util/errors.ts";
import { traceHash } from "../util/hash.ts";
import { ACTIONS, BAD_TAG, MESSAGE, ONE_BYTE_TAGS, longTagAction } from "./schema.ts";
import {
  ANY_VALUE,
  FIXED32,
  FIXED64,
  KEY_VALUE,
  LENGTH,
  SPAN,
  VARINT,
  WireReader,
  checkTag,
  malformed,
  tagOf,
} from "./wire.ts";

/**
 * Spans that cannot be stored, by reason. A span counts once, under the first reason that applies:
 * `tooLarge` longer than `limits.maxSpanBytes`; `traceId` not 16 bytes, or all zero; `spanId` not 8 bytes, or all zero.
 */
export type RejectedSpans = Readonly<Record<"tooLarge" | "traceId" | "spanId", number>>;

/** What a batch (TracesData, which is ExportTraceServiceRequest byte for byte) holds, found without decoding it. */
export interface BatchSummary {
  /** Valid spans. */
  readonly spanCount: number;
  readonly rejected: RejectedSpans;
  /**
   * Earliest start and latest end in nanoseconds since the Unix epoch, unsigned, over valid spans; 0n and 0n when there
   * are none. Both are as sent: a span without times counts as 0, so the end may lie before the start.
   */
  readonly minStartNs: bigint;
  readonly maxEndNs: bigint;
  /** Distinct `traceHash` of valid spans, ascending. Owns its buffer. */
  readonly traceHashes: Uint32Array;
}

const TRACE_ID_TAG = tagOf(SPAN.traceId, LENGTH);
const SPAN_ID_TAG = tagOf(SPAN.spanId, LENGTH);
const START_TAG = tagOf(SPAN.startTimeUnixNano, FIXED64);
const END_TAG = tagOf(SPAN.endTimeUnixNano, FIXED64);
const ATTRIBUTES_TAG = tagOf(SPAN.attributes, LENGTH);
const KEY_TAG = tagOf(KEY_VALUE.key, LENGTH);
const VALUE_TAG = tagOf(KEY_VALUE.value, LENGTH);
const STRING_TAG = tagOf(ANY_VALUE.stringValue, LENGTH);
const BOOL_TAG = tagOf(ANY_VALUE.boolValue, VARINT);
const INT_TAG = tagOf(ANY_VALUE.intValue, VARINT);
const DOUBLE_TAG = tagOf(ANY_VALUE.doubleValue, FIXED64);

/**
 * Whether the KeyValue body [start, end) is in the form that nearly all are: key, then value, each with a length
 * below 128, the value empty or one string, bool, double or int of at most 10 bytes. It is then valid. False says
 * nothing: the general walk decides.
 */
function isPlainKeyValue(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < 4 || bytes[start] !== KEY_TAG) return false;
  const keyLength = bytes[start + 1] ?? 0;
  let pos = start + 2 + keyLength;
  if (keyLength > 127 || end - pos < 2 || bytes[pos] !== VALUE_TAG) return false;
  const valueLength = bytes[pos + 1] ?? 0;
  pos += 2;
  if (valueLength > 127 || valueLength !== end - pos) return false;
  if (valueLength < 2) return valueLength === 0;
  const tag = bytes[pos];
  const next = bytes[pos + 1] ?? 0;
  if (tag === STRING_TAG) return next < 128 && next === valueLength - 2;
  if (tag === INT_TAG || tag === BOOL_TAG) return isVarint(bytes, pos + 1, end);
  return tag === DOUBLE_TAG && valueLength === 9;
}

/** Whether [start, end), which is not empty, is exactly one varint of at most 63 bits. */
function isVarint(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start > 9) return false;
  let pos = start;
  while (pos < end - 1 && (bytes[pos] ?? 0) > 127) pos++;
  return pos === end - 1 && (bytes[pos] ?? 0) < 128;
}

/** Walks one batch. All state is per walk, so nothing of one request survives into the next. */
class Walker {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #reader: WireReader;
  readonly #limits: Limits;
  // The messages around the one being walked. At most 3 for each AnyValue level plus the 5 above a value.
  readonly #ends: number[] = [];
  readonly #types: number[] = [];
  #spanCount = 0;
  #tooLarge = 0;
  #badTraceId = 0;
  #badSpanId = 0;
  // Times as two unsigned 32-bit halves: a bigint per span would cost more than the rest of the walk.
  #minHigh = 0xffffffff;
  #minLow = 0xffffffff;
  #maxHigh = 0;
  #maxLow = 0;
  #lastTraceIdAt = -1;
  #hashes = new Uint32Array(64);
  #hashCount = 0;

  constructor(bytes: Uint8Array, limits: Limits) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#reader = new WireReader(bytes);
    this.#limits = limits;
  }

  run(): BatchSummary {
    this.#walk(0, this.#bytes.length, MESSAGE.tracesData);
    const none = this.#spanCount === 0;
    return {
      spanCount: this.#spanCount,
      rejected: { tooLarge: this.#tooLarge, traceId: this.#badTraceId, spanId: this.#badSpanId },
      minStartNs: none ? 0n : (BigInt(this.#minHigh) << 32n) | BigInt(this.#minLow),
      maxEndNs: (BigInt(this.#maxHigh) << 32n) | BigInt(this.#maxLow),
      traceHashes: distinct(this.#hashes.subarray(0, this.#hashCount)),
    };
  }

  /** Reads the tag of several bytes at `at`; leaves the reader behind it. */
  #longTag(at: number, end: number): number {
    this.#reader.pos = at;
    return this.#reader.tag(end);
  }

  /** Reads the length of several bytes at `at`; leaves the reader behind it. */
  #longLength(at: number, end: number): number {
    this.#reader.pos = at;
    return this.#reader.length(end);
  }

  /** The position behind the varint at `pos`. */
  #afterVarint(pos: number, end: number): number {
    if (pos < end && (this.#bytes[pos] ?? 0) < 128) return pos + 1;
    this.#reader.pos = pos;
    this.#reader.skipVarint(end);
    return this.#reader.pos;
  }

  /**
   * Validates the message [start, rootEnd) of type `root` and all below it in one loop: no recursion, and each byte
   * of structure is looked at once.
   */
  #walk(start: number, rootEnd: number, root: number): void {
    const bytes = this.#bytes;
    const base = this.#ends.length;
    let pos = start;
    let end = rootEnd;
    let type = root;
    let depth = 0;
    for (;;) {
      if (pos >= end) {
        if (type === MESSAGE.anyValue) depth--;
        if (this.#ends.length === base) return;
        end = this.#ends.pop() ?? 0;
        type = this.#types.pop() ?? 0;
        continue;
      }
      const at = pos;
      let tag = bytes[pos++] ?? 0;
      if (tag > 127) {
        tag = this.#longTag(at, end);
        pos = this.#reader.pos;
      }
      const action = actionOf(type, tag);
      if ((action & 7) !== LENGTH) {
        if ((action & 7) === VARINT) pos = this.#afterVarint(pos, end);
        else pos += fixedLength(action, tag, at);
        if (pos > end) throw malformed("field cut short", at);
        continue;
      }
      let length = pos < end ? (bytes[pos] ?? 0) : 128;
      if (length > 127) {
        length = this.#longLength(pos, end);
        pos = this.#reader.pos;
      } else if (length > end - ++pos) {
        throw malformed("length exceeds its message", at);
      }
      const child = action >>> 3;
      if (child === MESSAGE.span) {
        this.#span(pos, pos + length);
        pos += length;
      } else if (child === 0 || (child === MESSAGE.keyValue && isPlainKeyValue(bytes, pos, pos + length))) {
        pos += length;
      } else {
        if (child === MESSAGE.anyValue && ++depth > this.#limits.maxValueDepth) throw this.#tooDeep(at);
        this.#ends.push(end);
        this.#types.push(type);
        end = pos + length;
        type = child;
      }
    }
  }

  #tooDeep(at: number): AppError {
    return new AppError(
      "invalid_argument",
      `attribute value nested deeper than ${this.#limits.maxValueDepth} levels at byte ${at}`,
    );
  }

  /** Validates the span [start, end) and counts it. Of a repeated field the last one counts, as protobuf says. */
  #span(start: number, end: number): void {
    const bytes = this.#bytes;
    let pos = start;
    let traceIdAt = 0;
    let traceIdLength = 0;
    let spanIdAt = 0;
    let spanIdLength = 0;
    let startAt = -1;
    let endAt = -1;
    while (pos < end) {
      const at = pos;
      let tag = bytes[pos++] ?? 0;
      if (tag > 127) {
        tag = this.#longTag(at, end);
        pos = this.#reader.pos;
      }
      const action = actionOf(MESSAGE.span, tag);
      if ((action & 7) !== LENGTH) {
        if (tag === START_TAG) startAt = pos;
        else if (tag === END_TAG) endAt = pos;
        if ((action & 7) === VARINT) pos = this.#afterVarint(pos, end);
        else pos += fixedLength(action, tag, at);
        if (pos > end) throw malformed("field cut short", at);
        continue;
      }
      let length = pos < end ? (bytes[pos] ?? 0) : 128;
      if (length > 127) {
        length = this.#longLength(pos, end);
        pos = this.#reader.pos;
      } else if (length > end - ++pos) {
        throw malformed("length exceeds its message", at);
      }
      if (tag === ATTRIBUTES_TAG) {
        if (!isPlainKeyValue(bytes, pos, pos + length)) this.#walk(pos, pos + length, MESSAGE.keyValue);
      } else if (action > 7) {
        this.#walk(pos, pos + length, action >>> 3);
      } else if (tag === TRACE_ID_TAG) {
        traceIdAt = pos;
        traceIdLength = length;
      } else if (tag === SPAN_ID_TAG) {
        spanIdAt = pos;
        spanIdLength = length;
      }
      pos += length;
    }
    const view = this.#view;
    if (end - start > this.#limits.maxSpanBytes) this.#tooLarge++;
    else if (traceIdLength !== TRACE_ID_BYTES || !isNonZero(view, traceIdAt, 16)) this.#badTraceId++;
    else if (spanIdLength !== SPAN_ID_BYTES || !isNonZero(view, spanIdAt, 8)) this.#badSpanId++;
    else this.#accept(traceIdAt, startAt, endAt);
  }

  #accept(traceIdAt: number, startAt: number, endAt: number): void {
    const view = this.#view;
    this.#spanCount++;
    const startLow = startAt < 0 ? 0 : view.getUint32(startAt, true);
    const startHigh = startAt < 0 ? 0 : view.getUint32(startAt + 4, true);
    if (startHigh < this.#minHigh || (startHigh === this.#minHigh && startLow < this.#minLow)) {
      this.#minHigh = startHigh;
      this.#minLow = startLow;
    }
    const endLow = endAt < 0 ? 0 : view.getUint32(endAt, true);
    const endHigh = endAt < 0 ? 0 : view.getUint32(endAt + 4, true);
    if (endHigh > this.#maxHigh || (endHigh === this.#maxHigh && endLow > this.#maxLow)) {
      this.#maxHigh = endHigh;
      this.#maxLow = endLow;
    }
    // Senders put the spans of a trace side by side: the hash is computed once per run of equal ids.
    if (this.#lastTraceIdAt >= 0 && sameId(view, this.#lastTraceIdAt, traceIdAt)) return;
    this.#lastTraceIdAt = traceIdAt;
    if (this.#hashCount === this.#hashes.length) {
      const grown = new Uint32Array(2 * this.#hashCount);
      grown.set(this.#hashes);
      this.#hashes = grown;
    }
    this.#hashes[this.#hashCount++] = traceHash(this.#bytes, traceIdAt);
  }
}

function actionOf(type: number, tag: number): number {
  return tag < ONE_BYTE_TAGS ? (ACTIONS[type * ONE_BYTE_TAGS + tag] ?? 0) : longTagAction(type, tag);
}

/** Bytes of a fixed-size value; throws when the action is not one. */
function fixedLength(action: number, tag: number, at: number): number {
  if (action === FIXED64) return 8;
  if (action === FIXED32) return 4;
  if (action === BAD_TAG) checkTag(tag, at);
  throw malformed(`field ${tag >>> 3} with wire type ${tag & 7}`, at);
}

/** Whether one of `length` (a multiple of 4) bytes is not zero. */
function isNonZero(view: DataView, at: number, length: number): boolean {
  for (let i = 0; i < length; i += 4) if (view.getInt32(at + i) !== 0) return true;
  return false;
}

function sameId(view: DataView, a: number, b: number): boolean {
  for (let i = 12; i >= 0; i -= 4) if (view.getInt32(a + i) !== view.getInt32(b + i)) return false;
  return true;
}

/** Sorts `hashes` in place and returns the distinct ones in a buffer of their own. */
function distinct(hashes: Uint32Array): Uint32Array {
  hashes.sort();
  let count = 0;
  for (const hash of hashes) {
    if (count === 0 || hash !== hashes[count - 1]) hashes[count++] = hash;
  }
  return hashes.slice(0, count);
}

/**
 * Validates a whole batch, down to the last attribute value, in time linear in its size and without recursion.
 * Strings are not checked for UTF-8. Unknown fields are passed over. Spans with bad ids or of too many bytes are counted
 * as rejected and stay in `bytes` (see `dropRejectedSpans`). `bytes` is neither changed nor retained.
 * @throws AppError `invalid_argument` naming the byte: bad tag, wire type, varint or length; a known field with
 * another wire type; a group; values nested deeper than `limits.maxValueDepth` (at least 1)
 */
export function walkBatch(bytes: Uint8Array, limits: Limits): BatchSummary {
  return new Walker(bytes, limits).run();
}
