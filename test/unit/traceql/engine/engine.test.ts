import { describe, expect, test } from "vitest";
import { compileMetrics } from "../../../../src/traceql/engine/metrics/plan.ts";
import { metrics, MetricsState, rangeIntervals, showChosen } from "../../../../src/traceql/engine/metrics.ts";
import { search, type SearchOptions } from "../../../../src/traceql/engine/search.ts";
import { parseQuery } from "../../../../src/traceql/parse.ts";
import type { MetricsResult, SearchCursor, SearchResult } from "../../../../src/traceql/results.ts";
import type { ColumnName, SpanSource } from "../../../../src/traceql/storage.ts";
import { plainSource } from "../../../support/plain-source.ts";
import { randomSpans, SPANS_START } from "../../../support/random-spans.ts";
import { splitSources } from "../../../support/split-sources.ts";

const SECOND = 1_000_000_000n;
const ALL: SearchOptions = {
  limit: 20,
  spansPerSpanset: 3,
  startNs: SPANS_START,
  endNs: SPANS_START + 100n * SECOND,
};

async function find(
  sources: readonly SpanSource[],
  text: string,
  options: SearchOptions = ALL,
): Promise<SearchResult> {
  const query = parseQuery(text);
  if (query.kind !== "search") throw new Error("no search");
  return search(sources, query, options);
}

const INTERVALS = rangeIntervals(SPANS_START, SPANS_START + 60n * SECOND, 10n * SECOND);
const METRICS = { intervals: INTERVALS, maxSeries: Infinity, exemplars: 100 };

async function measure(sources: readonly SpanSource[], text: string): Promise<MetricsResult> {
  const query = parseQuery(text);
  if (query.kind !== "metrics") throw new Error("no metrics");
  return metrics(sources, query, METRICS);
}

/** The source, and the columns that were asked of it. */
function counted(source: SpanSource): { source: SpanSource; loads: (readonly ColumnName[])[] } {
  const loads: (readonly ColumnName[])[] = [];
  const load: SpanSource["load"] = (names, rows) => {
    // Without rows they are only counted.
    if (rows?.length !== 0) loads.push(names);
    return source.load(names, rows);
  };
  return { source: { ...source, load }, loads };
}

const SPANS = randomSpans(7, 60);

describe("search: bounds", () => {
  test("pages neither repeat nor skip", async () => {
    const sources = splitSources(SPANS, 3);
    const { traces: all } = await find(sources, "{ status = error }");
    const ids: string[] = [];
    let cursor: SearchCursor | undefined;
    do {
      const page = await find(sources, "{ status = error }", { ...ALL, limit: 2, ...(cursor && { cursor }) });
      ids.push(...page.traces.map(({ traceId }) => traceId));
      ({ cursor } = page);
    } while (cursor !== undefined);
    expect(ids.length).toBeGreaterThan(3);
    expect(ids).toEqual(all.map(({ traceId }) => traceId));
  });

  test("a trace with a part before and a part after the window overlaps it", async () => {
    const [span] = SPANS;
    if (span === undefined) throw new Error("no span");
    const sources = [0n, 20n].map((seconds) => {
      const start = SPANS_START + seconds * SECOND;
      return plainSource([{ ...span, start, end: start + SECOND }]);
    });
    const window = { startNs: SPANS_START + 5n * SECOND, endNs: SPANS_START + 6n * SECOND };
    expect(await find(sources, "{}", { ...ALL, ...window })).toMatchObject({ total: 1 });
  });

  test("nothing is read of a source that cannot match", async () => {
    for (const text of [
      '{ span.missing = "x" }',
      "{ duration > 1h }",
      "{ false }",
      "{} >> { span.missing != nil }",
    ]) {
      const { source, loads } = counted(plainSource(SPANS));
      expect(await find([source], text)).toMatchObject({ total: 0, inspectedSpans: 0 });
      expect(loads).toEqual([]);
    }
  });

  test("one load to find, one for times, one to show", async () => {
    const { source, loads } = counted(plainSource(SPANS, { pageRows: 8 }));
    await find([source], '{ name = "GET" && span.x != nil } | select(span.y)');
    expect(loads).toHaveLength(3);
    expect(loads[0]).not.toContain("duration");
    expect(loads[0]).not.toContain("spanId");
    expect(loads[1]).toEqual(["start"]);
  });

  test("no times of a source whose traces are older than enough others", async () => {
    const [span] = SPANS;
    if (span === undefined) throw new Error("no span");
    const spanAt = (seconds: bigint, traceId: string) => {
      const start = SPANS_START + seconds * SECOND;
      return { ...span, traceId, start, end: start + SECOND };
    };
    const sources = [
      counted(plainSource([spanAt(0n, "1".repeat(32))])),
      // One more than the page has: whether there is a next one.
      counted(plainSource([spanAt(20n, "2".repeat(32)), spanAt(21n, "3".repeat(32))])),
    ];
    const page = { ...ALL, limit: 1 };
    const found = await find(
      sources.map(({ source }) => source),
      "{ kind != unspecified || true }",
      page,
    );
    expect(found.total).toBe(3);
    const [older, newer] = sources.map(({ loads }) => loads.flat());
    expect(newer).toContain("start");
    expect(older).not.toContain("start");
  });

  test("a value that no dictionary has: no page is decoded", async () => {
    const source = plainSource(SPANS, { pageRows: 8 });
    const noPages: SpanSource = {
      ...source,
      load: async (names) =>
        (await source.load(names)).map(({ dictionary, codedPageCount }) => ({
          dictionary,
          codedPageCount,
          page: () => {
            throw new Error("a page was decoded");
          },
        })),
    };
    expect((await find([noPages], '{ name = "nobody" && duration > 1ms }')).total).toBe(0);
  });

  test("a client that has gone ends the search", async () => {
    const signal = AbortSignal.abort();
    await expect(find([plainSource(SPANS)], "{}", { ...ALL, signal })).rejects.toThrow("aborted");
  });
});

