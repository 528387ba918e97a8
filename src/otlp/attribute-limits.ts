// Cutting attributes that are beyond a tenant's limits: ranges are copied, only what is cut and the lengths around it are
// written anew. It runs for batches in which the walker saw something that may be too long or too much.
import type { TenantLimits } from "../model/tenant-limits.ts";
import { concatBytes } from "../util/bytes.ts";
import { OWNERS, type OwnerTags, countAttributes } from "./owners.ts";
import { ACTIONS, MESSAGE, ONE_BYTE_TAGS } from "./schema.ts";
import { ANY_VALUE, KEY_VALUE, LENGTH, WireReader, tagOf } from "./wire.ts";
import { varintLength } from "./wire-writer.ts";

export interface AttributeCounts {
  /** Keys and values that were cut. */
  readonly truncated: number;
  /** Attributes that were left out, beyond the number that their owner may have. */
  readonly dropped: number;
}

export interface CutBatch extends AttributeCounts {
  /** The batch itself when nothing was beyond a limit; else an array that owns its buffer. */
  readonly bytes: Uint8Array;
}

type AttributeLimits = Pick<
  TenantLimits,
  "maxAttributeKeyBytes" | "maxAttributeValueBytes" | "maxAttributesPerSpan"
>;

const KEY_TAG = tagOf(KEY_VALUE.key, LENGTH);
const VALUE_TAG = tagOf(KEY_VALUE.value, LENGTH);
const STRING_TAG = tagOf(ANY_VALUE.stringValue, LENGTH);
const BYTES_TAG = tagOf(ANY_VALUE.bytesValue, LENGTH);
const UINT32_MAX = 0xffffffff;

/** Messages that hold owners of attributes, or are some. */
const WAYPOINTS: ReadonlySet<number> = new Set([
  MESSAGE.resourceSpans,
  MESSAGE.scopeSpans,
  MESSAGE.resource,
  MESSAGE.scope,
  MESSAGE.span,
  MESSAGE.event,
  MESSAGE.link,
]);

function childOf(type: number, tag: number): number {
  return tag < ONE_BYTE_TAGS ? (ACTIONS[type * ONE_BYTE_TAGS + tag] ?? 0) >>> 3 : 0;
}

function varint(value: number): Uint8Array {
  const out = new Uint8Array(varintLength(value));
  let rest = value;
  let pos = 0;
  for (; rest > 127; rest = Math.floor(rest / 128)) out[pos++] = (rest & 127) | 128;
  out[pos] = rest;
  return out;
}

/** A length-delimited field. */
function field(tag: number, body: Uint8Array): Uint8Array {
  return concatBytes([varint(tag), varint(body.length), body]);
}

/** The new content of a message, in pieces that mostly are ranges of the old one. */
class Pieces {
  readonly #bytes: Uint8Array;
  readonly parts: Uint8Array[] = [];
  byteLength = 0;
  // The range that is to be copied next: adjacent ones become one.
  #start = 0;
  #end = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  copy(start: number, end: number): void {
    if (start !== this.#end) {
      this.#flush();
      this.#start = start;
    }
    this.#end = end;
    this.byteLength += end - start;
  }

  put(bytes: Uint8Array): void {
    this.#flush();
    this.parts.push(bytes);
    this.byteLength += bytes.length;
  }

  /** A message as a field. */
  putMessage(tag: number, content: Pieces): void {
    this.put(concatBytes([varint(tag), varint(content.byteLength)]));
    content.#flush();
    for (const part of content.parts) this.parts.push(part);
    this.byteLength += content.byteLength;
  }

  join(): Uint8Array<ArrayBuffer> {
    this.#flush();
    return concatBytes(this.parts);
  }

  #flush(): void {
    if (this.#end > this.#start) this.parts.push(this.#bytes.subarray(this.#start, this.#end));
    this.#start = this.#end;
  }
}

class Cutter {
  readonly #bytes: Uint8Array;
  readonly #limits: AttributeLimits;
  truncated = 0;
  dropped = 0;

