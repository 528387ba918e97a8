// Metrics over HTTP: parameters, and the JSON of range and instant queries.
import { describe, expect, test } from "vitest";
import { instantJson, rangeJson } from "../../../src/http/answers/metrics-answer.ts";
import {
  defaultStep,
  type MetricsParams,
  parseTime,
  readInstantParams,
  readRangeParams,
} from "../../../src/http/params/metrics-params.ts";
import { DEFAULT_LIMITS, type Limits } from "../../../src/model/limits.ts";
import type { MetricsRun } from "../../../src/query/run-metrics.ts";
import type { ResultAttribute, Sample } from "../../../src/traceql/results.ts";
import { CHECKOUT, pathOf, queryApp, SHOP, START } from "../../support/query-app.ts";
import { START_MS } from "../../support/shard-world.ts";

const NS = 1_000_000_000n;
const NOW_NS = BigInt(START_MS) * 1_000_000n;
const MINUTE = 60n * NS;
const HOUR = 60n * MINUTE;
const RATE = "q={}|rate()";

function read(query: string, limits: Limits = DEFAULT_LIMITS): MetricsParams {
  return readRangeParams(new URLSearchParams(query), START_MS, limits);
}

/** The range that the intervals were made from is within them. */
function rangeOf({ intervals: { firstNs, stepNs, count } }: MetricsParams) {
  return { firstNs, lastNs: firstNs + BigInt(count) * stepNs, stepNs };
}

