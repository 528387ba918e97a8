// Traces that go on beyond a query's window: what answers say of them, and what that costs.
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS, type Limits } from "../../../src/model/limits.ts";
import type { ScanDeps } from "../../../src/query/query-scan.ts";
import { runMetrics, type MetricsRun } from "../../../src/query/run-metrics.ts";
import { runSearch, type SearchRun } from "../../../src/query/run-search.ts";
import { instantInterval } from "../../../src/traceql/engine/metrics.ts";
import { parseQuery } from "../../../src/traceql/parse.ts";
import { type PlainSpan, spansData } from "../../support/query-app.ts";
import { pooledLimits, ScanPool } from "../../support/scan-pool.ts";
import { ScanWorld } from "../../support/scan-world.ts";
import { START_MS } from "../../support/shard-world.ts";

const MINUTE = 60_000;
/** A minute in which all traces of these tests do something. */
const WINDOW = {
  startNs: BigInt(START_MS) * 1_000_000n,
  endNs: BigInt(START_MS + MINUTE) * 1_000_000n,
};

type Scan = Partial<Limits["scan"]>;

/** One block for each list of spans but the last, which is live. */
async function worldOf(parts: readonly (readonly PlainSpan[])[], scan: Scan = {}): Promise<ScanWorld> {
  const world = new ScanWorld(1, { scan: { ...DEFAULT_LIMITS.scan, ...scan } });
  for (const [index, spans] of parts.entries()) {
    if (spans.length > 0) await world.appendBatch(spansData(spans));
    if (index === parts.length - 1) break;
    world.clock.ms += world.limits.flushAgeMs;
    await world.tick();
  }
  return world;
}

interface Asked {
  readonly limit?: number;
  readonly cursor?: SearchRun["cursor"];
}

async function search(
  world: ScanWorld,
  text: string,
  { limit = 20, cursor }: Asked = {},
): Promise<SearchRun> {
  const query = parseQuery(text);
  if (query.kind !== "search") throw new Error(text);
  return runSearch(world.deps, { query, window: WINDOW, limit, spansPerSpanset: 10, cursor });
}

async function count(world: ScanWorld, text: string): Promise<MetricsRun> {
  const query = parseQuery(text);
  if (query.kind !== "metrics") throw new Error(text);
  const intervals = instantInterval(WINDOW.startNs, WINDOW.endNs);
  return runMetrics(world.deps, { query, intervals, maxSeries: 10, exemplars: 0 });
}

/** By trace: the spans that match, and how many there are of each service. */
function shown({ traces }: SearchRun) {
  return traces.map(({ traceId, spansets, serviceStats }) => [
    traceId.replace(/^0+/, ""),
    spansets.flatMap(({ spans }) => spans.map(({ spanId }) => spanId.replace(/^0+/, ""))).join(" "),
    serviceStats.map(({ service, spanCount }) => `${service}:${spanCount}`).join(" "),
  ]);
}

function span(traceId: string, spanId: string, more: Partial<PlainSpan>): PlainSpan {
  return { traceId, spanId: spanId.padStart(16, "0"), name: spanId, ...more };
}

const id = (spanId: string): string => spanId.padStart(16, "0");

/** Its root is half an hour earlier, and ends long before the window. */
const EARLY = [span("e", "e1", { name: "root", atMs: -30 * MINUTE, resource: { "service.name": "early" } })];
const NOW_OF_EARLY = [span("e", "e2", { parentSpanId: id("e1"), atMs: 1000, name: "step" })];
/** Its root lasts for half an hour, and what it does last is 20 minutes after the window. */
const NOW_OF_LONG = [span("f", "f1", { name: "root", atMs: 2000, durationMs: 30 * MINUTE })];
const LATE = [
  span("f", "f2", {
    parentSpanId: id("f1"),
    atMs: 25 * MINUTE,
    name: "late",
    resource: { "service.name": "late" },
  }),
];
/** All of it is within. */
const WHOLE = [
  span("a", "a1", { name: "root", atMs: 3000 }),
  span("a", "a2", { parentSpanId: id("a1"), atMs: 3000, name: "step" }),
];

