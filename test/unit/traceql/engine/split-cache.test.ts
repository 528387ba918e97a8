// What is kept of traces that several sources have parts of, and when it is not.
import { describe, expect, test } from "vitest";
import { SplitCache, type WantedPart } from "../../../../src/traceql/engine/tables/split-cache.ts";
import type { SpanTable } from "../../../../src/traceql/engine/tables/span-table.ts";
import { splitTraces } from "../../../../src/traceql/engine/tables/split-traces.ts";
import type { ColumnName, SpanSource } from "../../../../src/traceql/storage.ts";
import { concatBytes } from "../../../../src/util/bytes.ts";
import { randomSpans } from "../../../support/random-spans.ts";
import { splitSources } from "../../../support/split-sources.ts";

/** Columns that are read, by source: such as are looked at without a row do not count. Sources are known by their tables. */
function counted(sources: readonly SpanSource[]) {
  const reads: string[] = [];
  const watched = sources.map((source, index): SpanSource => {
    const traces = source.traces();
    return {
      ...source,
      traces: () => traces,
      load: (names, rows) => {
        if (rows?.length !== 0) reads.push(`${index} ${names.join()}`);
        return source.load(names, rows);
      },
    };
  });
  return { sources: watched, reads };
}

const SOURCES = splitSources(randomSpans(7, 60), 3);

async function tablesOf(sources: readonly SpanSource[]) {
  return Promise.all(sources.map((source) => source.traces()));
}

async function gatherAll(
  cache: SplitCache,
  sources: readonly SpanSource[],
  names: readonly ColumnName[],
): Promise<number> {
  let rows = 0;
  for (const batch of cache.of(await tablesOf(sources)).batches) {
    const whole = await batch.gather(sources, () => names);
    expect((await whole.load(names)).map((column) => column.page(0).rowCount)).toEqual(
      names.map(() => whole.rowCount),
    );
    rows += whole.rowCount;
  }
  return rows;
}

describe("the same sources again", () => {
  test("what is known is not read, what else is asked for is, without what tells spans apart", async () => {
    const { sources, reads } = counted(SOURCES);
    const cache = new SplitCache(1e6);
    const rows = await gatherAll(cache, sources, ["name"]);
    expect(rows).toBeGreaterThan(10);
    expect(reads).toHaveLength(3);
    expect(reads[0]).toContain("spanId");
    reads.length = 0;
    expect(await gatherAll(cache, sources, ["name"])).toBe(rows);
    expect(reads).toEqual([]);
    expect(await gatherAll(cache, sources, ["name", "status"])).toBe(rows);
    expect(reads.toSorted()).toEqual(["0 status", "1 status", "2 status"]);
  });

  test("others are other ones", async () => {
    const { sources, reads } = counted(SOURCES);
    const cache = new SplitCache(1e6);
    await gatherAll(cache, sources, ["name"]);
    reads.length = 0;
    await gatherAll(cache, sources.slice(1), ["name"]);
    expect(reads).toHaveLength(2);
    reads.length = 0;
    await gatherAll(cache, sources.toReversed(), ["name"]);
    expect(reads).toHaveLength(3);
  });
});

describe("limits", () => {
  async function bytesOf(maxBytes: number) {
    const { sources, reads } = counted(SOURCES);
    const cache = new SplitCache(maxBytes);
    const rows = await gatherAll(cache, sources, ["name"]);
    reads.length = 0;
    expect(await gatherAll(cache, sources, ["name"])).toBe(rows);
    return { bytes: cache.byteLength, reads: reads.length };
  }

  test("at splitCacheBytes all is kept, one byte less and columns are not", async () => {
    const { bytes, reads } = await bytesOf(1e6);
    expect(reads).toBe(0);
    expect(await bytesOf(bytes)).toEqual({ bytes, reads: 0 });
    const less = await bytesOf(bytes - 1);
    expect(less.reads).toBe(3);
    // Which traces these are is.
    expect(less.bytes).toBeGreaterThan(0);
    expect(less.bytes).toBeLessThan(bytes / 2);
    expect(await bytesOf(less.bytes)).toEqual(less);
    expect(await bytesOf(less.bytes - 1)).toEqual({ bytes: 0, reads: 3 });
  });

  test("sets that were used last stay", async () => {
    const { bytes } = await bytesOf(1e6);
    const [one, other] = [counted(SOURCES), counted(splitSources(randomSpans(7, 60), 3))];
    const cache = new SplitCache(2 * bytes - 1);
    await gatherAll(cache, one.sources, ["name"]);
    await gatherAll(cache, other.sources, ["name"]);
    expect(cache.byteLength).toBeLessThanOrEqual(2 * bytes - 1);
    other.reads.length = 0;
    await gatherAll(cache, other.sources, ["name"]);
    expect(other.reads).toEqual([]);
    one.reads.length = 0;
    await gatherAll(cache, one.sources, ["name"]);
    expect(one.reads).toHaveLength(3);
  });
});

