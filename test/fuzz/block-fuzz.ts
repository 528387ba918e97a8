// Blocks that lie with a straight face: a part is changed and framed anew, with the right checksum and length, so that
// the lie reaches the decoder. (Damage that the checksums catch is in unit/block/damage.test.ts.)
//
// What must come out: AppError `corrupt`, or exactly what FORMAT.md makes of the changed bytes, worked out naively here.
import { decodeColumn } from "../../src/block/column-reader.ts";
import { mayHoldTrace, tracePages } from "../../src/block/lookup.ts";
import { decodePageBody, decodePageHeader, encodePage, type PageHeader } from "../../src/block/page.ts";
import type { FileMetadata } from "../../src/block/parquet-metadata.ts";
import { decodePart, encodePart, PART, type PartKind } from "../../src/block/part.ts";
import { readTracePages } from "../../src/block/read-trace.ts";
import { bytesSource, openBlock } from "../../src/block/reader.ts";
import { decodeStruct, encodeStruct, type ThriftStruct, type ThriftValue } from "../../src/block/thrift.ts";
import { isAppError } from "../../src/util/errors.ts";
import { type BuiltBlock, buildBlock, collect, hex, inOneChunk, sentSpans } from "../support/block-model.ts";
import { makeGenerator } from "../support/generator.ts";
import { mutate } from "../support/otlp.ts";
import { makeRandom, type Random } from "../support/random.ts";

/** Milliseconds that no reading may take, on a busy machine too: the blocks are of some 100 KB. */
const WORK_MS = 2000;
/** Bytes that no reading may allocate. */
const MEMORY_BYTES = 64 * 1024 * 1024;

/** Columns read of a file: all of them would take ten times as long as the rest. */
const COLUMNS_READ = 4;

const MAGIC = new TextEncoder().encode("PAR1");

interface Page {
  readonly header: PageHeader;
  readonly raw: Uint8Array;
}

/** A number that decoders trip over: around 0, around the true one, around the ends of types. */
function oddNumber(random: Random, value: number): number {
  const odd = [
    0,
    1,
    value - 1,
    value + 1,
    2 * value,
    value >>> 1,
    0x7f,
    0xffff,
    0x7fffffff,
    0x80000000,
    0xffffffff,
  ];
  return Math.max(0, random.chance(0.9) ? random.pick(odd) : random.u32());
}

/** Changes one or a few words, or bytes anywhere. */
function lie(bytes: Uint8Array, random: Random, wordsAt?: readonly number[]): Uint8Array {
  if (bytes.length < 4 || random.chance(0.3)) return mutate(bytes, random);
  const out = Uint8Array.from(bytes);
  const view = new DataView(out.buffer);
  const at =
    wordsAt !== undefined && random.chance(0.8) ? random.pick(wordsAt) : random.below(out.length - 3);
  view.setUint32(at, oddNumber(random, view.getUint32(at, true)), true);
  return out;
}

/** `corrupt`, or what `read` gave. Anything else that is thrown passes through. */
async function outcome<T>(read: () => Promise<T>): Promise<T | "corrupt"> {
  try {
    return await read();
  } catch (error) {
    if (!isAppError(error) || error.kind !== "corrupt") throw error;
    return "corrupt";
  }
}

function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

/** Where each field of a message lies; undefined when it is malformed. */
function naiveFields(
  bytes: Uint8Array,
): { number: number; wireType: number; body: Uint8Array }[] | undefined {
  const fields: { number: number; wireType: number; body: Uint8Array }[] = [];
  let at = 0;
  const varint = (): number | undefined => {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      const byte = bytes[at++];
      if (byte === undefined) return undefined;
      value += (byte & 127) * 2 ** (7 * i);
      if (byte < 128) return value;
    }
    return undefined;
  };
  while (at < bytes.length) {
    const tag = varint();
    if (tag === undefined || tag < 8 || tag > 0xffffffff) return undefined;
    const wireType = tag % 8;
    let start = at;
    if (wireType === 0) {
      if (varint() === undefined) return undefined;
    } else if (wireType === 1) at += 8;
    else if (wireType === 5) at += 4;
    else if (wireType === 2) {
      const length = varint();
      if (length === undefined) return undefined;
      start = at;
      at += length;
    } else return undefined;
    if (at > bytes.length) return undefined;
    fields.push({ number: Math.floor(tag / 8), wireType, body: bytes.subarray(start, at) });
  }
  return fields;
}

