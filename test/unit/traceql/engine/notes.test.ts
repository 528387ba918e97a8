import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ComparisonOperator } from "../../../../src/traceql/ast.ts";
import { NONE, openScan } from "../../../../src/traceql/engine/columns/scan.ts";
import { entryTable } from "../../../../src/traceql/engine/conditions/entry-table.ts";
import { PageBounds } from "../../../../src/traceql/engine/conditions/page-bounds.ts";
import type { Predicate } from "../../../../src/traceql/engine/conditions/predicate.ts";
import { axisOf, RunReader, RunWriter } from "../../../../src/traceql/engine/metrics/interval-runs.ts";
import {
  instantInterval,
  intervalAt,
  rangeIntervals,
} from "../../../../src/traceql/engine/metrics/intervals.ts";
import { compileSearch } from "../../../../src/traceql/engine/search.ts";
import { evaluatePipeline } from "../../../../src/traceql/engine/spansets/evaluate.ts";
import { planColumns } from "../../../../src/traceql/engine/spansets/plan.ts";
import { cutTraces } from "../../../../src/traceql/engine/tables/cut-traces.ts";
import { parseQuery } from "../../../../src/traceql/parse.ts";
import type { Notes, SpanSource, Values } from "../../../../src/traceql/storage.ts";
import { mapNotes } from "../../../support/map-notes.ts";
import { plainSource } from "../../../support/plain-source.ts";
import { randomSpans } from "../../../support/random-spans.ts";

const STATES = { missing: 0, fails: 1, holds: 2 };
const OPERATORS: readonly ComparisonOperator[] = ["=", "!=", "<", "<=", ">", ">="];

function ints(values: readonly bigint[]): Values {
  return {
    kind: "fixed",
    width: 8,
    count: values.length,
    bytes: new Uint8Array(BigInt64Array.from(values).buffer),
  };
}

function doubles(values: readonly number[]): Values {
  return {
    kind: "fixed",
    width: 8,
    count: values.length,
    bytes: new Uint8Array(Float64Array.from(values).buffer),
  };
}

function predicateOf(op: ComparisonOperator, value: bigint | number): Predicate {
  return { bound: { op, value }, test: () => false };
}

describe("bounds of pages", () => {
  const arbInt = fc.oneof(
    fc.bigInt({ min: -5n, max: 5n }),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    // Next to each other where doubles do not tell them apart.
    fc.bigInt({ min: 2n ** 60n - 3n, max: 2n ** 60n + 3n }),
  );
  const arbDouble = fc.oneof(fc.double(), fc.integer({ min: -3, max: 3 }));

  test("no page is left out that has a hit", () => {
    let leftOut = 0;
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(fc.array(arbInt, { maxLength: 4 }), { minLength: 1, maxLength: 5 }),
          fc.array(fc.array(arbDouble, { maxLength: 4 }), { minLength: 1, maxLength: 5 }),
        ),
        fc.constantFrom(...OPERATORS),
        fc.oneof(arbInt, arbDouble),
        (pages, op, value) => {
          const kind = pages.flat().every((each) => typeof each === "bigint") ? "int" : "double";
          const encoded = pages.map((page) =>
            kind === "int" ? ints(page.map(BigInt)) : doubles(page.map(Number)),
          );
          const notes = mapNotes();
          const first = PageBounds.of({ codec: { kind }, notes }, pages.length);
          encoded.forEach((values, page) => first?.look(page, values));
          first?.end();
          const later = PageBounds.of({ codec: { kind }, notes }, pages.length);
          const predicate = predicateOf(op, value);
          encoded.forEach((values, page) => {
            if (later?.mayHold(page, predicate) !== false) return;
            leftOut++;
            expect([...entryTable({ kind }, values, predicate, STATES)]).not.toContain(STATES.holds);
          });
        },
      ),
      { numRuns: 2000 },
    );
    expect(leftOut).toBeGreaterThan(500);
  });

  test("pages that were not looked at may have any", () => {
    const bounds = PageBounds.of({ codec: { kind: "int" }, notes: mapNotes() }, 2);
    bounds?.look(0, ints([1n, 2n]));
    expect(bounds?.mayHold(0, predicateOf(">", 2n))).toBe(true);
    expect(bounds?.mayHold(0, predicateOf(">", 3n))).toBe(false);
    expect(bounds?.mayHold(1, predicateOf(">", 3n))).toBe(true);
  });

  test("there are none of text, nor where nothing is kept", () => {
    expect(PageBounds.of({ codec: { kind: "text" }, notes: mapNotes() }, 1)).toBeUndefined();
    expect(PageBounds.of({ codec: { kind: "int" }, notes: undefined }, 1)).toBeUndefined();
  });
});

type RunsSource = Pick<SpanSource, "bounds" | "notes">;

