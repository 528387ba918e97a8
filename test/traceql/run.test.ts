// Runs the scripts of this folder.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path/posix";
import { describe, expect, test } from "vitest";
import { metrics } from "../support/oracle/metrics.ts";
import { search } from "../support/oracle/search.ts";
import { makeTraces } from "../support/oracle/trace.ts";
import { type Evaluator, readScript, runCase } from "./script.ts";

const ORACLE: Evaluator = {
  search: async (query, { spans, search: options }) => search(query, makeTraces(spans), options).traces,
  metrics: async (query, { spans, intervals }) => metrics(query, makeTraces(spans), intervals),
};

const scripts = readdirSync(import.meta.dirname).filter((name) => name.endsWith(".test.txt"));

describe.each(scripts)("%s", (name) => {
  const cases = readScript(readFileSync(join(import.meta.dirname, name), "utf8"));

  test.each(cases.map((one) => [one.line, one.query, one] as const))("%i: %s", async (_line, _query, one) => {
    expect(await runCase(one, ORACLE)).toBe(one.expected);
  });
});
