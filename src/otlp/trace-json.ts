// OTLP protobuf -> JSON in Tempo's form (gogo jsonpb), from bytes to bytes: no object per span or attribute.
import { AppError } from "../util/errors.ts";
import {
  ANY,
  BOOL,
  BYTES,
  DOUBLE,
  ENUM,
  type Field,
  FLAGS,
  INT64,
  KNOWN_TAGS,
  type Message,
  RESOURCE_SPANS_HEAD,
  SCOPE_SPANS_HEAD,
  SPAN_MESSAGE,
  STRING,
  TRACES_MESSAGE,
  UINT32,
  UINT64,
  WIRE_TYPES,
} from "./json-fields.ts";
import { ascii, JsonWriter } from "./json-writer.ts";
import { LENGTH, VARINT, WireReader } from "./wire.ts";

const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const COMMA = 0x2c;
const EMPTY_OBJECT = ascii("{}");
const TRUE = ascii("true");
const FALSE = ascii("false");

// Where a field lies, four numbers each: how often it occurs, where its first tag begins, and the value of its last
// occurrence, which is the one that counts.
const COUNT = 0;
const FIRST = 1;
const START = 2;
const END = 3;
const SLOT = 4;

/**
 * Prints OTLP messages as JSON in the form that Tempo answers trace by id in: defaults are left out, ids and bytes are
 * base64, 64-bit numbers strings, enums names; `resource`, `scope` and `status` always appear. Of a repeated singular
 * field the last occurrence counts (messages are merged), fields may come in any order, unknown ones are passed over.
 *
 * All methods take the body [start, end) of a message in `bytes`, which they do not keep, and throw AppError
 * `invalid_argument` when it is malformed or an attribute value is nested deeper than `maxValueDepth`. What was written
 * by then is of no use.
 */
export class TraceJsonPrinter {
  readonly #out: JsonWriter;
  readonly #maxValueDepth: number;
  // Fields of the messages being printed, as a stack; grows to the deepest nesting met.
  #slots = new Int32Array(1024);
  #top = 0;
  #depth = 0;
  // Halves of the varint read last.
  #low = 0;
  #high = 0;
  readonly #scratch = new DataView(new ArrayBuffer(8));

  constructor(out: JsonWriter, maxValueDepth: number) {
    this.#out = out;
    this.#maxValueDepth = maxValueDepth;
  }

  /** A TracesData as `{"resourceSpans":[…]}`. */
  traces(bytes: Uint8Array, start: number, end: number): void {
    this.#root(TRACES_MESSAGE, bytes, start, end);
  }

  /** A ResourceSpans without its ScopeSpans: a whole object with at least one member. */
  resourceSpansHead(bytes: Uint8Array, start: number, end: number): void {
    this.#root(RESOURCE_SPANS_HEAD, bytes, start, end);
  }

  /** A ScopeSpans without its spans: a whole object with at least one member. */
  scopeSpansHead(bytes: Uint8Array, start: number, end: number): void {
    this.#root(SCOPE_SPANS_HEAD, bytes, start, end);
  }

  span(bytes: Uint8Array, start: number, end: number): void {
    this.#root(SPAN_MESSAGE, bytes, start, end);
  }

