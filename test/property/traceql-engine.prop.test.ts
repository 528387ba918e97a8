// The engine against the reference evaluator: random traces, random queries, spans wherever they may be.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compileMetrics } from "../../src/traceql/engine/metrics/plan.ts";
import { instantInterval, metrics, rangeIntervals } from "../../src/traceql/engine/metrics.ts";
import { compileSearch, search } from "../../src/traceql/engine/search.ts";
import { parseQuery } from "../../src/traceql/parse.ts";
import type { Query } from "../../src/traceql/ast.ts";
import type { SearchCursor } from "../../src/traceql/results.ts";
import type { SpanSource } from "../../src/traceql/storage.ts";
import { isAppError } from "../../src/util/errors.ts";
import { arbMetricsText, arbSearchText } from "../support/hit-queries.ts";
import { differences, samplesOf } from "../support/metrics-samples.ts";
import {
  instantInterval as oracleInstant,
  metrics as oracleMetrics,
  rangeIntervals as oracleRange,
} from "../support/oracle/metrics.ts";
import { search as oracleSearch } from "../support/oracle/search.ts";
import { makeTraces, type PlainSpan } from "../support/oracle/trace.ts";
import { makeRandom } from "../support/random.ts";
import { randomSpans, SPANS_START } from "../support/random-spans.ts";
import { fileSources, flushed, live, merged } from "../support/stored-sources.ts";
import { arbMutatedQuery } from "../support/traceql-mutations.ts";

const SECOND = 1_000_000_000n;

interface World {
  readonly seed: number;
  readonly spanCount: number;
  /** What each part of the spans is in. */
  readonly parts: readonly ("block" | "live")[];
  /** Blocks that are merged, from the first. */
  readonly mergedCount: number;
  readonly rowGroupSpans: number;
  /** Every so many spans were sent twice. */
  readonly repeatEvery: number;
  /** Whether the spans of a trace are all in one part. */
  readonly isWhole: boolean;
}

const arbWorld: fc.Arbitrary<World> = fc.record({
  seed: fc.integer({ min: 1, max: 1_000_000 }),
  spanCount: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 4 })),
  parts: fc.array(fc.constantFrom("block", "live"), { minLength: 1, maxLength: 4 }),
  mergedCount: fc.nat(3),
  rowGroupSpans: fc.constantFrom(3, 10, 1000),
  repeatEvery: fc.constantFrom(2, 5, 1000),
  isWhole: fc.boolean(),
});

/** Spans in no two of which the order of rows would be left to the bytes that they were sent as. */
function spansOf({ seed, spanCount }: World): PlainSpan[] {
  const spans = randomSpans(seed, spanCount);
  return [
    ...new Map(
      spans.map((span) => [`${span.traceId} ${span.spanId} ${span.kind} ${span.start}`, span]),
    ).values(),
  ];
}

async function sourcesOf(world: World, spans: readonly PlainSpan[]): Promise<SpanSource[]> {
  const random = makeRandom(world.seed);
  const parts = world.parts.map((kind) => ({ kind, spans: [] as PlainSpan[] }));
  const partOf = ({ traceId }: PlainSpan) =>
    world.isWhole ? parts[Number(`0x${traceId}`) % parts.length]! : random.pick(parts);
  spans.forEach((span, i) => {
    partOf(span).spans.push(span);
    if (i % world.repeatEvery === 0) partOf(span).spans.push(span);
  });
  const filled = parts.filter((part) => part.spans.length > 0);
  const blocks = await Promise.all(
    filled.filter(({ kind }) => kind === "block").map((part) => flushed(part.spans)),
  );
  const toMerge = blocks.slice(0, world.mergedCount);
  const files = [
    ...blocks.slice(world.mergedCount),
    ...(await Promise.all(filled.filter(({ kind }) => kind === "live").map((part) => live(part.spans)))),
    ...(toMerge.length === 0 ? [] : [await merged(toMerge, world.rowGroupSpans)]),
  ];
  return (await Promise.all(files.map(fileSources))).flat();
}

