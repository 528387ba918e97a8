// Runs the scripts of this folder: by the reference evaluator, and by the engine over spans that were stored.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path/posix";
import { describe, expect, test } from "vitest";
import { instantInterval, metrics as measure, rangeIntervals } from "../../src/traceql/engine/metrics.ts";
import { search as find } from "../../src/traceql/engine/search.ts";
import type { SpanSource } from "../../src/traceql/storage.ts";
import { samplesOf } from "../support/metrics-samples.ts";
import {
  instantInterval as oracleInstant,
  metrics,
  rangeIntervals as oracleRange,
} from "../support/oracle/metrics.ts";
import { search } from "../support/oracle/search.ts";
import { makeTraces, type PlainSpan } from "../support/oracle/trace.ts";
import { fileSources, flushed, live, merged } from "../support/stored-sources.ts";
import { type Evaluator, readScript, rounded, runCase, type ScriptCase } from "./script.ts";

const ORACLE: Evaluator = {
  search: async (query, { spans, search: options }) => search(query, makeTraces(spans), options).traces,
  metrics: async (query, { spans, times: { start, end, step } }) =>
    metrics(
      query,
      makeTraces(spans),
      step === undefined ? oracleInstant(start, end) : oracleRange(start, end, step),
    ),
};

type Layout = (spans: readonly PlainSpan[]) => Promise<readonly Uint8Array[]>;

/** Two parts, every third span in both: traces are split, and clients sent again what they were not sure of. */
function parts(spans: readonly PlainSpan[]): PlainSpan[][] {
  return [0, 1].map((part) => spans.filter((_, i) => i % 2 === part || i % 3 === 0));
}

/** Where spans are. */
const LAYOUTS: Readonly<Record<string, Layout>> = {
  "one block": async (spans) => [await flushed(spans)],
  "live spans": async (spans) => [await live([...spans, ...spans.slice(0, 2)].toReversed())],
  "a block and live spans": async (spans) => {
    const [first = [], second = []] = parts(spans);
    return [await flushed(first), await live(second)];
  },
  "merged blocks in groups of 3 spans": async (spans) => [
    await merged(await Promise.all(parts(spans).map(flushed)), 3),
  ],
};

/** Sources are made once for the spans of many cases. */
function engine(layout: Layout): Evaluator {
  const made = new Map<readonly PlainSpan[], Promise<readonly SpanSource[]>>();
  const sourcesOf = (spans: readonly PlainSpan[]): Promise<readonly SpanSource[]> => {
    const known = made.get(spans);
    if (known !== undefined) return known;
    const sources = layout(spans).then(async (files) => (await Promise.all(files.map(fileSources))).flat());
    made.set(spans, sources);
    return sources;
  };
  return {
    search: async (query, { spans, search: { start, end, limit, spansPerSpanset } }) => {
      const options = { limit, spansPerSpanset, startNs: start, endNs: end };
      return (await find(await sourcesOf(spans), query, options)).traces;
    },
    metrics: async (query, { spans, times: { start, end, step } }) => {
      const intervals = step === undefined ? instantInterval(start, end) : rangeIntervals(start, end, step);
      const options = { intervals, maxSeries: Infinity, exemplars: 100 };
      return samplesOf(await measure(await sourcesOf(spans), query, options), intervals);
    },
  };
}

const scripts = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith(".test.txt"))
  .map((name) => ({ name, cases: readScript(readFileSync(join(import.meta.dirname, name), "utf8")) }));

describe.each(scripts)("$name", ({ cases }) => {
  test.each(cases.map((one) => [one.line, one.query, one] as const))("%i: %s", async (_line, _query, one) => {
    expect(await runCase(one, ORACLE)).toBe(one.expected);
  });
});

/** Quantiles are taken of a sketch. */
async function engineOutcome(one: ScriptCase, evaluator: Evaluator): Promise<string> {
  const actual = await runCase(one, evaluator);
  return one.query.includes("quantile_over_time") ? rounded(actual, one.expected, 0.01) : actual;
}

describe.each(Object.entries(LAYOUTS))("engine over %s", (_name, layout) => {
  const evaluator = engine(layout);

  test.each(scripts)("$name", async ({ cases }) => {
    for (const one of cases) {
      expect.soft(`${one.line}: ${await engineOutcome(one, evaluator)}`).toBe(`${one.line}: ${one.expected}`);
    }
  });
});