  #root(message: Message, bytes: Uint8Array, start: number, end: number): void {
    // A message that threw has left its marks.
    this.#top = 0;
    this.#depth = 0;
    this.#message(message, new WireReader(bytes, start), end);
  }

  /** Prints the message from the reader's position to `end`; leaves the reader anywhere. */
  #message(message: Message, reader: WireReader, end: number): void {
    const base = this.#top;
    const { fields } = message;
    this.#top = base + SLOT * fields.length;
    if (this.#top > this.#slots.length) this.#growSlots();
    const last = this.#find(message, reader, end, base);
    this.#out.byte(OPEN_OBJECT);
    if (message.oneof) {
      const field = last < 0 ? undefined : fields[last];
      if (field !== undefined) this.#singular(field, reader, base + SLOT * last, true);
    } else {
      for (let index = 0; index < fields.length; index++) {
        const field = fields[index];
        const slot = base + SLOT * index;
        if (field === undefined) continue;
        if (this.#slots[slot + COUNT] === 0) {
          if (field.always) this.#absent(field);
        } else if (field.repeated) this.#list(message, index, reader, slot);
        else this.#singular(field, reader, slot, false);
      }
    }
    this.#out.close(CLOSE_OBJECT);
    this.#top = base;
  }

  #growSlots(): void {
    const grown = new Int32Array(2 * this.#top);
    grown.set(this.#slots);
    this.#slots = grown;
  }

  /** Notes where each field lies. Returns the index of the known field that came last, -1 when there is none. */
  #find(message: Message, reader: WireReader, end: number, base: number): number {
    const slots = this.#slots;
    slots.fill(0, base, this.#top);
    let last = -1;
    while (reader.pos < end) {
      const tagAt = reader.pos;
      const tag = reader.tag(end);
      const index = tag < KNOWN_TAGS ? (message.indexOfTag[tag] ?? -1) : -1;
      if (index < 0) {
        reader.skip(tag, end);
        continue;
      }
      const slot = base + SLOT * index;
      // A member of a oneof that comes after another one starts afresh; after itself it is merged.
      if (message.oneof && index !== last) slots[slot + COUNT] = 0;
      last = index;
      if (slots[slot + COUNT] === 0) slots[slot + FIRST] = tagAt;
      slots[slot + COUNT] = (slots[slot + COUNT] ?? 0) + 1;
      if ((tag & 7) === LENGTH) {
        const length = reader.length(end);
        slots[slot + START] = reader.pos;
        reader.pos += length;
      } else {
        slots[slot + START] = reader.pos;
        reader.skip(tag, end);
      }
      slots[slot + END] = reader.pos;
    }
    return last;
  }

  #absent(field: Field): void {
    this.#out.text(field.name);
    this.#out.text(EMPTY_OBJECT);
    this.#out.byte(COMMA);
  }

  /** Prints all occurrences, which lie between the first one's tag and the last one's end. */
  #list(message: Message, index: number, reader: WireReader, slot: number): void {
    const field = message.fields[index];
    if (field === undefined) return;
    const end = this.#slots[slot + END] ?? 0;
    let pos = this.#slots[slot + FIRST] ?? 0;
    this.#out.text(field.name);
    this.#out.byte(OPEN_LIST);
    while (pos < end) {
      reader.pos = pos;
      const tag = reader.tag(end);
      if (tag >= KNOWN_TAGS || message.indexOfTag[tag] !== index) {
        reader.skip(tag, end);
        pos = reader.pos;
        continue;
      }
      const length = reader.length(end);
      pos = reader.pos + length;
      if (field.message === undefined) this.#out.string(reader.bytes, reader.pos, pos);
      else this.#nested(field.message, reader, pos);
      this.#out.byte(COMMA);
    }
    this.#out.close(CLOSE_LIST);
    this.#out.byte(COMMA);
  }

  /** Prints the value that counts, unless it is the default and `always` is false. */
  #singular(field: Field, reader: WireReader, slot: number, always: boolean): void {
    const start = this.#slots[slot + START] ?? 0;
    const end = this.#slots[slot + END] ?? 0;
    reader.pos = start;
    if (field.message !== undefined) {
      this.#out.text(field.name);
      if (this.#slots[slot + COUNT] === 1) this.#nested(field.message, reader, end);
      else this.#merged(field, reader, slot);
      this.#out.byte(COMMA);
    } else if (always || !this.#isDefault(field.type, reader, start, end)) {
      this.#out.text(field.name);
      this.#scalar(field, reader, start, end);
      this.#out.byte(COMMA);
    }
  }

  /** Merged messages are, by protobuf's definition, their bodies joined. */
  #merged(field: Field, reader: WireReader, slot: number): void {
    const first = this.#slots[slot + FIRST] ?? 0;
    const end = this.#slots[slot + END] ?? 0;
    const joined = new Uint8Array(end - first);
    const source = new WireReader(reader.bytes, first);
    const wanted = source.tag(end);
    let length = 0;
    source.pos = first;
    while (source.pos < end) {
      const tag = source.tag(end);
      if (tag !== wanted) {
        source.skip(tag, end);
        continue;
      }
      const part = source.length(end);
      joined.set(source.bytes.subarray(source.pos, source.pos + part), length);
      length += part;
      source.pos += part;
    }
    if (field.message !== undefined) this.#nested(field.message, new WireReader(joined), length);
  }

  #nested(message: Message, reader: WireReader, end: number): void {
    if (message !== ANY) return this.#message(message, reader, end);
    if (++this.#depth > this.#maxValueDepth) {
      throw new AppError(
        "invalid_argument",
        `attribute value nested deeper than ${this.#maxValueDepth} levels at byte ${reader.pos}`,
      );
    }
    this.#message(message, reader, end);
    this.#depth--;
  }

  #isDefault(type: number, reader: WireReader, start: number, end: number): boolean {
    if (type === STRING || type === BYTES) return start === end;
    this.#load(type, reader, start);
    return this.#low === 0 && (this.#high === 0 || type === UINT32 || type === ENUM);
  }

  #scalar(field: Field, reader: WireReader, start: number, end: number): void {
    const out = this.#out;
    switch (field.type) {
      case STRING:
        return out.string(reader.bytes, start, end);
      case BYTES:
        return out.base64(reader.bytes, start, end);
      default:
        this.#load(field.type, reader, start);
    }
    switch (field.type) {
      case UINT64:
        return out.uint64(this.#high, this.#low);
      case INT64:
        return out.int64(this.#high, this.#low);
      case BOOL:
        return out.text((this.#low | this.#high) === 0 ? FALSE : TRUE);
      case DOUBLE:
        this.#scratch.setUint32(0, this.#high);
        this.#scratch.setUint32(4, this.#low);
        return out.double(this.#scratch.getFloat64(0));
      case ENUM: {
        const name = field.enumNames[this.#low];
        return name === undefined ? out.number(this.#low | 0) : out.text(name);
      }
      default:
        return out.number(this.#low);
    }
  }

  /** Reads the number at `start` into `#low` and `#high`, unsigned. It was measured before, so it is whole. */
  #load(type: number, reader: WireReader, start: number): void {
    const { bytes } = reader;
    if (WIRE_TYPES[type] === VARINT) return this.#loadVarint(bytes, start);
    this.#low = word(bytes, start);
    this.#high = type === FLAGS ? 0 : word(bytes, start + 4);
  }

  #loadVarint(bytes: Uint8Array, start: number): void {
    let low = 0;
    let high = 0;
    for (let i = 0; i < 10; i++) {
      const byte = bytes[start + i] ?? 0;
      const bits = byte & 127;
      if (i < 4) low |= bits << (7 * i);
      else if (i === 4) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (7 * i - 32);
      if (byte < 128) break;
    }
    this.#low = low >>> 0;
    this.#high = high >>> 0;
  }
}

function word(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24)) >>>
    0
  );
}

/**
 * A whole TracesData as JSON text `{"resourceSpans":[…]}` in UTF-8; see `TraceJsonPrinter`.
 * @returns an array that owns its buffer
 * @throws AppError `invalid_argument`
 */
export function traceToJson(bytes: Uint8Array, maxValueDepth: number): Uint8Array<ArrayBuffer> {
  const out = new JsonWriter();
  new TraceJsonPrinter(out, maxValueDepth).traces(bytes, 0, bytes.length);
  return out.take();
}