interface Heads {
  readonly resources: readonly Uint8Array[];
  readonly scopes: readonly Uint8Array[];
}

/** The table of the part "resources"; undefined when it does not add up. */
function naiveHeads(body: Uint8Array): Heads | undefined {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  if (body.length < 8) return undefined;
  const [r, s] = [view.getUint32(0, true), view.getUint32(4, true)];
  const heads: Uint8Array[] = [];
  let at = 8;
  while (at < body.length) {
    if (at + 4 > body.length) return undefined;
    const length = view.getUint32(at, true);
    if (at + 4 + length > body.length) return undefined;
    heads.push(body.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  if (!heads.every(isHead)) return undefined;
  return heads.length === r + s ? { resources: heads.slice(0, r), scopes: heads.slice(r) } : undefined;
}

/** A head is whole fields 1 and 3. */
function isHead(head: Uint8Array): boolean {
  const fields = naiveFields(head);
  return fields?.every(({ number, wireType }) => (number === 1 || number === 3) && wireType === 2) ?? false;
}

/** Spans of the trace in a page, as hex, sorted; undefined when the page is not as FORMAT.md has it. */
function naiveSpans(raw: Uint8Array, rows: number, traceId: Uint8Array, heads: Heads): string[] | undefined {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.length);
  const spans: string[] = [];
  let count = 0;
  for (let at = 0; at < raw.length; count++) {
    if (at + 4 > raw.length) return undefined;
    const end = at + 4 + view.getUint32(at, true);
    if (end > raw.length || end - at - 4 < 10) return undefined;
    const span = raw.subarray(at + 4, end - 10);
    const suffix = raw.subarray(end - 10, end);
    at = end;
    const fields = naiveFields(span);
    if (fields === undefined) return undefined;
    const id = fields.findLast(({ number, wireType }) => number === 1 && wireType === 2)?.body;
    if (id === undefined || hex(id) !== hex(traceId)) continue;
    const scope = Number.parseInt(hex(Uint8Array.of(suffix[2]!, suffix[4]!, suffix[6]!, suffix[8]!)), 16);
    const resource = Number.parseInt(hex(Uint8Array.of(suffix[3]!, suffix[5]!, suffix[7]!, suffix[9]!)), 16);
    if (suffix[0] !== 0xa1 || suffix[1] !== 0x06) return undefined;
    if (heads.resources[resource] === undefined || heads.scopes[scope] === undefined) return undefined;
    spans.push(hex(span));
  }
  return count === rows ? spans.sort() : undefined;
}

/** Spans of TracesData as hex, sorted. Their insides are not looked at. */
function spansOf(pieces: readonly Uint8Array[]): string[] {
  const bodies = (bytes: Uint8Array, wanted: number): Uint8Array[] => {
    const fields = naiveFields(bytes);
    must(fields !== undefined, "what was handed out is malformed");
    return fields.flatMap(({ number, body }) => (number === wanted ? [body] : []));
  };
  return pieces
    .flatMap((piece) => bodies(piece, 1))
    .flatMap((resourceSpans) => bodies(resourceSpans, 2))
    .flatMap((scopeSpans) => bodies(scopeSpans, 2))
    .map(hex)
    .sort();
}

/** Where the words of a page of length-prefixed values lie. */
function lengthsAt(raw: Uint8Array): number[] {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.length);
  const at: number[] = [];
  for (let pos = 0; pos + 4 <= raw.length; pos += 4 + view.getUint32(pos, true)) at.push(pos);
  return at;
}

/** The words before the flags of a trace index of few pages: rows, of which a lookup makes no use, and lengths. */
function lastWords(body: Uint8Array): number[] {
  const pageCount = new DataView(body.buffer, body.byteOffset).getUint32(0, true);
  return Array.from({ length: 2 * pageCount }, (_, word) => body.length - pageCount - 4 * (word + 1));
}

/** A Thrift tree with one value of it changed. */
function lieInStruct(fields: ThriftStruct, random: Random): ThriftStruct {
  const entries = [...fields];
  if (entries.length === 0) return fields;
  const index = random.below(entries.length);
  const [id, value] = entries[index]!;
  if (random.chance(0.05)) entries.splice(index, 1);
  else entries[index] = [id, lieInValue(value, random)];
  return new Map(entries);
}

