// A block, and live spans, as a source of spans: the columns are the model's, and few reads bring them.
import { beforeAll, describe, expect, test } from "vitest";
import type { ColumnChunk } from "../../../src/block/column-chunk.ts";
import { writeColumns } from "../../../src/block/block-writer.ts";
import type { ByteRange } from "../../../src/block/meta.ts";
import { bytesSource, openBlock } from "../../../src/block/reader.ts";
import { type BlockSource, blockSources, TRACES } from "../../../src/scan/block-source.ts";
import { newReread, type Reread } from "../../../src/scan/chunk-reader.ts";
import type { SparseColumn } from "../../../src/scan/sparse-column.ts";
import { coalesce } from "../../../src/scan/coalesce.ts";
import {
  attributeColumn,
  type Column,
  type ColumnName,
  type TraceTable,
  type Values,
} from "../../../src/traceql/storage.ts";
import { LruCache } from "../../../src/util/lru-cache.ts";
import { buildBlock, hex, type ModelRow, modelRows } from "../../support/block-model.ts";
import { makeGenerator } from "../../support/generator.ts";

const generator = makeGenerator({ seed: 7 });
const messages = Array.from({ length: 90 }, () => generator.batch(1000));
const rows: ModelRow[] = modelRows(messages);
/** What the open source is over: a block as in the bucket, or the columns of live spans. */
let file: Uint8Array;

interface Opened {
  readonly source: BlockSource;
  readonly reads: ByteRange[];
  readonly io: { readonly inspectedBytes: number; readonly heldBytes: number };
}

const MIB = 1024 * 1024;

interface Options {
  readonly heldBytesMax?: number;
  readonly reread?: Reread;
  readonly io?: { inspectedBytes: number; heldBytes: number };
  readonly readsMax?: number;
  readonly caches?: ReturnType<typeof makeCaches>;
  /** Throws for a read that shall fail. */
  readonly beforeRead?: () => void;
}

function makeCaches() {
  return {
    chunks: new LruCache<ColumnChunk>(64 * MIB, ({ memoryBytes }) => memoryBytes),
    traces: new LruCache<TraceTable>(64 * MIB, ({ ids }) => ids.length),
    sparse: new LruCache<SparseColumn>(MIB, ({ byteLength }) => byteLength),
  };
}

async function open(options: Options = {}): Promise<Opened> {
  const reads: ByteRange[] = [];
  const inner = bytesSource(file);
  const block = await openBlock(inner);
  const io = options.io ?? { inspectedBytes: 0, heldBytes: 0 };
  const [source] = blockSources(
    { block, attributes: await block.attributes() },
    {
      key: "a",
      io,
      caches: options.caches ?? makeCaches(),
      readsMax: options.readsMax ?? 2,
      reread: options.reread,
      heldBytesMax: options.heldBytesMax ?? 64 * MIB,
      readParts: async (read, parts) => {
        options.beforeRead?.();
        reads.push(read);
        return Promise.all(parts.map((part) => inner.read(part)));
      },
    },
  );
  if (source === undefined) throw new Error("a block has a row group");
  return { source, reads, io };
}

/** The bytes of each row's value; undefined where there is none. */
function valuesOf(source: BlockSource, column: Column): (Uint8Array | undefined)[] {
  const out: (Uint8Array | undefined)[] = [];
  for (let index = 0; index + 1 < source.pageRows.length; index++) {
    const { firstRow, rowCount, present, content } = column.page(index);
    expect(firstRow).toBe(source.pageRows[index]);
    let at = 0;
    for (let row = 0; row < rowCount; row++) {
      const has = present === undefined || ((present[row >>> 3] ?? 0) >>> (row & 7)) % 2 === 1;
      const code = has ? at++ : -1;
      if (code < 0) out.push(undefined);
      else if (content.kind === "values") out.push(valueAt(content.values, code));
      else out.push(valueAt(column.dictionary, content.codes[code] ?? -1));
    }
  }
  return out;
}

function valueAt(values: Values | undefined, index: number): Uint8Array | undefined {
  if (values?.kind === "fixed")
    return values.bytes.subarray(values.width * index, values.width * (index + 1));
  if (values?.kind === "bits") return Uint8Array.of(((values.bytes[index >>> 3] ?? 0) >>> (index & 7)) & 1);
  if (values?.kind === "bytes")
    return values.bytes.subarray(values.offsets[2 * index], values.offsets[2 * index + 1]);
  throw new Error("no values");
}

const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : new TextDecoder().decode(bytes);

const FILES: Readonly<Record<string, () => Promise<Uint8Array>>> = {
  "a block's row group": async () => (await buildBlock(messages)).file,
  "live spans as columns": () => writeColumns(messages),
};

