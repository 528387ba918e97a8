// Whatever happens to spans between their arrival and a query, the answer is that over all of them at once.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { runMetrics } from "../../src/query/run-metrics.ts";
import { runSearch } from "../../src/query/run-search.ts";
import { instantInterval } from "../../src/traceql/engine/metrics/intervals.ts";
import { metrics } from "../../src/traceql/engine/metrics.ts";
import { search } from "../../src/traceql/engine/search.ts";
import { parseQuery } from "../../src/traceql/parse.ts";
import { oneSource, ScanWorld } from "../support/scan-world.ts";

const START_NS = 1_795_392_000_000_000_000n;
const WINDOW = { startNs: START_NS - 3_600_000_000_000n, endNs: START_NS + 3_600_000_000_000n };
const PAGE = { limit: 30, spansPerSpanset: 2 };
const METRICS = {
  intervals: instantInterval(WINDOW.startNs, WINDOW.endNs),
  maxSeries: Infinity,
  exemplars: 0,
};

/** Conditions on spans, on traces and on what lies between spans; rare and frequent attributes. */
const QUERIES = [
  "{}",
  `{ kind = client && span.server.port = 443 }`,
  `{ status = error } | count() > 0 | select(resource.service.name, span.http.route)`,
  `{ kind = server } >> { kind = internal }`,
  `{ parent.kind = server && duration > 10ms }`,
  `{ traceDuration > 100ms && rootServiceName != "" }`,
  `{ event.exception.type != nil } || { link:traceID != "" }`,
  `{ span.app.supplier.batch_328 != nil || span.app.cost > 1.5 }`,
  `{ name =~ "GET.*" } | by(resource.service.name) | count() > 1`,
  `{} | count_over_time() by (resource.service.name, kind)`,
  `{ kind = server } | quantile_over_time(duration, .5, .9) by (name)`,
];

type Step = { readonly kind: "append"; readonly spans: number } | { readonly kind: Action };
const ACTIONS = ["repeat", "flush", "merge", "restart", "forget", "look"] as const;
type Action = (typeof ACTIONS)[number];

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("append" as const), spans: fc.integer({ min: 1, max: 120 }) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom(...ACTIONS) }) },
);

async function take(world: ScanWorld, { kind, ...rest }: Step): Promise<void> {
  switch (kind) {
    case "append":
      return world.append("spans" in rest ? rest.spans : 1);
    case "repeat": {
      // A client that did not hear the answer sends again.
      const last = world.batches.at(-1);
      if (last !== undefined) await world.appendBatch(last);
      return;
    }
    case "flush":
      world.clock.ms += world.limits.flushAgeMs;
      return world.tick();
    case "merge":
      await world.runJobs();
      return;
    case "restart":
      return world.restart();
    case "forget":
      return world.forgetCache();
    case "look":
      await answer(world, "{}");
      return;
  }
}

async function answer(world: ScanWorld, text: string): Promise<unknown> {
  const query = parseQuery(text);
  if (query.kind === "metrics") {
    const { series, isTruncated, failures } = await runMetrics(world.deps, { query, ...METRICS });
    return { series, isTruncated, failures };
  }
  const { traces, total, cursor, failures } = await runSearch(world.deps, { query, window: WINDOW, ...PAGE });
  return { traces, total, cursor, failures };
}

async function wholeAnswer(world: ScanWorld, text: string): Promise<unknown> {
  const query = parseQuery(text);
  const sources = [await oneSource(world.batches)];
  if (query.kind === "metrics") {
    const { series, isTruncated } = await metrics(sources, query, METRICS);
    return { series, isTruncated, failures: [] };
  }
  const { traces, total, cursor } = await search(sources, query, { ...WINDOW, ...PAGE });
  return { traces, total, cursor, failures: [] };
}

describe("query over live spans and blocks", () => {
  test("is the query over all spans", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 1_000_000 }),
        fc.array(step, { minLength: 1, maxLength: 14 }),
        fc.subarray(QUERIES, { minLength: 2, maxLength: 4 }),
        async (seed, steps, queries) => {
          const world = new ScanWorld(seed);
          await world.append(60);
          for (const each of steps) await take(world, each);
          for (const text of queries) {
            expect({ text, answer: await answer(world, text) }).toEqual({
              text,
              answer: await wholeAnswer(world, text),
            });
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});