describe("metrics: parameters", () => {
  test.each([
    ["", "there is no query: the parameter q is missing"],
    ["q={}", "not a metrics query"],
    ["q={}|rate()&start=20&end=10", "end must be greater than start"],
    ["q={}|rate()&start=10&end=10", "end must be greater than start"],
    ["q={}|rate()&start=x", 'invalid start: "x" is neither Unix seconds, Unix nanoseconds nor RFC 3339'],
    ["q={}|rate()&end=-5", 'invalid end: "-5" is neither Unix seconds, Unix nanoseconds nor RFC 3339'],
    ["q={}|rate()&since=x", 'invalid since: "x" is no duration like 15m or 2d'],
    ["q={}|rate()&step=-1s", "invalid step: it must not be negative"],
    ["q={}|rate()&step=x", 'invalid step: "x" is neither seconds nor a duration'],
    ["q={}|rate()&exemplars=x", 'invalid exemplars: "x" is no whole number'],
    ["q={}|rate()&maxSeries=-1", 'invalid maxSeries: "-1" is no whole number'],
    ["q={}|rate()&since=1h&step=100ms", "step of 100ms is too small, minimum step for given range is 360ms"],
    ["q={}|rate()&since=200y", "start and end must lie between 1970 and 2262"],
    [
      "q={}|rate(",
      "invalid TraceQL query: parse error at line 1, col 9: syntax error: unexpected end of the query",
    ],
  ])("%s: 400", (query, message) => {
    const error = expect.objectContaining({
      kind: "invalid_argument",
      message: expect.stringContaining(message),
    });
    expect(() => read(query)).toThrow(error);
  });

  test("a range longer than allowed is refused with the text that Grafana looks for", () => {
    const limits = { ...DEFAULT_LIMITS, scan: { ...DEFAULT_LIMITS.scan, maxRangeMs: 86_400_000 } };
    expect(() => read(`${RATE}&since=25h`, limits)).toThrow(
      "metrics query time range exceeds the maximum allowed duration of 24h0m0s",
    );
    // As long as the data are kept, by default.
    expect(read(`${RATE}&since=14d`).intervals.stepNs).toBe(HOUR);
  });

  test("q wins over query", () => {
    expect(read("query={}|rate()").query.kind).toBe("metrics");
    expect(() => read("q={}&query={}|rate()")).toThrow("not a metrics query");
  });

  test.each([
    ["1795392000", 1_795_392_000n * NS],
    ["1795392000.25", 1_795_392_000_250_000_000n],
    ["1795392000250000000", 1_795_392_000_250_000_000n],
    ["2026-11-23T00:00:00Z", 1_795_392_000n * NS],
    ["2026-11-23T01:00:00.123456789+01:00", 1_795_392_000_123_456_789n],
    ["5", 5n * NS],
    ["tomorrow", undefined],
    ["2026-11-23", undefined],
    ["", undefined],
    ["1e9", undefined],
  ])("time %j", (text, expected) => {
    expect(parseTime(text)).toBe(expected);
  });

  test.each([
    ["", NOW_NS - HOUR, NOW_NS],
    ["since=2h", NOW_NS - 2n * HOUR, NOW_NS],
    ["since=2h&end=1795390000", 1_795_382_800n * NS, 1_795_390_000n * NS],
    ["start=1795390000", 1_795_390_000n * NS, NOW_NS],
    ["start=1795390000&end=1795391000&since=5m", 1_795_390_000n * NS, 1_795_391_000n * NS],
    ["start=0&end=0", NOW_NS - HOUR, NOW_NS],
    // An end in the future: the range begins before now all the same.
    ["end=1795399999", NOW_NS - HOUR, 1_795_399_999n * NS],
    ["end=1795399999&since=5m", NOW_NS - 5n * MINUTE, 1_795_399_999n * NS],
  ])("range %j", (query, startNs, endNs) => {
    const { intervals } = readInstantParams(
      new URLSearchParams(`${RATE}&${query}`),
      START_MS,
      DEFAULT_LIMITS,
    );
    // Both ends belong to it.
    expect(intervals).toEqual({
      firstNs: startNs - 1n,
      stepNs: endNs - startNs + 1n,
      count: 1,
      rateNs: endNs - startNs,
    });
  });

  test.each([
    ["15", 15n * NS],
    ["0.5", NS / 2n],
    ["15s", 15n * NS],
    ["1m30s", 90n * NS],
    ["1d", 24n * HOUR],
    ["3600s", HOUR],
    // No step is the default one, a 240th of the range.
    ["", 15n * NS],
    ["0", 15n * NS],
  ])("step %j", (step, expected) => {
    expect(read(`${RATE}&step=${step}`).intervals.stepNs).toBe(expected);
  });

  test.each([
    [10n * NS, 50_000_000n],
    [30n * NS, 100_000_000n],
    [59n * NS, 200_000_000n],
    [MINUTE, NS],
    [HOUR, 15n * NS],
    [3n * HOUR, 45n * NS],
    [6n * HOUR, MINUTE],
    [24n * HOUR, 5n * MINUTE],
    [240n * HOUR, HOUR],
    [14n * 24n * HOUR, HOUR],
    [60n * 24n * HOUR, 6n * HOUR],
  ])("default step of %d ns", (range, expected) => {
    expect(defaultStep(range)).toBe(expected);
  });

  test("intervals begin one step early and end on a step", () => {
    expect(rangeOf(read(`${RATE}&start=1795392010&end=1795392130&step=60`))).toEqual({
      firstNs: 1_795_391_940n * NS,
      lastNs: 1_795_392_180n * NS,
      stepNs: MINUTE,
    });
    expect(rangeOf(read(`${RATE}&start=1795392000&end=1795392120&step=60`))).toMatchObject({
      firstNs: 1_795_391_940n * NS,
      lastNs: 1_795_392_120n * NS,
    });
  });

  test.each([
    ["", 100],
    ["exemplars=0", 100],
    ["exemplars=7", 7],
    ["exemplars=1000", 100],
  ])("%j: exemplars", (query, expected) => {
    expect(read(`${RATE}&${query}`).exemplars).toBe(expected);
  });

  test("the number of series is bounded by what is asked for and by the samples of an answer", () => {
    expect(read(`${RATE}&maxSeries=7`).maxSeries).toBe(7);
    expect(read(`${RATE}&maxSeries=0&since=1h&step=1`).maxSeries).toBe(Math.floor(300_000 / 3601));
    expect(read(`${RATE}&maxSeries=1000000&since=1h&step=1h`).maxSeries).toBe(20_000);
  });

  test("what tempo-cli sends besides is ignored", () => {
    const query = `start=${NOW_NS - HOUR}&end=${NOW_NS}&mode=&blockID=&startPage=0&pagesToSearch=0&version=&encoding=none&size=0&footerSize=0&q={}|rate()&exemplars=0&maxSeries=0`;
    expect(rangeOf(read(query))).toEqual({
      firstNs: NOW_NS - HOUR - 15n * NS,
      lastNs: NOW_NS,
      stepNs: 15n * NS,
    });
  });
});

