// A query gives the same whether the Worker looks into all blocks by itself or the scan pool does, however blocks fall to
// Scanners, messages are cut and work is sliced.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { runMetrics } from "../../src/query/run-metrics.ts";
import type { ScanDeps } from "../../src/query/query-scan.ts";
import { runSearch } from "../../src/query/run-search.ts";
import { runTagNames, runTagValues } from "../../src/query/run-tags.ts";
import { instantInterval, rangeIntervals } from "../../src/traceql/engine/metrics/intervals.ts";
import { parseCondition, parseField, parseQuery } from "../../src/traceql/parse.ts";
import type { SearchCursor } from "../../src/traceql/results.ts";
import { isAppError, messageOf } from "../../src/util/errors.ts";
import { arbMetricsText, arbSearchText } from "../support/hit-queries.ts";
import type { PlainSpan } from "../support/oracle/trace.ts";
import { makeRandom } from "../support/random.ts";
import { randomSpans, SPANS_START } from "../support/random-spans.ts";
import { pooledLimits, ScanPool } from "../support/scan-pool.ts";
import { ScanWorld } from "../support/scan-world.ts";
import { encodeSpans } from "../support/stored-sources.ts";

const SECOND = 1_000_000_000n;

interface Stored {
  readonly seed: number;
  readonly spanCount: number;
  /** What each part of the spans is in. */
  readonly parts: readonly ("block" | "live")[];
  /** Whether blocks are merged, as far as they may be, behind this many parts. */
  readonly mergedAfter: number;
  /** Every so many spans were sent twice. */
  readonly repeatEvery: number;
  /** How spans come into parts: one by one, trace by trace, or by their starts. */
  readonly split: "spans" | "traces" | "times";
  /** So many of the last parts come after everything was asked once: what is known by then is no longer true. */
  readonly later: number;
}

const arbStored: fc.Arbitrary<Stored> = fc.record({
  seed: fc.integer({ min: 1, max: 1_000_000 }),
  spanCount: fc.integer({ min: 1, max: 80 }),
  parts: fc.array(fc.constantFrom("block", "block", "live"), { minLength: 1, maxLength: 7 }),
  mergedAfter: fc.nat(7),
  repeatEvery: fc.constantFrom(2, 5, 1000),
  split: fc.constantFrom("spans", "traces", "times", "times"),
  later: fc.constantFrom(0, 1, 2),
});

const arbPool = fc.record({
  scanners: fc.integer({ min: 1, max: 5 }),
  sliceRows: fc.constantFrom(1, 20, 1_000_000),
  maxMessageBytes: fc.constantFrom(40_000, 8_000_000),
});

/** Of what the Worker keeps of split traces: nothing, which traces these are, all. */
const arbSplitCacheBytes = fc.constantFrom(0, 1000, 4000, DEFAULT_LIMITS.scan.splitCacheBytes);

/** Spans in no two of which the order of rows would be left to the bytes that they were sent as. */
function spansOf({ seed, spanCount }: Stored): PlainSpan[] {
  const spans = randomSpans(seed, spanCount).map((span) => [
    `${span.traceId} ${span.spanId} ${span.kind} ${span.start}`,
    span,
  ]);
  return [...new Map(spans as [string, PlainSpan][]).values()];
}

/** @param ask is called when some of the spans are there, and again when all are */
async function withWorld(
  stored: Stored,
  splitCacheBytes: number,
  ask: (world: ScanWorld) => Promise<void>,
): Promise<void> {
  const random = makeRandom(stored.seed);
  const parts: PlainSpan[][] = stored.parts.map(() => []);
  const spans = spansOf(stored).toSorted((a, b) => Number(a.start - b.start));
  const partOf = ({ traceId }: PlainSpan, i: number) => {
    if (stored.split === "traces") return parts[Number(`0x${traceId}`) % parts.length];
    return stored.split === "times"
      ? parts[Math.floor((i * parts.length) / spans.length)]
      : random.pick(parts);
  };
  spans.forEach((span, i) => {
    partOf(span, i)?.push(span);
    if (i % stored.repeatEvery === 0) partOf(span, i)?.push(span);
  });
  // Traces go on beyond the margin of some windows.
  const scan = { ...DEFAULT_LIMITS.scan, traceMarginMs: 1000, splitCacheBytes };
  const world = new ScanWorld(stored.seed, { scan });
  for (const [i, kind] of stored.parts.entries()) {
    const own = parts[i] ?? [];
    if (own.length > 0) await world.appendBatch(encodeSpans(own));
    if (kind === "block") {
      world.clock.ms += world.limits.flushAgeMs;
      await world.tick();
    }
    if (i === stored.mergedAfter) await world.runJobs();
    if (i + 1 === stored.parts.length - stored.later) await ask(world);
  }
  if (stored.later > 0) await ask(world);
}

/** Which of 0 and -0 stands for both depends on which came first. */
function withoutMinusZero(value: unknown): unknown {
  if (value === 0) return 0;
  if (Array.isArray(value)) return value.map(withoutMinusZero);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, withoutMinusZero(part)]));
}

/** What a query gives, or how it is refused. */
async function outcome(run: () => Promise<unknown>): Promise<unknown> {
  try {
    return withoutMinusZero(await run());
  } catch (error) {
    if (!isAppError(error)) throw error;
    return { kind: error.kind, message: messageOf(error) };
  }
}