/** A query that parser and engine take; undefined for a text that they refuse. */
function accepted(text: string): Query | undefined {
  try {
    const query = parseQuery(text);
    if (query.kind === "search") compileSearch(query);
    else compileMetrics(query);
    return query;
  } catch (error) {
    if (isAppError(error) && error.kind === "invalid_argument") return undefined;
    throw error;
  }
}

/** Which of 0 and -0 stands for both depends on which came first. */
function withoutMinusZero(value: unknown): unknown {
  if (value === 0) return 0;
  if (Array.isArray(value)) return value.map(withoutMinusZero);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, withoutMinusZero(part)]));
}

const KEYS = ["x", "y", "n", "rare", "flag", "missing"];

/** The same source, of which nothing is known in advance that would allow to leave it out. */
function withoutPruning(source: SpanSource): SpanSource {
  const max = 2n ** 63n - 1n;
  return {
    rowCount: source.rowCount,
    bounds: {
      minStartNs: 0n,
      maxStartNs: max,
      maxEndNs: 2n * max,
      minDurationNs: 0n,
      maxDurationNs: max,
    },
    pageRows: source.pageRows,
    columns: source.columns,
    rest: [...source.rest, ...KEYS.map((key) => ({ key, type: "other" as const }))],
    traces: () => source.traces(),
    load: (names, rows) => source.load(names, rows),
  };
}

/** How many queries were evaluated, and how many found something. */
class Tally {
  #asked = 0;
  #refused = 0;
  #found = 0;

  refuse(): void {
    this.#refused++;
  }

  add(isFound: boolean): void {
    this.#asked++;
    if (isFound) this.#found++;
  }

  /** A test whose queries are refused or find nothing tests nothing. */
  get isTelling(): boolean {
    return this.#found > this.#asked / 4 && this.#asked > this.#refused;
  }
}

describe("search", () => {
  const arbOptions = fc.record({
    limit: fc.integer({ min: 1, max: 6 }),
    spansPerSpanset: fc.constantFrom(1, 3, Infinity),
    fromSeconds: fc.constantFrom(0n, 0n, 5n, 20n),
    forSeconds: fc.constantFrom(3n, 10n, 25n, 100n),
  });

  test("is that of all spans at once, page by page", async () => {
    const tally = new Tally();
    await fc.assert(
      fc.asyncProperty(
        arbWorld,
        fc.array(fc.tuple(arbSearchText, arbOptions, fc.boolean()), { minLength: 1, maxLength: 20 }),
        async (world, queries) => {
          const spans = spansOf(world);
          const traces = makeTraces(spans);
          const sources = await sourcesOf(world, spans);
          for (const [text, { fromSeconds, forSeconds, ...page }, isPruned] of queries) {
            const query = accepted(text);
            if (query?.kind !== "search") {
              tally.refuse();
              continue;
            }
            const start = SPANS_START + fromSeconds * SECOND;
            const end = start + forSeconds * SECOND;
            const asked = isPruned ? sources : sources.map(withoutPruning);
            let cursor: SearchCursor | undefined;
            do {
              const wanted = oracleSearch(query, traces, { start, end, ...page, after: cursor });
              const { traces: found, ...rest } = await search(asked, query, {
                startNs: start,
                endNs: end,
                ...page,
                ...(cursor && { cursor }),
              });
              const actual = { traces: found, total: rest.total, cursor: rest.cursor };
              // Again, with what is noted by now.
              const again = await search(asked, query, {
                startNs: start,
                endNs: end,
                ...page,
                ...(cursor && { cursor }),
              });
              expect({ text, ...again }).toEqual({ text, traces: found, ...rest });
              expect(withoutMinusZero({ text, ...actual })).toEqual(withoutMinusZero({ text, ...wanted }));
              if (cursor === undefined) tally.add(wanted.total > 0);
              ({ cursor } = wanted);
            } while (cursor !== undefined);
          }
        },
      ),
      { numRuns: 300 },
    );
    expect(tally.isTelling).toBe(true);
  });
});