const NOW = [...NOW_OF_EARLY, ...NOW_OF_LONG, ...WHOLE];

describe.each([
  ["in blocks", [EARLY, NOW, LATE, []]],
  ["in a block and in the buffer", [EARLY, NOW, LATE]],
  ["in blocks that came in another order", [LATE, NOW, EARLY, []]],
] as const)("traces beyond the window, %s", (_, parts) => {
  test("results show whole traces", async () => {
    const world = await worldOf(parts);
    const run = await search(world, "{}");
    expect(shown(run)).toEqual([
      ["a", "a1 a2", "shop:2"],
      ["f", "f1 f2", "late:1 shop:1"],
      ["e", "e1 e2", "early:1 shop:1"],
    ]);
    expect(run.traces[2]).toMatchObject({
      startNs: WINDOW.startNs - 30n * 60_000_000_000n,
      root: { service: "early", name: "root" },
      spansets: [{ matched: 2 }],
    });
    expect(run).toMatchObject({ total: 3, cursor: undefined, failures: [] });
    expect(run.completedJobs).toBe(run.totalJobs);
  });

  test.each([
    // Found because of what is beyond.
    [
      '{ name = "root" } > { name = "step" }',
      [
        ["a", "a2"],
        ["e", "e2"],
      ],
    ],
    ['{ name = "root" } >> { name = "late" }', [["f", "f2"]]],
    ['{ name = "late" } < { name = "root" }', [["f", "f1"]]],
    ['{ rootServiceName = "early" && name = "step" }', [["e", "e2"]]],
    [
      "{ traceDuration > 29m }",
      [
        ["f", "f1 f2"],
        ["e", "e1 e2"],
      ],
    ],
    ['{ name = "step" && parent.resource.service.name = "early" }', [["e", "e2"]]],
    ['{ span:childCount = 1 && name = "root" } && { name = "late" }', [["f", "f1 f2"]]],
    [
      "{ } | by(resource.service.name) | count() = 1",
      [
        ["f", "f1 f2"],
        ["e", "e1 e2"],
      ],
    ],
    // Not found because of it.
    ["{ } | count() = 1", []],
    ['{ name = "root" } !>> { name = "step" }', []],
    ["{ nestedSetParent = 0 }", []],
    ["{ traceDuration < 1m }", [["a", "a1 a2"]]],
  ])("%s", async (query, expected) => {
    const run = await search(await worldOf(parts), query);
    expect(shown(run).map(([traceId, spans]) => [traceId, spans])).toEqual(expected);
    expect(run.total).toBe(expected.length);
  });

  test.each([
    ['{ name = "root" } > { name = "step" } | count_over_time()', [2]],
    ['{ name = "root" } !>> { name = "step" } | count_over_time()', [0]],
    ['{ name = "step" } | count_over_time() by (rootServiceName)', [1, 1]],
    ['{ name = "step" } | count_over_time()', [2]],
    // Spans count by their own start.
    ['{ } && { name = "late" } | count_over_time()', [1]],
    ['({ name = "root" } > { name = "step" } | count_over_time()) + ({ } | count_over_time())', [6]],
  ])("%s", async (query, expected) => {
    const run = await count(await worldOf(parts), query);
    expect(run.series.map(({ samples }) => samples[0]?.value)).toEqual(expected);
    expect(run.failures).toEqual([]);
  });
});

/** The same limits with all blocks in the scan pool. */
function pooled(world: ScanWorld): ScanDeps {
  const limits = pooledLimits(world.deps.limits, { scanners: 2 });
  return { ...world.deps, limits, scannerOf: new ScanPool(limits, world.reader).scannerOf };
}