describe.each(Object.keys(FILES))("%s", (kind) => {
  beforeAll(async () => {
    file = (await FILES[kind]?.()) ?? new Uint8Array(0);
  });

  test("has the traces of the model", async () => {
    const { source, reads } = await open();
    const { ids, firstRows } = await source.traces();
    const expected = rows.flatMap(({ span }, row) =>
      row === 0 || hex(span.traceId) !== hex(rows[row - 1]?.span.traceId ?? new Uint8Array(0))
        ? [{ id: hex(span.traceId), row }]
        : [],
    );
    expect(source.rowCount).toBe(rows.length);
    expect([...firstRows]).toEqual([...expected.map(({ row }) => row), rows.length]);
    expect(expected.map((_, i) => hex(ids.subarray(16 * i, 16 * i + 16)))).toEqual(
      expected.map(({ id }) => id),
    );
    await source.traces();
    expect(reads).toHaveLength(1);
  });

  test("has the columns of the model, over several pages", async () => {
    const { source } = await open();
    expect(source.pageRows.length).toBeGreaterThan(2);
    const [name, spanId, start, duration, parent] = await source.load([
      "name",
      "spanId",
      "start",
      "duration",
      "parentDistance",
    ]);
    if (!name || !spanId || !start || !duration || !parent) throw new Error("five columns");
    expect(valuesOf(source, name).map(text)).toEqual(rows.map(({ span }) => span.name));
    expect(valuesOf(source, spanId).map((id) => hex(id ?? new Uint8Array(0)))).toEqual(
      rows.map(({ span }) => hex(span.spanId)),
    );
    const int64 = (bytes: Uint8Array | undefined): bigint =>
      new DataView(new Uint8Array(bytes ?? []).buffer).getBigInt64(0, true);
    expect(valuesOf(source, start).map(int64)).toEqual(rows.map(({ span }) => span.startTimeUnixNano));
    const durations = rows.map(({ span }) => span.endTimeUnixNano - span.startTimeUnixNano);
    expect(valuesOf(source, duration).map(int64)).toEqual(durations);
    const int32 = (bytes: Uint8Array | undefined): number =>
      new DataView(new Uint8Array(bytes ?? []).buffer).getInt32(0, true);
    expect(valuesOf(source, parent).map(int32)).toEqual(rows.map(({ parentDistance }) => parentDistance));
    expect(source.bounds.minStartNs).toBe(
      rows.map(({ span }) => span.startTimeUnixNano).reduce((a, b) => (a < b ? a : b)),
    );
    expect(source.bounds.maxDurationNs).toBe(durations.reduce((a, b) => (a > b ? a : b)));
  });

  test("has a column for each frequent attribute", async () => {
    const { source } = await open();
    const [route] = await source.load(["string:http.route"]);
    if (route === undefined) throw new Error("one column");
    const expected = rows.map(({ span }) => {
      const value = span.attributes.find(({ key }) => key === "http.route")?.value?.value;
      return value?.case === "stringValue" ? value.value : undefined;
    });
    expect(expected.some((value) => value !== undefined)).toBe(true);
    expect(valuesOf(source, route).map(text)).toEqual(expected);
    expect(source.rest.length).toBeGreaterThan(0);
  });

  test("a few rows of any column are those of the whole column, and are kept", async () => {
    const caches = makeCaches();
    const { source, reads, io } = await open({ caches });
    const few = Uint32Array.from([0, 1, 7, 8, 40_000, 40_003, 65_535, source.rowCount - 1]);
    const names: ColumnName[] = [
      ...(["name", "kind", "start", "spanId", "parentSpanId", "resource", "events", "rest"] as const),
      ...source.columns.map(({ key, type }) => attributeColumn(key, type)),
    ];
    const whole = await (await open()).source.load(names);
    const values = whole.map((column) => valuesOf(source, column));
    const expected = values.map((column) => [...few].map((row) => column[row]));
    const isFew = (row: number): boolean => few.includes(row);
    const atRows = (columns: readonly Column[]) =>
      columns.map((column) => valuesOf(source, column).filter((_, row) => isFew(row)));
    expect(atRows(await source.load(names, few))).toEqual(expected);
    expect(expected.flat().filter((value) => value !== undefined).length).toBeGreaterThan(60);
    const second = await open({ caches });
    expect(atRows(await second.source.load(names, few))).toEqual(expected);
    expect(second.reads).toEqual([]);
    expect(second.io.inspectedBytes).toBe(io.inspectedBytes);
    expect(reads).toHaveLength(1);
    // Other rows are not mistaken for these.
    const others = Uint32Array.from([2, 9]);
    const [name] = await second.source.load(["name"], others);
    if (name === undefined) throw new Error("one column");
    expect([...others].map((row) => valuesOf(source, name)[row])).toEqual(
      [...others].map((row) => values[0]?.[row]),
    );
  });

  test("what is asked for in one turn is one read, and none the second time", async () => {
    const caches = makeCaches();
    const first = await open({ caches });
    await Promise.all([
      first.source.traces(),
      first.source.load(["name", "start"]),
      first.source.load(["resource"]),
    ]);
    expect(first.reads).toHaveLength(1);
    const second = await open({ caches });
    await Promise.all([second.source.traces(), second.source.load(["name", "start", "resource"])]);
    expect(second.reads).toHaveLength(0);
    expect(second.io.inspectedBytes).toBe(first.io.inspectedBytes);
    expect(second.io.inspectedBytes).toBeGreaterThan(0);
  });

  test("what is expected together is read together, and given up if nobody asks for it", async () => {
    const { source, reads, io } = await open();
    source.expect([TRACES, "start", "string:http.route", "string:no.such"], ["spanId", "parentSpanId"]);
    await source.traces();
    expect(reads).toHaveLength(1);
    expect(io.heldBytes).toBeGreaterThan(0);
    await source.load(["start"]);
    await source.load(["string:http.route"]);
    expect(reads).toHaveLength(1);
    expect(io.heldBytes).toBe(0);
    await source.load(["spanId"]);
    expect(reads).toHaveLength(2);
    expect(io.heldBytes).toBeGreaterThan(0);
    source.release();
    expect(io.heldBytes).toBe(0);
  });

  test("nothing is read along beyond the bytes that may be held", async () => {
    const { source, reads, io } = await open({ heldBytesMax: 1000, caches: makeCaches() });
    source.expect([TRACES, "start"]);
    await source.traces();
    expect(io.heldBytes).toBe(0);
    await source.load(["start"]);
    expect(reads).toHaveLength(2);
  });

  test("what several sources read along at once is bounded over all of them, and not counted when it fails", async () => {
    let isBroken = false;
    const beforeRead = (): void => {
      if (isBroken) throw new Error("no connection");
    };
    const probe = await open();
    probe.source.expect([TRACES, "start"]);
    await probe.source.traces();
    const startBytes = probe.io.heldBytes;
    const io = { inspectedBytes: 0, heldBytes: 0 };
    const options = { heldBytesMax: startBytes, io, beforeRead };
    const [first, second] = [await open(options), await open({ ...options, caches: makeCaches() })];
    for (const { source } of [first, second]) source.expect([TRACES, "start"]);
    await Promise.all([first.source.traces(), second.source.traces()]);
    expect(io.heldBytes).toBe(startBytes);
    first.source.release();
    second.source.release();
    expect(io.heldBytes).toBe(0);
    const third = await open({ ...options, caches: makeCaches() });
    third.source.expect([TRACES, "start"]);
    isBroken = true;
    await expect(third.source.traces()).rejects.toThrow("no connection");
    expect(io.heldBytes).toBe(0);
  });

  test("columns of which a few rows were read stay for others, until there is no room or the source is given up", async () => {
    const row = (at: number): Uint32Array => Uint32Array.of(at);
    const reread = newReread(64 * MIB);
    const first = await open({ caches: makeCaches(), reread });
    await first.source.load(["spanId"], row(0));
    expect(reread.byteLength).toBeGreaterThan(0);
    await first.source.load(["spanId"], row(1));
    expect(first.reads).toHaveLength(1);
    first.source.release();
    expect(reread.byteLength).toBe(0);
    const tight = await open({ caches: makeCaches(), reread: newReread(1000) });
    await tight.source.load(["spanId"], row(0));
    await tight.source.load(["spanId"], row(1));
    expect(tight.reads).toHaveLength(2);
  });

  test("what was read along and is asked for with what has to be read again is not read along again", async () => {
    const { source, io } = await open({ caches: { ...makeCaches(), chunks: new LruCache(0, () => 1) } });
    source.expect(["start", "spanId", "parentSpanId"]);
    await source.load(["start"]);
    expect(io.heldBytes).toBeGreaterThan(0);
    await source.load(["start", "spanId"]);
    await source.load(["parentSpanId"]);
    expect(io.heldBytes).toBe(0);
  });

  test("a column that is not there is an error, a failed read is tried again", async () => {
    const { source } = await open();
    await expect(source.load(["string:no.such"])).rejects.toMatchObject({ kind: "not_found" });
    let isBroken = true;
    const broken = await open({
      beforeRead: () => {
        if (isBroken) throw new Error("no connection");
      },
    });
    await expect(broken.source.traces()).rejects.toThrow("no connection");
    isBroken = false;
    expect((await broken.source.traces()).ids).toEqual((await source.traces()).ids);
  });
});

describe("coalesce", () => {
  const at = (offset: number, length: number): ByteRange => ({ offset, length });

  test("near ranges are one read, far ones are not", () => {
    expect(coalesce([at(900, 10), at(0, 100), at(50, 10)], 9)).toEqual([at(0, 910)]);
    expect(coalesce([at(0, 10), at(MIB, 10)], 9)).toEqual([at(0, 10), at(MIB, 10)]);
    expect(coalesce([], 1)).toEqual([]);
  });

  test("at most so many reads, over the narrowest gaps", () => {
    const ranges = [at(0, 10), at(MIB, 10), at(4 * MIB, 10), at(5 * MIB, 10)];
    expect(coalesce(ranges, 2)).toEqual([at(0, MIB + 10), at(4 * MIB, MIB + 10)]);
    expect(coalesce(ranges, 1)).toEqual([at(0, 5 * MIB + 10)]);
  });
});