/** The same over the Worker alone, the pool cold, and the pool warm. */
async function expectSame(
  world: ScanWorld,
  pool: ScanPool,
  limits: ScanDeps["limits"],
  run: (deps: ScanDeps) => Promise<unknown>,
): Promise<void> {
  const alone = await outcome(() => run(world.deps));
  const deps = { ...world.deps, limits, scannerOf: pool.scannerOf };
  expect(await outcome(() => run(deps))).toStrictEqual(alone);
  expect(await outcome(() => run(deps))).toStrictEqual(alone);
}

const WINDOW = { startNs: SPANS_START + 2n * SECOND, endNs: SPANS_START + 40n * SECOND };
const arbWindow = fc.constantFrom(WINDOW, {
  startNs: SPANS_START + 8n * SECOND,
  endNs: SPANS_START + 14n * SECOND,
});

const arbSearch = fc.record({
  window: arbWindow,
  text: arbSearchText,
  limit: fc.integer({ min: 1, max: 6 }),
  spansPerSpanset: fc.constantFrom(1, 3, Infinity),
});

const arbMetrics = fc.record({
  window: arbWindow,
  text: arbMetricsText,
  isInstant: fc.boolean(),
  maxSeries: fc.constantFrom(2, Infinity),
  exemplars: fc.constantFrom(0, 3, 100),
});

const FIELDS = ["name", "span.x", ".x", "resource.service.name", "rootName", "event.x", "span.n", "link.x"];

const arbTags = fc.record({
  field: fc.option(fc.constantFrom(...FIELDS), { nil: undefined }),
  filter: fc.option(fc.constantFrom(`span.x != nil`, `kind = server`, `duration > 1s`), { nil: undefined }),
  limit: fc.constantFrom(1, 3, Infinity),
  maxBytes: fc.constantFrom(4, 20, Infinity),
});

/** The pool of a world. */
class Pools {
  readonly #more: Parameters<typeof pooledLimits>[1];
  #pool: ScanPool | undefined;

  constructor(more: Parameters<typeof pooledLimits>[1]) {
    this.#more = more;
  }

  of(world: ScanWorld) {
    const limits = pooledLimits(world.deps.limits, this.#more);
    return { limits, pool: (this.#pool ??= new ScanPool(limits, world.reader)) };
  }
}

/** A query that the parser takes. */
function parsed(text: string) {
  try {
    return parseQuery(text);
  } catch {
    return undefined;
  }
}

describe("scan pool", () => {
  test("a search is that of the Worker alone, page by page", async () => {
    let found = 0;
    let asked = 0;
    let looked = 0;
    await fc.assert(
      fc.asyncProperty(
        arbStored,
        arbPool,
        arbSplitCacheBytes,
        fc.array(arbSearch, { minLength: 1, maxLength: 8 }),
        async (stored, options, splitCacheBytes, queries) => {
          const pools = new Pools(options);
          await withWorld(stored, splitCacheBytes, async (world) => {
            const { limits, pool } = pools.of(world);
            for (const { text, ...page } of queries) {
              const query = parsed(text);
              if (query?.kind !== "search") continue;
              let cursor: SearchCursor | undefined;
              do {
                const input = { query, ...page, cursor };
                await expectSame(world, pool, limits, (deps) => runSearch(deps, input));
                const next = await runSearch(world.deps, input).catch(() => undefined);
                if (cursor === undefined && (next?.total ?? 0) > 0) found++;
                cursor = next?.cursor;
                asked++;
              } while (cursor !== undefined);
            }
            looked += pool.count("cut");
            pool.calls.length = 0;
          });
        },
      ),
      { numRuns: 60 },
    );
    expect(found).toBeGreaterThan(asked / 10);
    // Traces that go on beyond the window were asked after.
    expect(looked).toBeGreaterThan(10);
  });

  test("metrics are those of the Worker alone", async () => {
    let found = 0;
    await fc.assert(
      fc.asyncProperty(
        arbStored,
        arbPool,
        arbSplitCacheBytes,
        fc.array(arbMetrics, { minLength: 1, maxLength: 8 }),
        async (stored, options, splitCacheBytes, queries) => {
          const pools = new Pools(options);
          await withWorld(stored, splitCacheBytes, async (world) => {
            const { limits, pool } = pools.of(world);
            for (const { text, isInstant, window, ...rest } of queries) {
              const query = parsed(text);
              if (query?.kind !== "metrics") continue;
              const { startNs, endNs } = window;
              const intervals = isInstant
                ? instantInterval(startNs, endNs)
                : rangeIntervals(startNs, endNs, 7n * SECOND);
              const input = { query, intervals, ...rest };
              await expectSame(world, pool, limits, async (deps) => {
                const run = await runMetrics(deps, input);
                if (run.series.length > 0) found++;
                return run;
              });
            }
          });
        },
      ),
      { numRuns: 60 },
    );
    expect(found).toBeGreaterThan(100);
  });

  test("tags are those of the Worker alone, whatever their limits", async () => {
    let found = 0;
    await fc.assert(
      fc.asyncProperty(
        arbStored,
        arbPool,
        fc.array(arbTags, { minLength: 1, maxLength: 6 }),
        async (stored, options, queries) => {
          const pools = new Pools(options);
          await withWorld(stored, DEFAULT_LIMITS.scan.splitCacheBytes, async (world) => {
            const { limits, pool } = pools.of(world);
            for (const { field, filter, ...rest } of queries) {
              const input = { window: WINDOW, filter: filter && parseCondition(filter), ...rest };
              await expectSame(world, pool, limits, async (deps) => {
                if (field === undefined) return runTagNames(deps, input);
                const run = await runTagValues(deps, { ...input, field: parseField(field) });
                if (run.values.length > 1) found++;
                return run;
              });
            }
          });
        },
      ),
      { numRuns: 60 },
    );
    expect(found).toBeGreaterThan(50);
  });
});