describe.each([
  ["alone", (world: ScanWorld): ScanDeps => world.deps],
  ["over the pool", pooled],
] as const)("limits, %s: all at the limit, one past it is cut, and the answer says so", (_, depsOf) => {
  const PARTS = [EARLY, NOW, LATE, []];

  test.each([
    ["maxCheckedTraces", 3, 2],
    ["maxWholeTraces", 2, 1],
  ] as const)("%s, of results", async (limit, enough, few) => {
    const run = async (bound: number) => {
      const world = await worldOf(PARTS, { [limit]: bound });
      const query = parseQuery("{}");
      if (query.kind !== "search") throw new Error("no search");
      return runSearch(depsOf(world), { query, window: WINDOW, limit: 20, spansPerSpanset: 10 });
    };
    const wholeOf = (found: SearchRun) => shown(found).filter(([, spans]) => spans?.includes(" ")).length;
    const all = await run(enough);
    expect([wholeOf(all), all.failures, all.totalJobs - all.completedJobs]).toEqual([3, [], 0]);
    const cut = await run(few);
    expect([wholeOf(cut), cut.totalJobs - cut.completedJobs]).toEqual([2, 1]);
    expect(cut.failures).toMatchObject([
      {
        source: expect.stringMatching(/^1 traces /),
        kind: "too_large",
        message: expect.stringContaining(limit),
      },
    ]);
  });

  test.each([
    // An orphan and a long root.
    ["maxCheckedTraces", 2, 1, "1 traces"],
    // All that is in the one block of the window.
    ["maxCandidateSpans", 4, 3, "1 row groups"],
  ] as const)("%s, of candidates", async (limit, enough, few, what) => {
    const run = async (bound: number) => {
      const world = await worldOf(PARTS, { [limit]: bound });
      const query = parseQuery('{ name = "root" } > { name = "step" } | count_over_time()');
      if (query.kind !== "metrics") throw new Error("no metrics");
      const intervals = instantInterval(WINDOW.startNs, WINDOW.endNs);
      return runMetrics(depsOf(world), { query, intervals, maxSeries: 10, exemplars: 0 });
    };
    const countOf = ({ series }: MetricsRun) => series[0]?.samples[0]?.value;
    const all = await run(enough);
    expect([countOf(all), all.failures, all.totalJobs - all.completedJobs]).toEqual([2, [], 0]);
    const cut = await run(few);
    expect([countOf(cut), cut.totalJobs - cut.completedJobs]).toEqual([1, 1]);
    expect(cut.failures).toEqual([
      {
        source: `${what} that may go on beyond the range`,
        kind: "too_large",
        message: `not looked up: beyond the limit ${limit} of one query`,
      },
    ]);
  });

  test("nothing is said where nothing can be beyond", async () => {
    const world = await worldOf([NOW, []], { maxCheckedTraces: 1, maxCandidateSpans: 1 });
    const query = parseQuery('{ name = "root" } > { name = "step" }');
    if (query.kind !== "search") throw new Error("no search");
    const run = await runSearch(depsOf(world), { query, window: WINDOW, limit: 20, spansPerSpanset: 10 });
    expect([shown(run).length, run.failures]).toEqual([1, []]);
  });
});