function runsSource(starts: readonly bigint[]): RunsSource {
  const sorted = starts.toSorted((a, b) => (a < b ? -1 : Number(a > b)));
  const bounds = {
    minStartNs: sorted.at(0) ?? 0n,
    maxStartNs: sorted.at(-1) ?? 0n,
    maxEndNs: 0n,
    minDurationNs: 0n,
    maxDurationNs: 0n,
  };
  return { bounds, notes: mapNotes() };
}

describe("runs of intervals", () => {
  const axisOfRuns = (source: RunsSource, intervals: ReturnType<typeof rangeIntervals>) =>
    axisOf(source as SpanSource, intervals);

  function write(
    source: RunsSource,
    intervals: ReturnType<typeof rangeIntervals>,
    pages: readonly (readonly bigint[])[],
  ) {
    const axis = axisOfRuns(source, intervals);
    if (axis === undefined) throw new Error("no axis");
    const writer = new RunWriter(axis, pages.flat().length);
    let firstRow = 0;
    for (const page of pages) {
      writer.add(
        firstRow,
        Int32Array.from(page, (start) => intervalAt(axis.intervals, start)),
      );
      firstRow += page.length;
    }
    writer.end();
  }

  test("say of each row what its start says, to any query of the same step and alignment", () => {
    let read = 0;
    const arbStart = fc.bigInt({ min: 20_000n, max: 23_000n });
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.oneof(arbStart, fc.constant(20_077n)), { minLength: 1, maxLength: 400 }), {
          minLength: 1,
          maxLength: 6,
        }),
        fc.constantFrom(1n, 3n, 100n, 10_000n),
        fc.array(fc.tuple(arbStart, fc.bigInt({ min: 1n, max: 2_000n })), { minLength: 1, maxLength: 5 }),
        fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
        (pages, stepNs, windows, isRead) => {
          const source = runsSource(pages.flat());
          write(source, { ...rangeIntervals(0n, 2n * stepNs, stepNs) }, pages);
          for (const [startNs, lengthNs] of windows) {
            const intervals = rangeIntervals(startNs, startNs + lengthNs, stepNs);
            const reader = RunReader.open(source as SpanSource, intervals);
            if (reader === undefined) continue;
            read++;
            let firstRow = 0;
            for (const [index, page] of pages.entries()) {
              const own = new Int32Array(page.length).fill(NONE);
              if (isRead[index] === true) reader.read(firstRow, own, NONE);
              const wanted = page.map((start) => {
                const interval = intervalAt(intervals, start);
                const isAsked = interval >= 0 && interval < intervals.count && isRead[index] === true;
                return isAsked ? interval : NONE;
              });
              expect([...own]).toEqual(wanted);
              firstRow += page.length;
            }
          }
        },
      ),
      { numRuns: 300 },
    );
    expect(read).toBeGreaterThan(300);
  });

  test("are kept in one byte a number up to 256 intervals, and in two beyond", () => {
    for (const [intervalCount, bytes] of [
      [256, 2 * 256],
      [257, 4 * 257],
    ] as const) {
      const starts = Array.from({ length: intervalCount }, (_, i) => BigInt(i) * 10n + 1n);
      const source = runsSource(starts);
      const intervals = rangeIntervals(0n, 100n, 10n);
      write(source, intervals, [starts]);
      const axis = axisOfRuns(source, intervals);
      expect(axis?.intervals.count).toBe(intervalCount);
      expect(source.notes?.get(axis?.name ?? "")?.length).toBe(bytes);
    }
  });

  test("are not kept of rows that are missing or beyond what the source says of itself", () => {
    const intervals = rangeIntervals(0n, 100n, 10n);
    const source = runsSource([5n, 25n]);
    const axis = axisOfRuns(source, intervals);
    if (axis === undefined) throw new Error("no axis");
    const missing = new RunWriter(axis, 2);
    missing.add(1, Int32Array.of(1));
    missing.end();
    const beyond = new RunWriter(axis, 2);
    beyond.add(0, Int32Array.of(0, NONE));
    beyond.end();
    expect(RunReader.open(source as SpanSource, intervals)).toBeUndefined();
    const complete = new RunWriter(axis, 2);
    complete.add(0, Int32Array.of(0, 2));
    complete.end();
    expect(RunReader.open(source as SpanSource, intervals)).toBeDefined();
  });

  test("are not kept of an instant query, nor of more than 65,536 intervals", () => {
    const source = runsSource([1n, 65_536n * 10n]);
    expect(axisOfRuns(source, rangeIntervals(0n, 100n, 10n))?.intervals.count).toBe(65_536);
    expect(axisOfRuns(runsSource([1n, 65_536n * 10n + 1n]), rangeIntervals(0n, 100n, 10n))).toBeUndefined();
    expect(axisOfRuns(source, instantInterval(0n, 100n))).toBeUndefined();
    // Nor of one that would begin before 1970.
    expect(axisOfRuns(runsSource([0n, 100n]), rangeIntervals(0n, 100n, 10n))).toBeUndefined();
  });
});