function lieInValue(value: ThriftValue, random: Random): ThriftValue {
  switch (value.type) {
    case "bool":
      return { type: "bool", value: !value.value };
    case "i8":
    case "i16":
    case "i32":
      return { type: value.type, value: oddNumber(random, value.value) | 0 };
    case "i64": {
      const odd = [-1n, 2n ** 53n, 2n ** 63n - 1n, BigInt(oddNumber(random, Number(value.value)))];
      return { type: "i64", value: random.pick(odd) };
    }
    case "double":
      return { type: "double", value: random.unit() };
    case "binary":
      return { type: "binary", value: lieInText(value.value, random) };
    case "list": {
      if (value.value.length === 0 || random.chance(0.1)) {
        return { ...value, value: value.value.slice(0, random.below(value.value.length + 1)) };
      }
      const at = random.below(value.value.length);
      return { ...value, value: value.value.with(at, lieInValue(value.value[at]!, random)) };
    }
    case "struct":
      return { type: "struct", value: lieInStruct(value.value, random) };
  }
}

/** In JSON, a number or a word; in other bytes, anything. */
function lieInText(bytes: Uint8Array, random: Random): Uint8Array {
  if (bytes[0] !== 0x7b || random.chance(0.1)) return mutate(bytes, random);
  const text = new TextDecoder().decode(bytes);
  const numbers = [...text.matchAll(/\d+/g)];
  const { 0: found, index } = random.pick(numbers);
  const odd = random.pick([
    String(oddNumber(random, Number(found) >>> 0)),
    "-1",
    "1.5",
    "null",
    "1e300",
    '"x"',
    "[]",
  ]);
  return new TextEncoder().encode(text.slice(0, index) + odd + text.slice(index + found.length));
}

type Target = (random: Random) => Promise<string>;

