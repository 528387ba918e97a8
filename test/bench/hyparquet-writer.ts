// The same rows and columns by hyparquet-writer, as fast as its interface allows: our first pass and order, values
// interned per column so that each distinct string is made once, then its writer.
import { ByteWriter, ParquetWriter, type ColumnSource } from "hyparquet-writer";
import type { SchemaElement } from "hyparquet";
import { attributeSchema, planColumns } from "../../src/block/column-plan.ts";
import { ByteDictionary } from "../../src/block/dictionary.ts";
import {
  AttributeCursor,
  FieldCursor,
  readVarint,
  VALUE_TYPE,
  VALUE_TYPES,
} from "../../src/block/field-cursor.ts";
import { type AttributeRange, JsonValues } from "../../src/block/json-values.ts";
import { Preorder } from "../../src/block/preorder.ts";
import { SpanIndex } from "../../src/block/span-index.ts";
import { WORDS } from "../../src/block/span-scanner.ts";
import { sortSpans } from "../../src/block/span-order.ts";
import { appendSuffix } from "../../src/block/suffix.ts";
import { ByteBuffer } from "../../src/block/byte-buffer.ts";
import * as tags from "../../src/block/tags.ts";
import { JsonWriter } from "../../src/otlp/json-writer.ts";
import { compressZstd } from "../../src/util/codec.ts";

const PAGE_BYTES = 512 * 1024;
const decoder = new TextDecoder();

/** Bytes to strings, each distinct one made once. */
class Texts {
  readonly #dictionary = new ByteDictionary();
  readonly #texts: string[] = [];

  get(bytes: Uint8Array, start: number, end: number): string {
    const code = this.#dictionary.intern(bytes, start, end);
    return (this.#texts[code] ??= decoder.decode(bytes.subarray(start, end)));
  }
}

type Cell = string | number | bigint | boolean | Uint8Array | null;

interface Column {
  readonly element: SchemaElement;
  readonly data: Cell[];
  readonly texts: Texts;
  readonly hasStatistics: boolean;
}

function big(index: SpanIndex, span: number, word: number): bigint {
  return (BigInt(index.word(span, word + 1)) << 32n) | BigInt(index.word(span, word));
}

class Rows {
  readonly columns = new Map<string, Column>();
  readonly slots: (Column | undefined)[] = [];
  readonly #index: SpanIndex;
  readonly #fields = new FieldCursor();
  readonly #status = new FieldCursor();
  readonly #attribute = new AttributeCursor();
  readonly #json = new JsonWriter();
  readonly #values = new JsonValues(this.#json);
  readonly #words = { low: 0, high: 0 };
  readonly #view = new DataView(new ArrayBuffer(8));

  constructor(index: SpanIndex) {
    this.#index = index;
    const fixed: [string, Partial<SchemaElement>, boolean?][] = [
      ["otlp_span", { type: "BYTE_ARRAY" }],
      ["service", { type: "BYTE_ARRAY", converted_type: "UTF8" }],
      ["name", { type: "BYTE_ARRAY", converted_type: "UTF8" }],
      ["kind", { type: "INT32" }],
      ["status_code", { type: "INT32" }],
      ["duration_nano", { type: "INT64" }, true],
      ["start_time_unix_nano", { type: "INT64" }, true],
      ["parent_row_distance", { type: "INT32" }],
      ["trace_id", { type: "FIXED_LEN_BYTE_ARRAY", type_length: 16 }, true],
      ["resource", { type: "BYTE_ARRAY", converted_type: "UTF8" }],
      ["scope", { type: "BYTE_ARRAY", converted_type: "UTF8" }],
      ["span_id", { type: "FIXED_LEN_BYTE_ARRAY", type_length: 8 }],
      ["parent_span_id", { type: "FIXED_LEN_BYTE_ARRAY", type_length: 8, repetition_type: "OPTIONAL" }],
    ];
    for (const [name, element, hasStatistics] of fixed) {
      this.#column(name, { repetition_type: "REQUIRED", ...element }, hasStatistics ?? false);
    }
    for (const name of ["status_message", "trace_state", "events", "links", "attributes_rest"]) {
      this.#column(name, { type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" }, false);
    }
    for (const planned of planColumns(index.keys, index.count).columns) {
      const { name, physical } = attributeSchema(planned);
      const type = { bytes: "BYTE_ARRAY", int64: "INT64", double: "DOUBLE", boolean: "BOOLEAN" }[
        physical as "bytes"
      ];
      this.slots[planned.slot] = this.#column(
        name,
        {
          type: type as "BYTE_ARRAY",
          ...(physical === "bytes" ? { converted_type: "UTF8" } : {}),
          repetition_type: "OPTIONAL",
        },
        false,
      );
    }
  }