/** Traces of so many rows, half of them in each of two sources. */
function hugeTraces(count: number, rows: number) {
  const ids = Uint8Array.from({ length: 16 * count }, (_, i) => (i % 16 === 0 ? 1 + i / 16 : 0));
  const splits = splitTraces([ids, ids], (_, trace) => ({ trace, rows: rows / 2 }));
  const reads: string[] = [];
  const numbers = Uint32Array.from({ length: rows / 2 }, (_, row) => row);
  const read = async (wanted: readonly WantedPart[]): Promise<SpanTable[]> =>
    wanted.map(({ source, traces, names }) => {
      reads.push(`${source} ${traces.join("+")}`);
      const words = Uint32Array.from(numbers, (row) => 1 + source * numbers.length + row);
      const bytes = new Uint8Array(8 * numbers.length);
      words.forEach((word, i) => new DataView(bytes.buffer).setUint32(8 * i, word, true));
      const values = { kind: "fixed", count: numbers.length, bytes, width: 8 } as const;
      return {
        rowCount: traces.length * numbers.length,
        ids: concatBytes(Array.from(traces, (trace) => ids.subarray(16 * trace, 16 * trace + 16))),
        firstRows: Uint32Array.from({ length: traces.length + 1 }, (_, i) => i * numbers.length),
        columns: names.map((name) => ({
          name,
          dictionary: values,
          codes: Uint32Array.from(
            { length: traces.length * numbers.length },
            (_, i) => 1 + (i % numbers.length),
          ),
        })),
        rest: [],
      };
    });
  return { splits, read, reads };
}

describe("more traces than fit", () => {
  test("some of their lists are kept, and found again", async () => {
    const { splits, read, reads } = hugeTraces(3, 60_000);
    const all = new SplitCache(1e9).keep("all", splits);
    expect(all.batches).toHaveLength(3);
    for (const batch of all.batches) await batch.gather(() => ["start"], read);
    reads.length = 0;
    const cache = new SplitCache(0.7 * all.byteLength);
    cache.keep("some", splits);
    for (let round = 0; round < 2; round++) {
      reads.length = 0;
      for (const batch of cache.known("some")?.batches ?? []) await batch.gather(() => ["start"], read);
    }
    expect(reads).toEqual(["0 2", "1 2"]);
    expect(cache.byteLength).toBeLessThanOrEqual(0.7 * all.byteLength);
  });

  test("traces that are left out are not in it, whether or not they are kept", async () => {
    const { splits, read } = hugeTraces(6, 1000);
    const set = new SplitCache(1e9).keep("all", splits);
    for (const leftOut of [undefined, Uint8Array.of(0, 1, 0, 0, 1, 0), undefined]) {
      const [whole] = await Promise.all(
        set.batches.map((batch) => batch.gather(() => ["start"], read, leftOut)),
      );
      const { ids, firstRows } = (await whole?.traces()) ?? {};
      expect(Array.from(ids ?? []).filter((_, i) => i % 16 === 0)).toEqual(
        leftOut === undefined ? [1, 2, 3, 4, 5, 6] : [1, 3, 4, 6],
      );
      expect(firstRows?.at(-1)).toBe(whole?.rowCount);
      expect(whole?.rowCount).toBe(leftOut === undefined ? 6000 : 4000);
    }
  });

  test("two that ask at the same time, and one that is forgotten meanwhile, get all of it", async () => {
    const { splits, read } = hugeTraces(4, 100);
    const set = new SplitCache(1e9).keep("all", splits);
    const [batch] = set.batches;
    await batch?.gather(() => ["start"], read);
    const wholes = await Promise.all([
      batch?.gather(() => ["start", "duration"], read),
      batch?.gather(
        () => ["duration"],
        async (wanted) => {
          set.forgetColumns();
          return read(wanted);
        },
      ),
    ]);
    for (const whole of wholes) {
      const [column] = (await whole?.load(["duration"])) ?? [];
      expect(column?.page(0).rowCount).toBe(400);
    }
    expect((await wholes[0]?.load(["start"]))?.[0]?.page(0).rowCount).toBe(400);
  });
});