  constructor(bytes: Uint8Array, limits: AttributeLimits) {
    this.#bytes = bytes;
    this.#limits = limits;
  }

  /** The new content of the message [start, end); undefined when it stays as it is. Five levels deep at most. */
  message(type: number, start: number, end: number): Pieces | undefined {
    const owner = OWNERS.get(type);
    const surplus = owner === undefined ? 0 : this.#surplus(start, end, owner);
    const reader = new WireReader(this.#bytes, start);
    const pieces = new Pieces(this.#bytes);
    let left = this.#limits.maxAttributesPerSpan;
    let droppedBefore = 0;
    let isChanged = surplus > 0;
    while (reader.pos < end) {
      const at = reader.pos;
      const tag = reader.tag(end);
      if (surplus > 0 && tag === owner?.droppedCount) {
        droppedBefore = readCount(reader, end);
        continue;
      }
      const child = childOf(type, tag);
      const content = child === 0 ? undefined : reader.pos;
      reader.skip(tag, end);
      if (tag === owner?.attributes && --left < 0) continue;
      const changed = content === undefined ? undefined : this.#child(child, content, reader.pos);
      if (changed === undefined) pieces.copy(at, reader.pos);
      else {
        isChanged = true;
        pieces.putMessage(tag, changed);
      }
    }
    if (owner !== undefined && surplus > 0) {
      this.dropped += surplus;
      pieces.put(
        concatBytes([varint(owner.droppedCount), varint(Math.min(droppedBefore + surplus, UINT32_MAX))]),
      );
    }
    return isChanged ? pieces : undefined;
  }

  /** @param at where the length of the child begins */
  #child(type: number, at: number, end: number): Pieces | undefined {
    if (type !== MESSAGE.keyValue && !WAYPOINTS.has(type)) return undefined;
    const reader = new WireReader(this.#bytes, at);
    reader.length(end);
    return type === MESSAGE.keyValue ? this.#keyValue(reader.pos, end) : this.message(type, reader.pos, end);
  }

  /** How many attributes the owner has too many. */
  #surplus(start: number, end: number, owner: OwnerTags): number {
    const { maxAttributesPerSpan } = this.#limits;
    if (end - start <= 2 * maxAttributesPerSpan) return 0;
    return Math.max(0, countAttributes(this.#bytes, start, end, owner) - maxAttributesPerSpan);
  }

  #keyValue(start: number, end: number): Pieces | undefined {
    const { maxAttributeKeyBytes, maxAttributeValueBytes } = this.#limits;
    if (end - start <= Math.min(maxAttributeKeyBytes, maxAttributeValueBytes)) return undefined;
    const reader = new WireReader(this.#bytes, start);
    const pieces = new Pieces(this.#bytes);
    let isChanged = false;
    while (reader.pos < end) {
      const at = reader.pos;
      const tag = reader.tag(end);
      const body = tag === KEY_TAG || tag === VALUE_TAG ? this.#body(reader, end) : undefined;
      let cut: Uint8Array | undefined;
      if (body === undefined) reader.skip(tag, end);
      else if (tag === VALUE_TAG) cut = cutValue(body, maxAttributeValueBytes);
      else if (body.length > maxAttributeKeyBytes) cut = cutText(body, maxAttributeKeyBytes);
      if (cut === undefined) pieces.copy(at, reader.pos);
      else {
        isChanged = true;
        this.truncated++;
        pieces.put(field(tag, cut));
      }
    }
    return isChanged ? pieces : undefined;
  }

  #body(reader: WireReader, end: number): Uint8Array {
    const length = reader.length(end);
    reader.pos += length;
    return this.#bytes.subarray(reader.pos - length, reader.pos);
  }
}

/** The low 32 bits of a varint. */
function readCount(reader: WireReader, end: number): number {
  const start = reader.pos;
  reader.skipVarint(end);
  let value = 0;
  for (let i = Math.min(reader.pos - start, 5) - 1; i >= 0; i--) {
    value = value * 128 + ((reader.bytes[start + i] ?? 0) & 127);
  }
  return value % (UINT32_MAX + 1);
}

/** The start of a UTF-8 text, `maxBytes` long or up to three bytes less: no character is cut in two. */
function cutText(text: Uint8Array, maxBytes: number): Uint8Array {
  let end = maxBytes;
  while (end > maxBytes - 4 && end > 0 && ((text[end] ?? 0) & 0xc0) === 0x80) end--;
  // Four bytes that all continue a character are no UTF-8.
  return text.subarray(0, end > maxBytes - 4 || end === 0 ? end : maxBytes);
}

/**
 * The AnyValue `body` with no more than `maxBytes` of content; undefined when it has no more. Of fields that are there
 * twice, which no sender writes, each is cut: the last counts.
 */
function cutValue(body: Uint8Array, maxBytes: number): Uint8Array | undefined {
  if (body.length <= maxBytes) return undefined;
  const reader = new WireReader(body);
  const fields: Uint8Array[] = [];
  let isChanged = false;
  while (reader.pos < body.length) {
    const at = reader.pos;
    const tag = reader.tag(body.length);
    const content = contentOf(reader, tag);
    const cut = content.length > maxBytes ? cutContent(content, MESSAGE.anyValue, tag, maxBytes) : undefined;
    if (cut !== undefined) isChanged = true;
    fields.push(cut === undefined ? body.subarray(at, reader.pos) : field(tag, cut));
  }
  return isChanged ? concatBytes(fields) : undefined;
}

/**
 * What of the message fits into `room`: whole fields, and of the first that does not fit what does; undefined when all of it
 * fits. So of an array or list the first elements are kept. As deep as the walker allows.
 */
function fit(body: Uint8Array, type: number, room: number): Uint8Array | undefined {
  const reader = new WireReader(body);
  while (reader.pos < body.length) {
    const at = reader.pos;
    const tag = reader.tag(body.length);
    const content = contentOf(reader, tag);
    const over = reader.pos - room;
    if (over <= 0) continue;
    const cut = content.length < over ? undefined : cutContent(content, type, tag, content.length - over);
    const before = body.subarray(0, at);
    return cut === undefined ? before : concatBytes([before, field(tag, cut)]);
  }
  return undefined;
}

/** The value of the field whose tag was read, without its length; leaves the reader behind it. */
function contentOf(reader: WireReader, tag: number): Uint8Array {
  const { bytes } = reader;
  const start = reader.pos;
  if ((tag & 7) !== LENGTH) {
    reader.skip(tag, bytes.length);
    return bytes.subarray(start, reader.pos);
  }
  const length = reader.length(bytes.length);
  reader.pos += length;
  return bytes.subarray(reader.pos - length, reader.pos);
}

/** The start of a value, `room` bytes at most; undefined when it cannot be cut. */
function cutContent(content: Uint8Array, type: number, tag: number, room: number): Uint8Array | undefined {
  const child = childOf(type, tag);
  if (child !== 0) return fit(content, child, room);
  if (type === MESSAGE.keyValue ? tag === KEY_TAG : tag === STRING_TAG) return cutText(content, room);
  return type === MESSAGE.anyValue && tag === BYTES_TAG ? content.subarray(0, room) : undefined;
}

/**
 * The batch with attributes cut to the limits: keys and values that are too long, with the span and everything else kept;
 * attributes beyond the number that a span, event, link, scope or resource may have are left out, the first ones kept, and
 * added to its `dropped_attributes_count`.
 * @param bytes a batch that `walkBatch` accepts
 */
export function cutAttributes(bytes: Uint8Array, limits: AttributeLimits): CutBatch {
  const cutter = new Cutter(bytes, limits);
  const pieces = cutter.message(MESSAGE.tracesData, 0, bytes.length);
  const { truncated, dropped } = cutter;
  return { bytes: pieces?.join() ?? bytes, truncated, dropped };
}