  #column(name: string, element: Partial<SchemaElement>, hasStatistics: boolean): Column {
    const column = { element: { name, ...element }, data: [], texts: new Texts(), hasStatistics };
    this.columns.set(name, column);
    return column;
  }

  #set(row: number, name: string, value: Cell): void {
    this.columns.get(name)!.data[row] = value;
  }

  #text(row: number, name: string, bytes: Uint8Array, start: number, end: number): void {
    const { data, texts } = this.columns.get(name)!;
    data[row] = texts.get(bytes, start, end);
  }

  add(row: number, span: number, distance: number): void {
    const index = this.#index;
    const bytes = index.spanBytes(span);
    const stored = new ByteBuffer(bytes.length + 10);
    stored.append(bytes, 0, bytes.length);
    appendSuffix(stored, index.word(span, WORDS.resource), index.word(span, WORDS.scope));
    this.#set(row, "otlp_span", stored.view());
    const start = big(index, span, WORDS.startLow);
    const end = big(index, span, WORDS.endLow);
    this.#set(row, "start_time_unix_nano", start);
    this.#set(row, "duration_nano", end > start ? end - start : 0n);
    this.#set(row, "parent_row_distance", distance);
    this.#set(row, "kind", index.word(span, WORDS.kind));
    this.#set(row, "trace_id", index.traceIds.value(index.word(span, WORDS.trace)));
    this.#owner(row, "resource", index.resources.head(index.word(span, WORDS.resource)));
    this.#owner(row, "scope", index.scopes.head(index.word(span, WORDS.scope)));
    this.#span(row, bytes);
  }

  // The JSON of each head is made once.
  readonly #heads = new ByteDictionary();
  readonly #ownerTexts: string[] = [];

  #owner(row: number, name: "resource" | "scope", head: Uint8Array): void {
    const code = this.#heads.intern(head, 0, head.length);
    let text = this.#ownerTexts[code];
    if (text === undefined) {
      const fields = new FieldCursor();
      fields.enter(head, 0, head.length);
      const body = fields.next() ? head.subarray(fields.start, fields.end) : new Uint8Array(0);
      if (name === "resource") this.#values.resource(body);
      else this.#values.scope(body);
      text = decoder.decode(this.#json.take());
      this.#ownerTexts[code] = text;
    }
    this.#set(row, name, text);
    if (name === "resource") this.#set(row, "service", text.slice(16, text.indexOf('"', 17)));
  }

  #span(row: number, bytes: Uint8Array): void {
    const fields = this.#fields;
    const events: AttributeRange[] = [];
    const links: AttributeRange[] = [];
    const rest: AttributeRange[] = [];
    this.#set(row, "status_code", 0);
    fields.enter(bytes, 0, bytes.length);
    while (fields.next()) {
      const { start, end } = fields;
      if (fields.tag === tags.ATTRIBUTES_TAG) this.#value(row, bytes, start, end, rest);
      else if (fields.tag === tags.NAME_TAG) this.#text(row, "name", bytes, start, end);
      else if (fields.tag === tags.SPAN_ID_TAG) this.#set(row, "span_id", bytes.subarray(start, end));
      else if (fields.tag === tags.PARENT_SPAN_ID_TAG)
        this.#set(row, "parent_span_id", bytes.subarray(start, end));
      else if (fields.tag === tags.TRACE_STATE_TAG) this.#text(row, "trace_state", bytes, start, end);
      else if (fields.tag === tags.EVENTS_TAG) events.push({ bytes, start, end });
      else if (fields.tag === tags.LINKS_TAG) links.push({ bytes, start, end });
      else if (fields.tag === tags.STATUS_TAG) this.#readStatus(row, bytes, start, end);
    }
    if (events.length > 0) this.#list(row, "events", () => this.#values.events(events));
    if (links.length > 0) this.#list(row, "links", () => this.#values.links(links));
    if (rest.length > 0) this.#list(row, "attributes_rest", () => this.#values.attributes(rest));
  }

  #readStatus(row: number, bytes: Uint8Array, start: number, end: number): void {
    const fields = this.#status;
    fields.enter(bytes, start, end);
    while (fields.next()) {
      if (fields.tag === tags.STATUS_CODE_TAG) this.#set(row, "status_code", bytes[fields.start] ?? 0);
      else this.#text(row, "status_message", bytes, fields.start, fields.end);
    }
  }

  #list(row: number, name: string, print: () => void): void {
    print();
    this.#set(row, name, decoder.decode(this.#json.take()));
  }

  #value(row: number, bytes: Uint8Array, start: number, end: number, rest: AttributeRange[]): void {
    const attribute = this.#attribute;
    attribute.read(bytes, start, end);
    const key = this.#index.keys.find(attribute.keyBytes, attribute.keyStart, attribute.keyEnd);
    const column = this.slots[key * VALUE_TYPES + attribute.type];
    if (column === undefined) return void rest.push({ bytes, start, end });
    const { type, valueBytes, valueStart, valueEnd } = attribute;
    if (type === VALUE_TYPE.string) column.data[row] = column.texts.get(valueBytes, valueStart, valueEnd);
    else if (type === VALUE_TYPE.double) {
      for (let i = 0; i < 8; i++) this.#view.setUint8(i, valueBytes[valueStart + i] ?? 0);
      column.data[row] = this.#view.getFloat64(0, true);
    } else {
      readVarint(valueBytes, valueStart, this.#words);
      column.data[row] =
        type === VALUE_TYPE.bool
          ? this.#words.low !== 0
          : BigInt.asIntN(64, (BigInt(this.#words.high) << 32n) | BigInt(this.#words.low));
    }
  }
}

/** Writes the spans of `messages` in the block's order. Returns the bytes of the file. */
export function writeByHyparquet(messages: readonly Uint8Array[]): number {
  const index = new SpanIndex();
  for (const message of messages) index.add(message);
  const rows = new Rows(index);
  const byTrace: number[][] = Array.from({ length: index.traceIds.size }, () => []);
  for (let span = 0; span < index.count; span++) byTrace[index.word(span, WORDS.trace)]!.push(span);
  const traces = byTrace
    .map((spans, trace) => ({ id: index.traceIds.value(trace), spans: Uint32Array.from(spans) }))
    .sort((a, b) => Buffer.compare(a.id, b.id));
  const preorder = new Preorder();
  let row = 0;
  for (const { spans } of traces) {
    sortSpans(index, spans);
    const ordered = preorder.order(index, spans);
    for (let i = 0; i < ordered.count; i++) rows.add(row++, ordered.spans[i]!, ordered.distances[i]!);
  }
  const columnData: ColumnSource[] = [];
  for (const [name, { data, hasStatistics }] of rows.columns) {
    for (let i = 0; i < row; i++) data[i] ??= null;
    columnData.push({ name, data, statistics: hasStatistics });
  }
  const elements = Array.from(rows.columns.values(), ({ element }) => element);
  const writer = new ByteWriter();
  const file = new ParquetWriter({
    writer,
    schema: [{ name: "root", num_children: elements.length }, ...elements],
    codec: "ZSTD",
    compressors: { ZSTD: (bytes) => compressZstd(bytes, 3) },
  });
  void file.write({ columnData, pageSize: PAGE_BYTES, rowGroupSize: 65_536 });
  void file.finish();
  return writer.offset;
}