describe("metrics", () => {
  const arbTimes = fc.record({
    fromSeconds: fc.constantFrom(0n, 7n),
    forSeconds: fc.constantFrom(20n, 60n),
    step: fc.constantFrom(undefined, 5n, 13n, 60n),
  });

  test("are those of all spans at once", async () => {
    const tally = new Tally();
    await fc.assert(
      fc.asyncProperty(
        arbWorld,
        fc.array(fc.tuple(arbMetricsText, arbTimes, fc.boolean()), { minLength: 1, maxLength: 16 }),
        async (world, queries) => {
          const spans = spansOf(world);
          const traces = makeTraces(spans);
          const sources = await sourcesOf(world, spans);
          for (const [text, { fromSeconds, forSeconds, step }, isPruned] of queries) {
            const query = accepted(text);
            if (query?.kind !== "metrics") {
              tally.refuse();
              continue;
            }
            const start = SPANS_START + fromSeconds * SECOND;
            const end = start + forSeconds * SECOND;
            const [intervals, oracleIntervals] =
              step === undefined
                ? [instantInterval(start, end), oracleInstant(start, end)]
                : [rangeIntervals(start, end, step * SECOND), oracleRange(start, end, step * SECOND)];
            const wanted = oracleMetrics(query, traces, oracleIntervals);
            const asked = isPruned ? sources : sources.map(withoutPruning);
            const options = { intervals, maxSeries: Infinity, exemplars: 3 };
            const answer = await metrics(asked, query, options);
            // Again, with what is noted by now.
            expect({ text, ...(await metrics(asked, query, options)) }).toEqual({ text, ...answer });
            const actual = samplesOf(answer, intervals);
            const error = text.includes("quantile") ? 0.01 : 1e-9;
            expect(withoutMinusZero({ text, labels: actual.map(({ labels }) => labels) })).toEqual(
              withoutMinusZero({ text, labels: wanted.map(({ labels }) => labels) }),
            );
            expect({ text, differences: differences(actual, wanted, error) }).toEqual({
              text,
              differences: [],
            });
            tally.add(wanted.length > 0);
          }
        },
      ),
      { numRuns: 300 },
    );
    expect(tally.isTelling).toBe(true);
  });
});

/** The source, and how often columns were asked for. */
function counted(source: SpanSource): { source: SpanSource; counts: { loads: number } } {
  const counts = { loads: 0 };
  const { rowCount, bounds, pageRows, columns, rest } = source;
  const load: SpanSource["load"] = (names, rows) => {
    // Without rows they are only counted.
    if (rows?.length !== 0) counts.loads++;
    return source.load(names, rows);
  };
  return {
    source: { rowCount, bounds, pageRows, columns, rest, traces: () => source.traces(), load },
    counts,
  };
}

const WHOLE = { startNs: SPANS_START, endNs: SPANS_START + 60n * SECOND };

/** Throws what is thrown in place of a refusal. */
async function fate(source: SpanSource, query: Query): Promise<"answered" | "refused"> {
  try {
    if (query.kind === "search") await search([source], query, { limit: 5, spansPerSpanset: 2, ...WHOLE });
    else {
      const intervals = instantInterval(WHOLE.startNs, WHOLE.endNs);
      await metrics([source], query, { intervals, maxSeries: 100, exemplars: 5 });
    }
    return "answered";
  } catch (error) {
    if (isAppError(error) && (error.kind === "invalid_argument" || error.kind === "too_large"))
      return "refused";
    throw error;
  }
}

test("mutated queries are answered or refused, after three loads for each pipeline at most", async () => {
  const [stored] = await fileSources(await live(randomSpans(3, 40)));
  if (stored === undefined) throw new Error("no spans");
  let answered = 0;
  await fc.assert(
    fc.asyncProperty(arbMutatedQuery, async (text) => {
      const query = accepted(text);
      if (query === undefined) return;
      const { source, counts } = counted(stored);
      if ((await fate(source, query)) === "answered") answered++;
      const pipelines = query.kind === "search" ? 1 : compileMetrics(query).leaves.size;
      expect({ text, isBounded: counts.loads <= 3 * pipelines }).toEqual({ text, isBounded: true });
    }),
    { numRuns: 5000 },
  );
  expect(answered).toBeGreaterThan(100);
});