const NOTHING: MetricsRun = {
  series: [],
  isTruncated: false,
  inspectedSpans: 0,
  inspectedBytes: 0,
  totalBlocks: 0,
  totalBlockBytes: 0,
  totalJobs: 0,
  completedJobs: 0,
  failures: [],
};

function label(name: string, value: ResultAttribute["value"]): ResultAttribute {
  return { name, value };
}

function withSamples(samples: readonly Sample[], labels: readonly ResultAttribute[] = []): MetricsRun {
  return { ...NOTHING, series: [{ labels, samples, exemplars: [] }] };
}

function rangeAnswer(run: MetricsRun, maxSeries: number): string {
  return [...rangeJson(run, maxSeries)].join("");
}

function instantAnswer(run: MetricsRun, maxSeries: number): string {
  return [...instantJson(run, maxSeries)].join("");
}

function parsed(text: string): unknown {
  return JSON.parse(text);
}

describe("metrics: JSON", () => {
  test("without data there is no key series", () => {
    expect(rangeAnswer(NOTHING, 1)).toBe('{"metrics":{}}');
    expect(instantAnswer(NOTHING, 1)).toBe('{"metrics":{}}');
  });

  test("zero is left out, other numbers are numbers, what JSON has not is a text, times are texts", () => {
    const samples = [0, 1.5, -0, Infinity, -Infinity, 1e21].map((value, i) => ({ timestampMs: i, value }));
    expect(rangeAnswer(withSamples(samples), 1)).toBe(
      '{"series":[{"labels":[],"samples":[{"timestampMs":"0"},{"timestampMs":"1","value":1.5},{"timestampMs":"2"},' +
        '{"timestampMs":"3","value":"Infinity"},{"timestampMs":"4","value":"-Infinity"},{"timestampMs":"5","value":1e+21}]}],"metrics":{}}',
    );
    expect(instantAnswer(withSamples([{ timestampMs: 5, value: 0 }]), 1)).toBe(
      '{"series":[{"labels":[]}],"metrics":{}}',
    );
    // A series without a value has no place in an instant answer.
    expect(instantAnswer(withSamples([]), 1)).toBe('{"metrics":{}}');
  });

  test.each<[ResultAttribute["value"], object]>([
    [{ type: "string", value: 'a"b' }, { stringValue: 'a"b' }],
    [{ type: "int", value: -5n }, { intValue: "-5" }],
    [{ type: "float", value: 0.9 }, { doubleValue: 0.9 }],
    [{ type: "float", value: Number.NaN }, { doubleValue: "NaN" }],
    [{ type: "bool", value: false }, { boolValue: false }],
    [{ type: "duration", value: 1_500_000n }, { stringValue: "1.5ms" }],
    [{ type: "status", value: "error" }, { stringValue: "error" }],
    [{ type: "kind", value: "server" }, { stringValue: "server" }],
    [{ type: "nil" }, { stringValue: "nil" }],
    [
      { type: "array", values: [{ type: "int", value: 1n }] },
      { arrayValue: { values: [{ intValue: "1" }] } },
    ],
  ])("label %o", (value, expected) => {
    const body = parsed(rangeAnswer(withSamples([], [label("x", value)]), 1));
    expect(body).toMatchObject({ series: [{ labels: [{ key: "x", value: expected }] }] });
  });

  test("an exemplar without a value takes that of its interval", () => {
    const labels = [label("trace:id", { type: "string", value: CHECKOUT })];
    const series = {
      labels: [],
      samples: [
        { timestampMs: 1000, value: 5 },
        { timestampMs: 2000, value: 7 },
      ],
      exemplars: [
        { labels, timestampMs: 1000, value: undefined },
        { labels, timestampMs: 1001, value: undefined },
        { labels, timestampMs: 1500, value: 0.25 },
      ],
    };
    const shown = [{ key: "trace:id", value: { stringValue: CHECKOUT } }];
    expect(parsed(rangeAnswer({ ...NOTHING, series: [series] }, 1))).toMatchObject({
      series: [
        {
          exemplars: [
            { labels: shown, value: 5, timestampMs: "1000" },
            { labels: shown, value: 7, timestampMs: "1001" },
            { labels: shown, value: 0.25, timestampMs: "1500" },
          ],
        },
      ],
    });
  });

  test("what is missing makes the answer partial and is said", () => {
    const truncated = parsed(rangeAnswer({ ...NOTHING, isTruncated: true }, 10));
    expect(truncated).toMatchObject({
      status: "PARTIAL",
      message:
        "Response exceeds maximum series limit of 10, a partial response is returned. Warning: the accuracy of each individual value is not guaranteed.",
    });
    const failures = [{ source: "tenant=t/a.parquet", kind: "not_found", message: "gone" } as const];
    expect(parsed(instantAnswer({ ...NOTHING, failures, totalJobs: 2, completedJobs: 1 }, 10))).toEqual({
      metrics: { totalJobs: 2, completedJobs: 1 },
      status: "PARTIAL",
      message: "The answer may be incomplete, not read: tenant=t/a.parquet (not_found)",
    });
  });

  test("metrics: int64 as texts", () => {
    const run = { ...NOTHING, inspectedBytes: 5, inspectedSpans: 6, totalBlocks: 7, totalBlockBytes: 8 };
    expect(parsed(rangeAnswer(run, 1))).toEqual({
      metrics: { inspectedBytes: "5", inspectedSpans: "6", totalBlocks: 7, totalBlockBytes: "8" },
    });
  });
});

