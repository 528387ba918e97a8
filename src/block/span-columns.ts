// Second pass: a span's bytes into the columns, in row order. No string and no object is made for a usual span.
import { JsonWriter } from "../otlp/json-writer.ts";
import { NO_NOTE } from "./attribute-notes.ts";
import { ByteBuffer, wordAt } from "./byte-buffer.ts";
import { BoolColumn, BytesColumn, type Column, WordColumn } from "./column.ts";
import { attributeSchema, type ColumnPlan } from "./column-plan.ts";
import { AttributeCursor, FieldCursor, readVarint, VALUE_TYPE, VALUE_TYPES } from "./field-cursor.ts";
import { type FixedColumns, makeFixedColumns } from "./fixed-columns.ts";
import { type AttributeRange, JsonValues } from "./json-values.ts";
import type { KeyTable } from "./key-table.ts";
import type { RowFacts } from "./row-facts.ts";
import * as tags from "./tags.ts";
import { clampSigned, subtract, type Words } from "./words.ts";

/** Holds the largest page of most columns: 32k values of 8 bytes. */
const SCRATCH_BYTES = 512 * 1024;

/** All columns but otlp_span. */
export class SpanColumns {
  readonly fixed: FixedColumns;
  /** In the order of the file. */
  readonly all: readonly Column[];
  // By slot (key * VALUE_TYPES + type), one array for each class of column so that calls stay monomorphic.
  readonly #texts: (BytesColumn | undefined)[];
  readonly #words: (WordColumn | undefined)[];
  readonly #booleans: (BoolColumn | undefined)[];
  readonly #keys: KeyTable;
  readonly #fields = new FieldCursor();
  readonly #statusFields = new FieldCursor();
  readonly #attribute = new AttributeCursor();
  readonly #varint: Words = { low: 0, high: 0 };
  readonly #time: Words = { low: 0, high: 0 };
  readonly #json = new JsonWriter();
  readonly #values = new JsonValues(this.#json);
  // The current span: where its single fields lie (the last of each counts) and what goes to JSON.
  #row = 0;
  #nameStart = 0;
  #nameEnd = 0;
  #stateStart = 0;
  #stateEnd = 0;
  #messageStart = 0;
  #messageEnd = 0;
  #kind = 0;
  #statusCode = 0;
  #rest: AttributeRange[] = [];
  #events: AttributeRange[] = [];
  #links: AttributeRange[] = [];

  /** @param keys the table that `plan` was made from */
  constructor(plan: ColumnPlan, keys: KeyTable, zstdLevel: number) {
    const context = { zstdLevel, scratch: new ByteBuffer(SCRATCH_BYTES) };
    this.#keys = keys;
    this.fixed = makeFixedColumns(context);
    const columns: Column[] = Object.values(this.fixed);
    this.#texts = Array.from({ length: plan.slotCount }, () => undefined);
    this.#words = Array.from({ length: plan.slotCount }, () => undefined);
    this.#booleans = Array.from({ length: plan.slotCount }, () => undefined);
    for (const planned of plan.columns) {
      const schema = attributeSchema(planned);
      if (planned.type === "string") {
        const column = new BytesColumn(schema, context);
        this.#texts[planned.slot] = column;
        columns.push(column);
      } else if (planned.type === "bool") {
        const column = new BoolColumn(schema, context);
        this.#booleans[planned.slot] = column;
        columns.push(column);
      } else {
        const column = new WordColumn(schema, context);
        this.#words[planned.slot] = column;
        columns.push(column);
      }
    }
    this.all = columns;
  }

  /**
   * Adds what is known of the span as `row` of the page, but for its trace and owners.
   * @throws AppError `invalid_argument` when the span is malformed
   */
  add(row: number, facts: RowFacts): void {
    const { spanId, parentId } = facts;
    const { fixed } = this;
    this.#addContent(row, facts);
    fixed.parentDistance.add(row, facts.parentDistance, 0);
    fixed.spanId.addWords(row, spanId.low, spanId.high);
    if ((parentId.low | parentId.high) !== 0) fixed.parentId.addWords(row, parentId.low, parentId.high);
    this.#addTimes(row, facts);
  }