describe("search: errors", () => {
  test("division by zero", async () => {
    await expect(find([plainSource(SPANS)], "{ duration / span:childCount > 1 }")).rejects.toMatchObject({
      kind: "invalid_argument",
      message: "division by zero",
    });
    await expect(
      find([plainSource(SPANS)], "{ span:childCount != 0 && duration / span:childCount > 1 }"),
    ).resolves.toBeDefined();
  });

  test.each(["{} | by(name) | {} >> {}", "({} | by(name)) > {}"])("%s", async (text) => {
    await expect(find([plainSource(SPANS)], text)).rejects.toMatchObject({ kind: "invalid_argument" });
  });
});

describe("metrics: parts and exemplars", () => {
  const QUERIES = [
    "{} | rate() by(name)",
    "{ status = error } | quantile_over_time(duration, .5, .9) by(resource.service.name)",
    "{} | sum_over_time(span.y)",
    "{} | compare({ status = error })",
    "({} | rate()) / ({} | count_over_time() by(kind))",
  ];

  test.each(QUERIES)("parts that are added in any order: %s", async (text) => {
    const query = parseQuery(text);
    if (query.kind !== "metrics") throw new Error("no metrics");
    const plan = compileMetrics(query);
    // By trace: parts have no trace in common.
    const parts = [...Map.groupBy(SPANS, ({ traceId }) => Number(`0x${traceId}`) % 3).values()];
    const sources = parts.map((spans) => plainSource(spans));
    const whole = await metrics(sources, query, METRICS);
    const order = [2, 0, 1];
    const sum = new MetricsState(plan, METRICS);
    for (const index of order) {
      const state = new MetricsState(plan, METRICS);
      await state.measure(sources[index]!, index);
      sum.add(structuredClone(state.part()));
    }
    expect(await sum.result((chosen) => showChosen([...plan.leaves.values()], sources, chosen))).toEqual(
      whole,
    );
  });

  test.each([
    "{} | rate()",
    "{ status = error } | max_over_time(duration) by(name)",
    "{} | select(span.y, event.x, parent.name) | rate()",
  ])("exemplars do not depend on where spans are: %s", async (text) => {
    const whole = await measure([plainSource(SPANS)], text);
    const exemplars = whole.series.flatMap((series) => series.exemplars);
    expect(exemplars.length).toBeGreaterThan(2);
    expect(new Set(exemplars.map(({ labels }) => JSON.stringify(labels[0]))).size).toBe(exemplars.length);
    expect(await measure(splitSources(SPANS, 5), text)).toMatchObject({ series: whole.series });
  });

  test("the hint turns exemplars off", async () => {
    const { series } = await measure([plainSource(SPANS)], "{} | rate() with(exemplars=false)");
    expect(series.flatMap(({ exemplars }) => exemplars)).toEqual([]);
  });

  test("too many series: the first in order are left, whatever the order of sources", async () => {
    const spans = randomSpans(11, 300).map((span, i) =>
      Object.assign({}, span, { name: `n${String(i).padStart(3, "0")}` }),
    );
    const intervals = { firstNs: SPANS_START - 1n, stepNs: SECOND, count: 10_000, rateNs: SECOND };
    const query = parseQuery("{} | count_over_time() by(name)");
    if (query.kind !== "metrics") throw new Error("no metrics");
    const sources = splitSources(spans, 2);
    const options = { ...METRICS, intervals };
    const forward = await metrics(sources, query, options);
    const backward = await metrics(sources.toReversed(), query, options);
    expect(forward.isTruncated).toBe(true);
    expect(forward.series.length).toBeLessThan(300);
    expect(backward.series.map(({ labels, samples }) => ({ labels, samples }))).toEqual(
      forward.series.map(({ labels, samples }) => ({ labels, samples })),
    );
  });
});

describe("exemplars", () => {
  test("are the same in however many sources traces are", async () => {
    const query = parseQuery("{} | rate()");
    if (query.kind !== "metrics") throw new Error("no metrics");
    let several = 0;
    for (let seed = 1; seed <= 30; seed++) {
      const byTrace = [...Map.groupBy(randomSpans(seed, 60), ({ traceId }) => traceId).values()];
      const shown = async (count: number) => {
        const parts = Array.from({ length: count }, (_, part) =>
          byTrace.filter((_trace, i) => i % count === part).flat(),
        ).filter((part) => part.length > 0);
        const sources = parts.map((part) => plainSource(part));
        const { series } = await metrics(sources, query, METRICS);
        const all = series.flatMap(({ exemplars }) => exemplars);
        const idOf = ({ labels: [label] }: (typeof all)[number]) =>
          label?.value.type === "string" ? label.value.value : "";
        return all.map((each) => `${each.timestampMs} ${idOf(each)}`).sort();
      };
      const [one, ...others] = [await shown(1), await shown(2), await shown(5)];
      for (const other of others) expect(other).toEqual(one);
      if ((one?.length ?? 0) > 3) several++;
    }
    expect(several).toBeGreaterThan(10);
  });
});
