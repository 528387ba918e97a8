// Reading queries and matching regular expressions. Run: node_modules/.bin/node test/bench/traceql.bench.ts
import { parseQuery } from "../../src/traceql/parse.ts";
import { printQuery } from "../../src/traceql/print.ts";
import { compileRegex } from "../../src/traceql/regex.ts";
import { CHECKLIST, CLIENTS, DRILLDOWN } from "../support/traceql-queries.ts";

const ROUNDS = 15;
/** Milliseconds of one round of one case: long enough for the clock of process CPU time. */
const ROUND_MS = 60;
/** Queries per second to reach. */
const TARGET = 200_000;

let sink: unknown;

/** Nanoseconds of process CPU per call, over at least ROUND_MS. */
function measure(run: () => unknown): number {
  const start = process.cpuUsage();
  let calls = 0;
  for (;;) {
    sink = run();
    calls++;
    const { user, system } = process.cpuUsage(start);
    if (user + system > ROUND_MS * 1000) return ((user + system) * 1000) / calls;
  }
}

/** Median nanoseconds of each case; the cases take turns, so that each round of each meets the same machine. */
function medians(cases: Readonly<Record<string, () => unknown>>): Map<string, number> {
  const samples = Object.entries(cases).map(([name, run]) => ({ name, run, times: [] as number[] }));
  for (const { run } of samples) measure(run);
  for (let round = 0; round < ROUNDS; round++) for (const { run, times } of samples) times.push(measure(run));
  return new Map(samples.map(({ name, times }) => [name, times.sort((a, b) => a - b)[ROUNDS >> 1] ?? 0]));
}

const checklist = CHECKLIST.flatMap(({ accepted }) => accepted);
const trees = DRILLDOWN.map((query) => parseQuery(query));
const refused = CHECKLIST.flatMap((row) => row.refused ?? []);

function refuse(query: string): unknown {
  try {
    return parseQuery(query);
  } catch (error) {
    return error;
  }
}

const counts = new Map([
  ["checklist: read and check", checklist.length],
  ["Drilldown, clients: read and check", DRILLDOWN.length + CLIENTS.length],
  ["Drilldown: print", trees.length],
  ["checklist: refuse", refused.length],
]);
const queryTimes = medians({
  "checklist: read and check": () => checklist.map((query) => parseQuery(query)),
  "Drilldown, clients: read and check": () => [...DRILLDOWN, ...CLIENTS].map((query) => parseQuery(query)),
  "Drilldown: print": () => trees.map((tree) => printQuery(tree)),
  "checklist: refuse": () => refused.map((query) => refuse(query)),
});

const characters = DRILLDOWN.reduce((sum, query) => sum + query.length, 0) / DRILLDOWN.length;
console.log(
  `queries (${checklist.length} of the checklist; Drilldown's have ${characters.toFixed(0)} characters)`,
);
for (const [name, ns] of queryTimes) {
  const perSecond = ((counts.get(name) ?? 0) * 1e9) / ns;
  const target =
    name.includes("check") && !name.includes("refuse")
      ? `, ${(perSecond / TARGET).toFixed(1)} x the target`
      : "";
  console.log(`  ${name.padEnd(36)} ${Math.round(perSecond / 1000)} k/s${target}`);
}

/** A dictionary of routes with numbers in them. */
const values = Array.from(
  { length: 34_000 },
  (_, i) => `/api/v${i % 3}/users/${i * 7919}/orders?page=${i % 13}`,
);

const PATTERNS = [
  ".*orders.*",
  String.raw`/api/v[12]/users/\d+/.*`,
  "(?i).*PAGE=(1|2|3)",
  "/api/v1/.*|/api/v2/.*",
];

console.log(
  `\nregular expressions on ${values.length} values of ${values[0]?.length ?? 0} characters and more, compiled each time`,
);
for (const pattern of PATTERNS) {
  const fold = pattern.startsWith("(?i)");
  const native = `^(?:${fold ? pattern.slice(4) : pattern})$`;
  const times = medians({
    ours: () => {
      const regex = compileRegex(pattern);
      return values.filter((value) => regex.matches(value)).length;
    },
    native: () => {
      const regex = new RegExp(native, fold ? "iu" : "u");
      return values.filter((value) => regex.test(value)).length;
    },
  });
  const ours = times.get("ours") ?? 0;
  console.log(
    `  ${pattern.padEnd(28)} ${(ours / 1e6).toFixed(1)} ms, ${(ours / (times.get("native") ?? 1)).toFixed(1)} x the native engine's time`,
  );
}

const evil = compileRegex("(a|a)*b");
const time = medians({ evil: () => evil.matches("a".repeat(30_000)) }).get("evil") ?? 0;
console.log(
  `  (a|a)*b on 30,000 a: ${(time / 1e6).toFixed(2)} ms, ${evil.steps} steps in all; the native engine takes 2^n`,
);
if (sink === undefined) console.log();