const RANGE = { start: START, end: START + 60, step: 60 };

async function ask(path: string, params: Readonly<Record<string, string | number>>): Promise<unknown> {
  const app = await queryApp({ live: SHOP.slice(2), blocks: [SHOP.slice(0, 2)] });
  const response = await app.get(pathOf(path, params), { accept: "application/protobuf" });
  expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/json"]);
  return response.json();
}

describe("metrics: answers", () => {
  test("a range query", async () => {
    const q = "{} | rate() by(resource.service.name)";
    const body = await ask("/api/metrics/query_range", { ...RANGE, q });
    const samples = (first: number | undefined, second: number) => [
      { timestampMs: String(START_MS), ...(first !== undefined && { value: first }) },
      { timestampMs: String(START_MS + 60_000), value: second },
    ];
    const service = (value: string) => [{ key: "resource.service.name", value: { stringValue: value } }];
    expect(body).toMatchObject({
      series: [
        { labels: service("checkout"), samples: samples(undefined, 1 / 60) },
        // The root starts at the very edge of the first interval, which belongs to it.
        { labels: service("frontend"), samples: samples(1 / 60, 1 / 60) },
        { labels: service("worker"), samples: samples(undefined, 1 / 60) },
      ],
      metrics: { totalBlocks: 1, totalJobs: 2, completedJobs: 2, inspectedSpans: "4" },
    });
  });

  test("exemplars name their trace and can be had fewer or none", async () => {
    const q = "{ name = `GET /cart` } | max_over_time(duration)";
    const shown = {
      series: [
        {
          labels: [{ key: "__name__", value: { stringValue: "max_over_time" } }],
          exemplars: [
            {
              labels: expect.arrayContaining([{ key: "trace:id", value: { stringValue: CHECKOUT } }]),
              value: 0.042,
              timestampMs: String(START_MS + 10),
            },
          ],
        },
      ],
    };
    expect(await ask("/api/metrics/query_range", { ...RANGE, q })).toMatchObject(shown);
    const none = await ask("/api/metrics/query_range", { ...RANGE, q: `${q} with(exemplars=false)` });
    expect(JSON.stringify(none)).not.toContain("exemplars");
  });

  test("an instant query has one value over the whole range, and no field that Grafana does not know", async () => {
    const q = "{} | rate()";
    expect(await ask("/api/metrics/query", { start: START, end: START + 8, q })).toEqual({
      series: [{ labels: [{ key: "__name__", value: { stringValue: "rate" } }], value: 0.5 }],
      metrics: {
        inspectedBytes: expect.any(String),
        totalBlocks: 1,
        totalBlockBytes: expect.any(String),
        totalJobs: 2,
        completedJobs: 2,
        inspectedSpans: "4",
      },
    });
  });

  test("series beyond maxSeries are left out, the answer says so", async () => {
    const params = { ...RANGE, q: "{} | rate() by(name)", maxSeries: 2 };
    const body = (await ask("/api/metrics/query_range", params)) as { series: unknown[]; message: string };
    expect(body.series).toHaveLength(2);
    expect(body.message).toContain("Response exceeds maximum series limit of 2");
  });
});