export class BlockFuzz {
  readonly #file: Uint8Array;
  readonly #written: BuiltBlock["written"];
  readonly #metadata: FileMetadata;
  readonly #traceIds: readonly Uint8Array[];
  readonly #spans: ReadonlyMap<string, readonly string[]>;
  readonly #counts = new Map<string, number>();
  readonly #targets: readonly (readonly [string, Target])[] = [
    ["page", (random) => this.#page(random)],
    ["page header", (random) => this.#pageHeader(random)],
    ["resources", (random) => this.#resources(random)],
    ["trace index", (random) => this.#traceIndex(random)],
    ["filter", (random) => this.#filter(random)],
    ["footer", (random) => this.#footer(random)],
    ["column", (random) => this.#column(random)],
    ["part of the file", (random) => this.#part(random)],
  ];

  private constructor(
    { file, written }: BuiltBlock,
    metadata: FileMetadata,
    messages: readonly Uint8Array[],
  ) {
    this.#file = file;
    this.#written = written;
    this.#metadata = metadata;
    const traces = Map.groupBy(sentSpans(messages), ({ span }) => hex(span.traceId));
    this.#traceIds = [...traces.keys()].map((id) => new Uint8Array(Buffer.from(id, "hex")));
    this.#spans = new Map(
      [...traces].map(([id, spans]) => [id, [...new Set(spans.map(({ bytes }) => hex(bytes)))].sort()]),
    );
  }

  /** A block of `spanCount` spans. */
  static async make(seed: number, spanCount: number): Promise<BlockFuzz> {
    const messages = [makeGenerator({ seed }).batch(spanCount)];
    const built = await buildBlock(messages);
    const { metadata } = await openBlock(bytesSource(built.file));
    return new BlockFuzz(built, metadata, messages);
  }

  /** Readings by target and outcome. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  /** One mutation. @throws what tells of a wrong outcome, with the target */
  async run(seed: number): Promise<void> {
    const random = makeRandom(seed);
    const [name, target] = this.#targets[seed % this.#targets.length]!;
    const startedMs = performance.now();
    const { arrayBuffers } = process.memoryUsage();
    let told: string;
    try {
      told = await target(random);
      const tookMs = performance.now() - startedMs;
      must(tookMs < WORK_MS, `it took ${tookMs} ms`);
      const grown = process.memoryUsage().arrayBuffers - arrayBuffers;
      must(grown < MEMORY_BYTES, `it allocated ${grown} bytes`);
    } catch (error) {
      throw new Error(`seed ${seed}, ${name}: ${String(error)}`, { cause: error });
    }
    const key = `${name}: ${told}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  #pagesOf(traceId: Uint8Array): Uint8Array {
    const range = tracePages(this.#written.traceIndex, traceId);
    must(range !== undefined, "the trace has pages");
    return this.#file.subarray(range.offset, range.offset + range.length);
  }

  #firstPage(traceId: Uint8Array): Page {
    const bytes = this.#pagesOf(traceId);
    const { header, bodyAt } = decodePageHeader(bytes, 0);
    const body = bytes.subarray(bodyAt, bodyAt + header.length);
    return { header, raw: decodePageBody(header, body, "zstd") };
  }

  #read(
    pages: Uint8Array,
    traceId: Uint8Array,
    resources = this.#written.resources,
  ): Promise<Uint8Array[] | "corrupt"> {
    return outcome(() => collect(readTracePages(inOneChunk(pages), resources, traceId)));
  }

  /** What was read of changed bytes must be what they say. */
  #judge(read: Uint8Array[] | "corrupt", expected: readonly string[] | undefined): string {
    if (read === "corrupt") {
      must(expected === undefined, "refused, although consistent");
      return "corrupt";
    }
    must(expected !== undefined, `read, although inconsistent: ${read.length} pieces`);
    must(JSON.stringify(spansOf(read)) === JSON.stringify(expected), "other spans than the bytes say");
    return "consistent";
  }

  async #page(random: Random): Promise<string> {
    const traceId = random.pick(this.#traceIds);
    const { header, raw } = this.#firstPage(traceId);
    const changed = lie(raw, random, lengthsAt(raw));
    const { kind, encoding, valueCount } = header;
    const page = encodePage({ kind, raw: changed, valueCount, encoding, compression: "zstd", zstdLevel: 1 });
    const heads = naiveHeads(decodePart(PART.resources, this.#written.resources));
    must(heads !== undefined, "the table is sound");
    return this.#judge(
      await this.#read(Buffer.concat([page.header, page.body]), traceId),
      naiveSpans(changed, valueCount, traceId, heads),
    );
  }

  async #pageHeader(random: Random): Promise<string> {
    const traceId = random.pick(this.#traceIds);
    const bytes = this.#pagesOf(traceId);
    const { struct, end } = decodeStruct(bytes);
    const changed = encodeStruct([...lieInStruct(struct, random)]);
    const read = await this.#read(Buffer.concat([changed, bytes.subarray(end)]), traceId);
    // Of a header, what is not used may change; everything else is noticed.
    if (read === "corrupt") return "corrupt";
    return this.#judge(read, this.#spans.get(hex(traceId)));
  }

  async #resources(random: Random): Promise<string> {
    const traceId = random.pick(this.#traceIds);
    const body = decodePart(PART.resources, this.#written.resources);
    const changed = lie(body, random, [0, 4, ...lengthsAt(body.subarray(8)).map((at) => at + 8)]);
    const heads = naiveHeads(changed);
    const { header, raw } = this.#firstPage(traceId);
    return this.#judge(
      await this.#read(this.#pagesOf(traceId), traceId, encodePart(PART.resources, changed, "zstd")),
      heads === undefined ? undefined : naiveSpans(raw, header.valueCount, traceId, heads),
    );
  }

  /** An index may send the reader to wrong pages, or past the end. What it finds there must be of the trace. */
  async #traceIndex(random: Random): Promise<string> {
    const traceId = random.pick(this.#traceIds);
    const body = decodePart(PART.traceIndex, this.#written.traceIndex);
    const changed = encodePart(
      PART.traceIndex,
      lie(body, random, [0, 4, 8, 12, 16, ...lastWords(body)]),
      "zstd",
      2,
    );
    const range = await outcome(async () => tracePages(changed, traceId));
    if (range === "corrupt" || range === undefined) return range ?? "no page";
    must(Number.isSafeInteger(range.offset + range.length) && range.length >= 0, "a range that is none");
    // The store refuses what lies behind the end.
    if (range.offset + range.length > this.#file.length) return "past the end";
    const read = await this.#read(this.#file.subarray(range.offset, range.offset + range.length), traceId);
    if (read === "corrupt") return "corrupt";
    const expected = new Set(this.#spans.get(hex(traceId)));
    for (const span of spansOf(read)) must(expected.delete(span), "a span that is not of the trace");
    return expected.size === 0 ? "consistent" : "spans are missed";
  }

  async #filter(random: Random): Promise<string> {
    const { filter } = this.#written;
    const changed = random.chance(0.5)
      ? encodePart(PART.filter, lie(decodePart(PART.filter, filter), random, [0, 4, 8, 12]), "none")
      : lie(filter, random, [0, 4, 8, 12, 16, 20, 24]);
    const held = await outcome(async () => mayHoldTrace(changed, random.pick(this.#traceIds)));
    return String(held);
  }

  /** Opens the file and reads its parts and some columns, which must add up. */
  async #readAll(file: Uint8Array, random: Random): Promise<string> {
    const read = await outcome(async () => {
      const block = await openBlock(bytesSource(file));
      await block.written();
      await block.attributes();
      const group = random.below(Math.max(1, block.rowGroups.length));
      const { columns, rowCount } = block.metadata.rowGroups[group] ?? { columns: [], rowCount: 0 };
      const first = random.below(Math.max(1, columns.length));
      for (const { schema } of [...columns, ...columns].slice(first, first + COLUMNS_READ)) {
        const { dictionary, pages } = await block.readColumn(schema.name, group);
        let rows = 0;
        for (const page of pages) {
          const { content } = page;
          must(page.firstRow === rows, "pages without a gap");
          rows += page.rowCount;
          if (content.kind === "codes") {
            const entries = dictionary?.count ?? 0;
            must(
              content.codes.every((code) => code < entries),
              "codes are in the dictionary",
            );
          }
        }
        must(rows === rowCount, "rows add up");
      }
      return "consistent";
    });
    return read;
  }

  #footerAt(): { at: number; length: number } {
    const view = new DataView(this.#file.buffer, this.#file.byteOffset, this.#file.length);
    const length = view.getUint32(this.#file.length - 8, true);
    return { at: this.#file.length - 8 - length, length };
  }

  #withFooter(head: Uint8Array, fields: ThriftStruct): Uint8Array {
    const footer = encodeStruct([...fields]);
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, footer.length, true);
    return new Uint8Array(Buffer.concat([head, footer, length, MAGIC]));
  }

  #footer(random: Random): Promise<string> {
    const { at } = this.#footerAt();
    const { struct } = decodeStruct(this.#file, at);
    return this.#readAll(this.#withFooter(this.#file.subarray(0, at), lieInStruct(struct, random)), random);
  }

  /** A page of any column is changed and framed anew; the footer stays, so the page keeps its length or the chunk lies. */
  async #column(random: Random): Promise<string> {
    const { columns, rowCount } = random.pick(this.#metadata.rowGroups);
    const { schema, chunk } = random.pick(columns);
    const start = chunk.dictionaryOffset ?? chunk.dataOffset;
    const bytes = this.#file.subarray(start, start + chunk.byteLength);
    const { header, bodyAt } = decodePageHeader(bytes, 0);
    const raw = decodePageBody(header, bytes.subarray(bodyAt, bodyAt + header.length), schema.compression);
    const { kind, encoding } = header;
    const forged = encodePage({
      kind,
      raw: random.chance(0.8) ? lie(raw, random, [0]) : raw,
      valueCount: random.chance(0.8) ? header.valueCount : oddNumber(random, header.valueCount) | 0,
      encoding: random.chance(0.9) ? encoding : random.below(10),
      compression: schema.compression,
      zstdLevel: 1,
    });
    const rest = bytes.subarray(bodyAt + header.length);
    const column = Buffer.concat([forged.header, forged.body, rest]);
    return outcome(async () => {
      const { pages } = decodeColumn(schema, column, rowCount);
      must(pages.reduce((sum, page) => sum + page.rowCount, 0) === rowCount, "rows add up");
      return "consistent";
    });
  }

  /** A private part of the file is changed in place. */
  async #part(random: Random): Promise<string> {
    const kinds: readonly (readonly [PartKind, Uint8Array])[] = [
      [PART.traceIndex, this.#written.traceIndex],
      [PART.resources, this.#written.resources],
      [PART.filter, this.#written.filter],
    ];
    const [kind, part] = random.pick(kinds);
    const changed = Uint8Array.from(part);
    const view = new DataView(changed.buffer);
    const at = random.pick([0, 4]);
    view.setUint32(at, oddNumber(random, view.getUint32(at, true)), true);
    return outcome(async () => {
      const body = decodePart(kind, changed);
      must(body.length === decodePart(kind, part).length, "a part of another length");
      return "consistent";
    });
  }
}