describe("traces beyond the window", () => {
  test("nothing is looked up or read when there is nothing", async () => {
    const world = await worldOf([
      [span("1", "11", { atMs: -60 * MINUTE })],
      WHOLE,
      [span("2", "21", { atMs: 60 * MINUTE })],
      [],
    ]);
    const before = world.gets.length;
    const run = await search(world, '{ name = "root" } > { }');
    expect([shown(run).length, world.lookUps, run.totalBlocks]).toEqual([1, 0, 1]);
    expect(new Set(world.gets.slice(before)).size).toBe(1);
  });

  test("the shard is not even asked when the window shows all that it has", async () => {
    const world = await worldOf([WHOLE, [], WHOLE]);
    let asked = 0;
    world.beforeBeyond = () => void asked++;
    expect(shown(await search(world, '{ name = "root" } > { }'))).toHaveLength(1);
    expect(asked).toBe(0);
    const other = await worldOf([WHOLE, LATE]);
    other.beforeBeyond = () => void asked++;
    await search(other, '{ name = "root" } > { }');
    expect(asked).toBe(1);
  });

  test("pages neither repeat nor skip, and what turns up is in its place", async () => {
    const many = Array.from({ length: 6 }, (_, i) => {
      const traceId = `c${i}`;
      const [own, child] = [`c${i}1`, `c${i}2`];
      return {
        early: span(traceId, own, { atMs: -30 * MINUTE, name: "root" }),
        now: span(traceId, child, { parentSpanId: id(own), atMs: 1000 * i, name: "step" }),
      };
    });
    const world = await worldOf([
      many.filter((_, i) => i % 2 === 0).map(({ early }) => early),
      [...many.map(({ now }) => now), ...WHOLE],
      [],
    ]);
    for (const [query, expected] of [
      ["{ }", 7],
      ['{ name = "root" } > { name = "step" }', 4],
    ] as const) {
      const found: string[] = [];
      let cursor: SearchRun["cursor"];
      do {
        const run: SearchRun = await search(world, query, { limit: 1, cursor });
        found.push(...run.traces.map(({ traceId }) => traceId));
        ({ cursor } = run);
      } while (cursor !== undefined);
      expect([query, found.length, new Set(found).size]).toEqual([query, expected, expected]);
      const all = await search(world, query);
      expect(new Set(found)).toEqual(new Set(all.traces.map(({ traceId }) => traceId)));
    }
  });

  test("shards are asked after 500 traces in a call", async () => {
    const orphan = (i: number) =>
      span(`${i + 1}`.padStart(4, "c"), `${i + 1}`, { parentSpanId: id("e1"), atMs: i });
    for (const [orphanCount, calls] of [
      [499, 1],
      [500, 2],
    ] as const) {
      const orphans = Array.from({ length: orphanCount }, (_, i) => orphan(i));
      const world = await worldOf([EARLY, [...orphans, ...NOW_OF_EARLY], []]);
      let asked = 0;
      world.beforeBeyond = () => void asked++;
      // The trace that goes on is the last one in the last call.
      const run = await search(world, '{ name = "root" } > { name = "step" }');
      expect([asked, shown(run).map(([traceId]) => traceId), run.failures]).toEqual([calls, ["e"], []]);
    }
  });

  test("a trace that is too large to be read whole stays cut, and the answer says so", async () => {
    const world = await worldOf([EARLY, NOW, LATE, []]);
    const query = parseQuery("{}");
    if (query.kind !== "search") throw new Error("no search");
    const run = (maxOpenedTraceBytes: number): Promise<SearchRun> => {
      const deps = { ...world.deps, limits: { ...world.deps.limits, maxOpenedTraceBytes } };
      return runSearch(deps, { query, window: WINDOW, limit: 9, spansPerSpanset: 9 });
    };
    const sizes = [EARLY, NOW_OF_EARLY, NOW_OF_LONG, LATE].map((spans) => spansData(spans).length);
    const bytes = sizes.reduce((sum, size) => sum + size);
    expect((await run(bytes)).failures).toEqual([]);
    const cut = await run(bytes - 1);
    expect(cut.failures).toMatchObject([{ kind: "too_large", message: /maxOpenedTraceBytes/ }]);
    expect(shown(cut)).toHaveLength(3);
  });

  test("what fails leaves the traces cut, and the answer says so", async () => {
    const world = await worldOf([EARLY, NOW, LATE, []]);
    world.beforeBeyond = () => {
      throw new Error("an object that is older");
    };
    const unasked = await search(world, "{}");
    expect(shown(unasked).map(([, spans]) => spans)).toEqual(["a1 a2", "f1", "e2"]);
    expect(unasked.failures).toMatchObject([{ source: "shard t/0 beyond the range" }]);
    expect(unasked.completedJobs).toBe(unasked.totalJobs - 1);
    world.beforeBeyond = () => undefined;
    const [first] = world.gets;
    world.beforeGet = (key) => {
      if (key !== first) throw new Error("not readable");
    };
    const unread = await search(world, "{}");
    expect(unread.failures.length).toBeGreaterThan(0);
    expect(shown(unread).map(([, spans]) => spans)).toEqual(["a1 a2", "f1", "e2"]);
  });
});