  #addTimes(row: number, { startTime, endTime }: RowFacts): void {
    const { fixed } = this;
    const time = this.#time;
    clampSigned(startTime, time);
    fixed.start.addWords(row, time.low, time.high);
    subtract(endTime, startTime, time);
    clampSigned(time, time);
    fixed.duration.addWords(row, time.low, time.high);
  }

  /** Adds what the span [start, end) itself holds. */
  #addContent(row: number, { bytes, start, end, notes, notesAt }: RowFacts): void {
    const fields = this.#fields;
    this.#reset(row);
    fields.enter(bytes, start, end);
    let attribute = notesAt;
    while (fields.next()) {
      if (fields.tag === tags.ATTRIBUTES_TAG) this.#addAttribute(fields, notes.at(attribute++));
      else this.#note(fields);
    }
    const { fixed } = this;
    fixed.name.add(row, bytes, this.#nameStart, this.#nameEnd);
    fixed.kind.add(row, this.#kind, 0);
    fixed.statusCode.add(row, this.#statusCode, 0);
    if (this.#messageEnd > this.#messageStart) {
      fixed.statusMessage.add(row, bytes, this.#messageStart, this.#messageEnd);
    }
    if (this.#stateEnd > this.#stateStart) fixed.traceState.add(row, bytes, this.#stateStart, this.#stateEnd);
    if (this.#rest.length + this.#events.length + this.#links.length > 0) this.#addJson();
  }

  #reset(row: number): void {
    this.#row = row;
    this.#nameStart = 0;
    this.#nameEnd = 0;
    this.#stateStart = 0;
    this.#stateEnd = 0;
    this.#messageStart = 0;
    this.#messageEnd = 0;
    this.#kind = 0;
    this.#statusCode = 0;
  }

  #note({ tag, bytes, start, end }: FieldCursor): void {
    switch (tag) {
      case tags.NAME_TAG:
        this.#nameStart = start;
        this.#nameEnd = end;
        break;
      case tags.KIND_TAG:
        readVarint(bytes, start, this.#varint);
        this.#kind = this.#varint.low;
        break;
      case tags.STATUS_TAG:
        this.#readStatus(bytes, start, end);
        break;
      case tags.TRACE_STATE_TAG:
        this.#stateStart = start;
        this.#stateEnd = end;
        break;
      case tags.EVENTS_TAG:
        this.#events.push({ bytes, start, end });
        break;
      case tags.LINKS_TAG:
        this.#links.push({ bytes, start, end });
        break;
      default:
    }
  }

  /** A repeated status is merged: a field that the later one lacks keeps its value. */
  #readStatus(bytes: Uint8Array, start: number, end: number): void {
    const fields = this.#statusFields;
    fields.enter(bytes, start, end);
    while (fields.next()) {
      if (fields.tag === tags.STATUS_MESSAGE_TAG) {
        this.#messageStart = fields.start;
        this.#messageEnd = fields.end;
      } else if (fields.tag === tags.STATUS_CODE_TAG) {
        readVarint(bytes, fields.start, this.#varint);
        this.#statusCode = this.#varint.low;
      }
    }
  }

  #addAttribute({ bytes, start, end }: FieldCursor, note: number): void {
    const attribute = this.#attribute;
    const slot = this.#readAttribute(bytes, start, end, note);
    if (attribute.type === VALUE_TYPE.string) {
      const column = this.#texts[slot];
      if (column !== undefined) {
        column.add(this.#row, attribute.valueBytes, attribute.valueStart, attribute.valueEnd);
        return;
      }
    } else if (this.#addNumber(slot)) return;
    this.#rest.push({ bytes, start, end });
  }

  /** Makes the attribute the current one. Returns its slot. */
  #readAttribute(bytes: Uint8Array, start: number, end: number, note: number): number {
    const attribute = this.#attribute;
    const slot = note >>> 1;
    if (note !== NO_NOTE && (note & 1) === 1) {
      attribute.readPlain(bytes, start, end, slot % VALUE_TYPES);
      return slot;
    }
    attribute.read(bytes, start, end);
    if (note !== NO_NOTE) return slot;
    return (
      this.#keys.find(attribute.keyBytes, attribute.keyStart, attribute.keyEnd) * VALUE_TYPES + attribute.type
    );
  }

  /** Adds the current attribute, which is no text, to its column; false when it has none. */
  #addNumber(slot: number): boolean {
    const { type, valueBytes, valueStart } = this.#attribute;
    const column = this.#words[slot];
    if (column !== undefined) {
      if (type === VALUE_TYPE.double) {
        column.add(this.#row, wordAt(valueBytes, valueStart), wordAt(valueBytes, valueStart + 4));
      } else {
        readVarint(valueBytes, valueStart, this.#varint);
        column.add(this.#row, this.#varint.low, this.#varint.high);
      }
      return true;
    }
    const booleans = this.#booleans[slot];
    if (booleans === undefined) return false;
    readVarint(valueBytes, valueStart, this.#varint);
    booleans.add(this.#row, (this.#varint.low | this.#varint.high) !== 0);
    return true;
  }

  #addJson(): void {
    const { events, links, attributesRest } = this.fixed;
    if (this.#events.length > 0) {
      this.#values.events(this.#events);
      this.#addText(events);
      this.#events = [];
    }
    if (this.#links.length > 0) {
      this.#values.links(this.#links);
      this.#addText(links);
      this.#links = [];
    }
    if (this.#rest.length > 0) {
      this.#values.attributes(this.#rest);
      this.#addText(attributesRest);
      this.#rest = [];
    }
  }

  #addText(column: BytesColumn): void {
    const json = this.#json;
    column.add(this.#row, json.bytes, 0, json.length);
    json.clear();
  }

  /** JSON of a Resource body. */
  resourceJson(body: Uint8Array): Uint8Array {
    this.#values.resource(body);
    return this.#json.take();
  }

  /** JSON of an InstrumentationScope body. */
  scopeJson(body: Uint8Array): Uint8Array {
    this.#values.scope(body);
    return this.#json.take();
  }
}
