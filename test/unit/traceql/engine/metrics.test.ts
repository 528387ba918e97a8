import { describe, expect, test } from "vitest";
import { instantInterval, metrics, rangeIntervals } from "../../../../src/traceql/engine/metrics.ts";
import { parseQuery } from "../../../../src/traceql/parse.ts";
import { differences, samplesOf } from "../../../support/metrics-samples.ts";
import {
  instantInterval as oracleInstant,
  metrics as oracleMetrics,
  rangeIntervals as oracleRange,
} from "../../../support/oracle/metrics.ts";
import { makeTraces } from "../../../support/oracle/trace.ts";
import { plainSource } from "../../../support/plain-source.ts";
import { randomSpans, SPANS_START } from "../../../support/random-spans.ts";
import { splitSources } from "../../../support/split-sources.ts";

const SECOND = 1_000_000_000n;

const QUERIES = [
  "{} | rate()",
  '{ name = "GET" } | count_over_time()',
  "{} | count_over_time() by(resource.service.name)",
  "{} | count_over_time() by(span.x, status)",
  "{} | rate() by(span.x, span.y, name)",
  "{} | count_over_time() by(event.x)",
  "{} | count_over_time() by(rootName)",
  "{} | count_over_time() by(duration)",
  "{} | min_over_time(duration)",
  "{} | max_over_time(duration) by(kind)",
  "{} | avg_over_time(duration) by(kind)",
  "{} | sum_over_time(duration)",
  "{} | sum_over_time(span.n)",
  "{} | avg_over_time(span.n) by(name)",
  "{} | max_over_time(span.y)",
  "{} | max_over_time(event:timeSinceStart)",
  "{} | quantile_over_time(duration, .5, .9, 0, 1) by(name)",
  "{} | quantile_over_time(span.n, .3)",
  "{} | histogram_over_time(duration)",
  "{} | histogram_over_time(span.n) by(status)",
  "{} | compare({ status = error })",
  "{} | compare({ status = error }, 2)",
  `{} | compare({ true }, 3, ${SPANS_START + 5n * SECOND}, ${SPANS_START + 20n * SECOND})`,
  "{} | rate() by(name) | topk(1)",
  "{} | rate() by(name) | bottomk(2) | topk(1)",
  "{} | count_over_time() by(name) > 1",
  "({} | count_over_time()) * 100",
  "100 / ({} | count_over_time() by(name))",
  "({ status = error } | rate()) / ({} | rate())",
  "({ status = error } | rate() by(name)) / ({} | rate() by(name))",
  "({ status = error } | rate() by(name)) - ({} | rate())",
  "({} | rate() by(name)) + ({} | count_over_time() by(name)) | topk(1)",
  '{ name = "GET" } >> { status = error } | rate()',
  "{} | by(name) | count() > 2 | count_over_time()",
  "{ status = error } | { kind = server } | count_over_time() by(kind)",
];

describe("metrics", () => {
  test.each(QUERIES)("%s", async (text) => {
    const query = parseQuery(text);
    if (query.kind !== "metrics") throw new Error("no metrics");
    const error = text.includes("quantile") ? 0.01 : 1e-12;
    const start = SPANS_START + SECOND / 2n;
    const end = SPANS_START + 33n * SECOND;
    const ranges = [
      [rangeIntervals(start, end, 7n * SECOND), oracleRange(start, end, 7n * SECOND)],
      [instantInterval(SPANS_START, end), oracleInstant(SPANS_START, end)],
    ] as const;
    for (let seed = 1; seed <= 8; seed++) {
      const spans = randomSpans(seed, seed < 3 ? seed : 40);
      for (const [intervals, oracleIntervals] of ranges) {
        const wanted = oracleMetrics(query, makeTraces(spans), oracleIntervals);
        for (const sources of [[plainSource(spans, { pageRows: 8 })], splitSources(spans, seed)]) {
          const options = { intervals, maxSeries: Infinity, exemplars: 10 };
          const result = await metrics(sources, query, options);
          const actual = samplesOf(result, intervals);
          expect(actual.map(({ labels }) => labels)).toEqual(wanted.map(({ labels }) => labels));
          expect(differences(actual, wanted, error)).toEqual([]);
        }
      }
    }
  });
});