describe("cut traces", () => {
  const spans = randomSpans(11, 400);
  const source = plainSource(spans, { pageRows: 16 });

  function notedSource(): SpanSource {
    const { rowCount, bounds, pageRows, columns, rest } = source;
    return {
      rowCount,
      bounds,
      pageRows,
      columns,
      rest,
      notes: mapNotes(),
      traces: () => source.traces(),
      load: (names, rows) => source.load(names, rows),
    };
  }

  test("are those with a parent that is not there, or a long span, with their starts", async () => {
    for (const longNs of [500_000_000n, 2n ** 62n]) {
      const found = new Map(
        (await cutTraces(source, longNs, Infinity)).traces.map(({ traceId, startNs }) => [traceId, startNs]),
      );
      const isLong = source.bounds.maxDurationNs > longNs;
      const starts = new Map<string, bigint>();
      const cut = new Set<string>();
      for (const [traceId, own] of Map.groupBy(spans, (span) => span.traceId)) {
        const ids = new Set(own.map(({ spanId }) => spanId));
        const isCut = own.some(
          ({ parentSpanId, start, end }) =>
            (parentSpanId !== "" && !ids.has(parentSpanId)) || (isLong && end - start > longNs),
        );
        if (isCut) cut.add(traceId);
        starts.set(
          traceId,
          own.reduce((least, { start }) => (start < least ? start : least), 2n ** 63n),
        );
      }
      expect(cut.size).toBeGreaterThan(0);
      expect([...cut].filter((traceId) => !found.has(traceId))).toEqual([]);
      expect(found).toEqual(new Map([...found.keys()].map((traceId) => [traceId, starts.get(traceId)])));
    }
  });

  test("are the same when they are noted, by length", async () => {
    const noted = notedSource();
    for (const longNs of [500_000_000n, 2n ** 62n, 500_000_000n]) {
      const all = await cutTraces(source, longNs, Infinity);
      expect(await cutTraces(noted, longNs, Infinity)).toEqual(all);
      const { length } = all.traces;
      expect(await cutTraces(noted, longNs, length)).toEqual(all);
      const newest = await cutTraces(noted, longNs, length - 1);
      expect([newest.traces.length, newest.more]).toEqual([length - 1, 1]);
      const left = all.traces.filter(({ traceId }) => !newest.traces.some((one) => one.traceId === traceId));
      expect(left).toHaveLength(1);
      expect(newest.traces.every(({ startNs }) => left.every((one) => one.startNs <= startNs))).toBe(true);
    }
  });
});

describe("what a condition says of pages of numbers", () => {
  const source = plainSource(randomSpans(12, 300), { pageRows: 16, codedPages: 0 });

  /** The source with notes, and the pages of `duration` that are decoded. */
  function watched(): { readonly source: SpanSource; readonly decoded: number[] } {
    const decoded: number[] = [];
    const { rowCount, bounds, pageRows, columns, rest } = source;
    const byColumn = new Map<string, Notes>();
    const notesOf = (name: string): Notes => {
      const notes = byColumn.get(name) ?? mapNotes();
      byColumn.set(name, notes);
      return notes;
    };
    const load: SpanSource["load"] = async (names, rows) =>
      (await source.load(names, rows)).map((column, i) => ({
        dictionary: column.dictionary,
        codedPageCount: column.codedPageCount,
        notes: notesOf(names[i] ?? ""),
        page: (index) => {
          if (names[i] === "duration") decoded.push(index);
          return column.page(index);
        },
      }));
    const traces = () => source.traces();
    return { source: { rowCount, bounds, pageRows, columns, rest, traces, load }, decoded };
  }

  async function rowsOf(of: SpanSource, text: string): Promise<number[]> {
    const query = parseQuery(text);
    if (query.kind !== "search") throw new Error("no search");
    const { pipeline } = compileSearch(query);
    const scan = await openScan(of, [...new Set(planColumns(pipeline, of))]);
    return [...evaluatePipeline(scan, pipeline).mask];
  }

  test("is noted: asked again, or where no page can have a hit, none is decoded", async () => {
    const { source: noted, decoded } = watched();
    for (const text of ["{ duration > 500ms }", "{ duration != 500ms }", "{ !(duration <= 1s) }"]) {
      const wanted = await rowsOf(source, text);
      expect(wanted).toContain(1);
      expect(await rowsOf(noted, text)).toEqual(wanted);
      expect(decoded.length).toBeGreaterThan(0);
      decoded.length = 0;
      expect(await rowsOf(noted, text)).toEqual(wanted);
      expect(decoded).toEqual([]);
    }
    expect(await rowsOf(noted, "{ duration > 1h }")).not.toContain(1);
    expect(decoded).toEqual([]);
  });

  test("is the same where other columns decide first", async () => {
    const { source: noted } = watched();
    for (const text of ["{ .n > 1 }", "{ span.n >= 2 || duration < 200ms }", "{ parent.duration > 100ms }"]) {
      const wanted = await rowsOf(source, text);
      for (let i = 0; i < 2; i++) expect(await rowsOf(noted, text)).toEqual(wanted);
    }
  });
});
