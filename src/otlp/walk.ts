// Validates a batch and takes from it what routing and indexing need, without decoding it: 25 times cheaper per span.
import type { Limits } from "../model/limits.ts";
import { SPAN_ID_BYTES, TRACE_ID_BYTES } from "../model/ids.ts";
import { AppError } from "../util/errors.ts";
import { traceHash } from "../util/hash.ts";
import { OWNERS, countAttributes } from "./owners.ts";
import { ACTIONS, BAD_TAG, MESSAGE, ONE_BYTE_TAGS, longTagAction } from "./schema.ts";
import { type TraceSizes, TraceTally } from "./trace-tally.ts";
import {
  ANY_VALUE,
  FIXED32,
  FIXED64,
  KEY_VALUE,
  LENGTH,
  SPAN,
  STATUS,
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
export interface BatchSummary extends TraceSizes {
  /** Valid spans. */
  readonly spanCount: number;
  readonly rejected: RejectedSpans;
  /**
   * Earliest start and latest end in nanoseconds since the Unix epoch, unsigned, over valid spans; 0n and 0n when there
   * are none. Both are as sent: a span without times counts as 0, so the end may lie before the start.
   */
  readonly minStartNs: bigint;
  readonly maxEndNs: bigint;
  /** Valid spans that start outside of what `limits.tenant` has for plausible; 0 when no time was given. */
  readonly implausibleStarts: number;
  /** Whether `cutAttributes` is to look at the batch: some attribute or its owner may be beyond a limit of the tenant. */
  readonly mayExceedAttributes: boolean;
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
const STATUS_TAG = tagOf(SPAN.status, LENGTH);
const CODE_TAG = tagOf(STATUS.code, VARINT);
// The two bytes of the tag of `flags`, field 16.
const FLAGS_HEAD = 0x0185;

const KEY_VALUE_FIELD = LENGTH | (MESSAGE.keyValue << 3);
const SPAN_ACTIONS = MESSAGE.span * ONE_BYTE_TAGS;
/** The action of a tag of several bytes, to be read in full first. */
const LONG_TAG = -1;

/** Slots (a power of 2) for trace ids whose hash is known: a batch interleaves far fewer traces. */
const RECENT_IDS = 128;

// Of the four bytes tag, length, key tag, key length: the key's tag, and lengths below 128.
const PLAIN_HEAD_MASK = 0x80ff8000 | 0;
const PLAIN_HEAD = KEY_TAG << 16;

/**
 * The position behind the KeyValue field at `pos` when it is in the form that nearly all are, else -1, which says
 * nothing: the general walk decides. That form: key, then value, each with a length below 128, the value one string,
 * bool, int or double. Eight bytes decide, so two 32-bit loads do; byte by byte it takes twice the time.
 *
 *     pos                          valueAt
 *     tag | length | 0a | length | key ... | 12 | length | tag of the value | its length or first byte | ...
 */
function afterPlainKeyValue(view: DataView, pos: number, end: number): number {
  if (end - pos < 8) return -1;
  const head = view.getInt32(pos, true);
  if ((head & PLAIN_HEAD_MASK) !== PLAIN_HEAD) return -1;
  const after = pos + 2 + ((head >>> 8) & 127);
  const valueAt = pos + 4 + (head >>> 24);
  const valueLength = after - valueAt - 2;
  if (after > end || valueLength < 2) return -1;
  const value = view.getInt32(valueAt, true);
  if ((value & 0xffff) !== (VALUE_TAG | (valueLength << 8))) return -1;
  const next = value >>> 24;
  switch ((value >>> 16) & 255) {
    case STRING_TAG:
      return next === valueLength - 2 ? after : -1;
    case INT_TAG:
    case BOOL_TAG:
      return isVarint(view, valueAt + 3, after) ? after : -1;
    case DOUBLE_TAG:
      return valueLength === 9 ? after : -1;
    default:
      return -1;
  }
}

/** Whether [start, end), which is not empty, is exactly one varint of at most 63 bits. */
function isVarint(view: DataView, start: number, end: number): boolean {
  if (end - start > 9) return false;
  let pos = start;
  while (pos < end - 1 && view.getInt8(pos) < 0) pos++;
  return pos === end - 1 && view.getInt8(pos) >= 0;
}

/** Whether the status field at `pos`, of two bytes at least, is empty or has its code alone: nearly all are. */
function isPlainStatus(view: DataView, pos: number, end: number): boolean {
  const length = view.getUint8(pos + 1);
  if (length === 0) return true;
  return length === 2 && end - pos >= 4 && (view.getUint16(pos + 2, true) & 0x80ff) === CODE_TAG;
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
  // The last field that `#otherField` read.
  #tag = 0;
  #valueAt = 0;
  #spanCount = 0;
  #tooLarge = 0;
  #badTraceId = 0;
  #badSpanId = 0;
  // Times as two unsigned 32-bit halves: a bigint per span would cost more than the rest of the walk.
  #minHigh = 0xffffffff;
  #minLow = 0xffffffff;
  #maxHigh = 0;
  #maxLow = 0;
  // By slot: where the last trace id lies, 0 is none (an id never lies there), and its index in the tally.
  readonly #recent = new Int32Array(2 * RECENT_IDS);
  readonly #traces = new TraceTally();
  // High halves of starts that are plausible for certain, or of all when no time was given: others are looked at closely.
  readonly #nowMs: number | undefined;
  #plausibleFrom = 0;
  #plausibleTo = 0xffffffff;
  #starts: StartBounds | undefined;
  #implausibleStarts = 0;
  readonly #maxAttributes: number;
  #mayExceed = false;

  constructor(bytes: Uint8Array, limits: Limits, nowMs: number | undefined) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#reader = new WireReader(bytes);
    this.#limits = limits;
    this.#maxAttributes = limits.tenant.maxAttributesPerSpan;
    this.#nowMs = nowMs;
    if (nowMs === undefined) return;
    // A number holds such a time to 256 ns: one half more on each side, of 4.3 s, is on the safe side.
    this.#plausibleFrom = Math.floor((nowMs - limits.tenant.maxStartAgeMs) * HIGH_HALVES_PER_MS) + 2;
    this.#plausibleTo = Math.floor((nowMs + limits.tenant.maxStartAheadMs) * HIGH_HALVES_PER_MS) - 1;
  }

  run(): BatchSummary {
    this.#walk(0, this.#bytes.length, MESSAGE.tracesData);
    const none = this.#spanCount === 0;
    return {
      spanCount: this.#spanCount,
      rejected: { tooLarge: this.#tooLarge, traceId: this.#badTraceId, spanId: this.#badSpanId },
      minStartNs: none ? 0n : (BigInt(this.#minHigh) << 32n) | BigInt(this.#minLow),
      maxEndNs: (BigInt(this.#maxHigh) << 32n) | BigInt(this.#maxLow),
      implausibleStarts: this.#implausibleStarts,
      mayExceedAttributes: this.#mayExceed,
      ...this.#traces.finish(),
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
      if (action === KEY_VALUE_FIELD && pos === at + 1) {
        const after = afterPlainKeyValue(this.#view, at, end);
        if (after > 0) {
          pos = after;
          continue;
        }
      }
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
        this.#noteLong(type, action >>> 3, pos, length);
      } else if (length > end - ++pos) {
        throw malformed("length exceeds its message", at);
      }
      const child = action >>> 3;
      if (child === MESSAGE.span) {
        this.#span(pos, pos + length);
        pos += length;
      } else if (child === 0) {
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

  /**
   * Looks whether the child of 128 bytes or more at `pos`, of a message of type `type`, may be beyond a limit on attributes.
   * Shorter keys and values never are (MIN_ATTRIBUTE_BYTES), nor is an owner that has no room for so many: a field has two
   * bytes at least.
   */
  #noteLong(type: number, child: number, pos: number, length: number): void {
    if (type === MESSAGE.keyValue) {
      const { maxAttributeKeyBytes, maxAttributeValueBytes } = this.#limits.tenant;
      const most = child === MESSAGE.anyValue ? maxAttributeValueBytes : maxAttributeKeyBytes;
      if (length > most) this.#mayExceed = true;
    } else if (length > 2 * this.#maxAttributes && !this.#mayExceed) {
      const tags = OWNERS.get(child);
      if (tags === undefined) return;
      const count = countAttributes(this.#bytes, pos, pos + length, tags);
      this.#mayExceed = count > this.#maxAttributes;
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
    const view = this.#view;
    let pos = start;
    let traceIdAt = 0;
    let traceIdLength = 0;
    let spanIdAt = 0;
    let spanIdLength = 0;
    let startAt = -1;
    let endAt = -1;
    while (pos < end) {
      // A field has two bytes at least: a tag, and a value or its length.
      if (end - pos < 2) throw malformed("field cut short", pos);
      const head = view.getUint16(pos, true);
      let tag = head & 255;
      if (tag === ATTRIBUTES_TAG) {
        const after = afterPlainKeyValue(view, pos, end);
        if (after > 0) {
          pos = after;
          continue;
        }
      }
      const next = head >>> 8;
      const action = tag < ONE_BYTE_TAGS ? (ACTIONS[SPAN_ACTIONS + tag] ?? 0) : LONG_TAG;
      let valueAt = pos + 1;
      let after = 0;
      if (action === LENGTH && next < 128) after = ++valueAt + next;
      else if (action === VARINT && next < 128) after = pos + 2;
      else if (action === FIXED64) after = pos + 9;
      else if (head === FLAGS_HEAD) after = pos + 6;
      else if (tag === STATUS_TAG && isPlainStatus(view, pos, end)) after = pos + 2 + next;
      else {
        after = this.#otherField(pos, end);
        tag = this.#tag;
        valueAt = this.#valueAt;
      }
      if (after > end) throw malformed("field cut short", pos);
      if (tag === TRACE_ID_TAG) {
        traceIdAt = valueAt;
        traceIdLength = after - valueAt;
      } else if (tag === SPAN_ID_TAG) {
        spanIdAt = valueAt;
        spanIdLength = after - valueAt;
      } else if (tag === START_TAG) startAt = valueAt;
      else if (tag === END_TAG) endAt = valueAt;
      pos = after;
    }
    if (end - start > this.#limits.maxSpanBytes) this.#tooLarge++;
    else if (traceIdLength !== TRACE_ID_BYTES || !isNonZero(view, traceIdAt, 16)) this.#badTraceId++;
    else if (spanIdLength !== SPAN_ID_BYTES || !isNonZero(view, spanIdAt, 8)) this.#badSpanId++;
    else this.#accept(traceIdAt, startAt, endAt, end - start);
  }

  /**
   * Validates the field of a span at `at` in any form that protobuf allows. Returns the position behind it; leaves its
   * tag in `#tag` and where its value begins in `#valueAt`.
   */
  #otherField(at: number, end: number): number {
    const reader = this.#reader;
    reader.pos = at;
    const tag = reader.tag(end);
    const action = actionOf(MESSAGE.span, tag);
    this.#tag = tag;
    this.#valueAt = reader.pos;
    if ((action & 7) === VARINT) return this.#afterVarint(reader.pos, end);
    if ((action & 7) !== LENGTH) return reader.pos + fixedLength(action, tag, at);
    const length = reader.length(end);
    const start = reader.pos;
    this.#valueAt = start;
    if (length > 127) this.#noteLong(MESSAGE.span, action >>> 3, start, length);
    if (action > 7) this.#walk(start, start + length, action >>> 3);
    return start + length;
  }

  #accept(traceIdAt: number, startAt: number, endAt: number, byteLength: number): void {
    const view = this.#view;
    this.#spanCount++;
    const startLow = startAt < 0 ? 0 : view.getUint32(startAt, true);
    const startHigh = startAt < 0 ? 0 : view.getUint32(startAt + 4, true);
    if (startHigh < this.#minHigh || (startHigh === this.#minHigh && startLow < this.#minLow)) {
      this.#minHigh = startHigh;
      this.#minLow = startLow;
    }
    if (startHigh < this.#plausibleFrom || startHigh > this.#plausibleTo)
      this.#noteStart(startHigh, startLow);
    const endLow = endAt < 0 ? 0 : view.getUint32(endAt, true);
    const endHigh = endAt < 0 ? 0 : view.getUint32(endAt + 4, true);
    if (endHigh > this.#maxHigh || (endHigh === this.#maxHigh && endLow > this.#maxLow)) {
      this.#maxHigh = endHigh;
      this.#maxLow = endLow;
    }
    // A batch has several spans of a trace: mostly the hash is known, and comparing is cheaper than hashing.
    const slot = 2 * (view.getInt32(traceIdAt + 12) & (RECENT_IDS - 1));
    const recent = this.#recent[slot] ?? 0;
    if (recent > 0 && sameId(view, recent, traceIdAt)) {
      this.#traces.again(this.#recent[slot + 1] ?? 0, byteLength);
      return;
    }
    this.#recent[slot] = traceIdAt;
    this.#recent[slot + 1] = this.#traces.add(traceHash(this.#bytes, traceIdAt), byteLength);
  }

  #noteStart(high: number, low: number): void {
    const { maxStartAgeMs, maxStartAheadMs } = this.#limits.tenant;
    const nowMs = this.#nowMs ?? 0;
    const { from, to } = (this.#starts ??= {
      from: halvesOf(nowMs - maxStartAgeMs),
      to: halvesOf(nowMs + maxStartAheadMs),
    });
    const isEarly = high < from.high || (high === from.high && low < from.low);
    if (isEarly || high > to.high || (high === to.high && low > to.low)) this.#implausibleStarts++;
  }
}

/** A time in ns as two unsigned halves. */
interface Halves {
  readonly high: number;
  readonly low: number;
}

interface StartBounds {
  readonly from: Halves;
  readonly to: Halves;
}

const HIGH_HALVES_PER_MS = 1e6 / 2 ** 32;

function halvesOf(ms: number): Halves {
  const ns = BigInt(Math.max(0, Math.round(ms))) * 1_000_000n;
  return { high: Number(ns >> 32n), low: Number(ns & 0xffffffffn) };
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

/**
 * Validates a whole batch, down to the last attribute value, in time linear in its size and without recursion.
 * Strings are not checked for UTF-8. Unknown fields are passed over. Spans with bad ids or of too many bytes are counted
 * as rejected and stay in `bytes` (see `dropRejectedSpans`). `bytes` is neither changed nor retained.
 * @throws AppError `invalid_argument` naming the byte: bad tag, wire type, varint or length; a known field with
 * another wire type; a group; values nested deeper than `limits.maxValueDepth` (at least 1). `too_large`: more than 2^21
 * traces
 * @param nowMs looks whether starts are plausible then
 */
export function walkBatch(bytes: Uint8Array, limits: Limits, nowMs?: number): BatchSummary {
  return new Walker(bytes, limits, nowMs).run();
}
