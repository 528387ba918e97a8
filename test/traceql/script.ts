// Reads and runs scripts: `*.test.txt`, whose form README.md tells.
import { parseQuery } from "../../src/traceql/parse.ts";
import type { Query } from "../../src/traceql/ast.ts";
import type { ResultAttribute, ResultSpan, ResultValue, TraceResult } from "../../src/traceql/results.ts";
import type { OracleSeries } from "../support/oracle/metrics.ts";
import type { SearchOptions } from "../support/oracle/search.ts";
import { parseSpan, parseTime, TIME_ZERO } from "../support/oracle/span-text.ts";
import type { PlainSpan } from "../support/oracle/trace.ts";

/** What a result shows of the traces that were found. */
type Detail = "ids" | "attributes" | "traces";

/** Of metrics, ns: a range, or an instant query when there is no step. */
export interface Times {
  readonly start: bigint;
  readonly end: bigint;
  readonly step: bigint | undefined;
}

/** What a case is run with: all that the lines before it said. */
export interface Setting {
  readonly spans: readonly PlainSpan[];
  readonly search: SearchOptions;
  readonly times: Times;
  readonly detail: Detail;
}

export interface ScriptCase {
  readonly line: number;
  readonly query: string;
  readonly expected: string;
  readonly setting: Setting;
}

/** Answers as the oracle or the engine gives them. */
export interface Evaluator {
  search(query: Query & { kind: "search" }, setting: Setting): Promise<readonly TraceResult[]>;
  metrics(query: Query & { kind: "metrics" }, setting: Setting): Promise<readonly OracleSeries[]>;
}

// Reading

const DEFAULTS: Setting = {
  spans: [],
  search: { start: 0n, end: 2n ** 63n - 1n, limit: 20, spansPerSpanset: 100 },
  times: { start: TIME_ZERO, end: TIME_ZERO + 60_000_000_000n, step: 60_000_000_000n },
  detail: "ids",
};

function time(text: string | undefined): bigint {
  return TIME_ZERO + parseTime(text ?? "");
}

/** The setting after a line that changes it; undefined when it is a case. */
function changed(setting: Setting, line: string): Setting | undefined {
  const [word, a, b, c] = line.split(/\s+/);
  switch (word) {
    case "load":
      return { ...setting, spans: [] };
    case "limit":
      return { ...setting, search: { ...setting.search, limit: Number(a) } };
    case "spss":
      return { ...setting, search: { ...setting.search, spansPerSpanset: Number(a) } };
    case "window":
      return { ...setting, search: { ...setting.search, start: time(a), end: time(b) } };
    case "range":
      return { ...setting, times: { start: time(a), end: time(b), step: parseTime(c ?? "") } };
    case "instant":
      return { ...setting, times: { start: time(a), end: time(b), step: undefined } };
    case "show":
      if (a === "ids" || a === "attributes" || a === "traces") return { ...setting, detail: a };
      throw new Error(`nothing to show: ${line}`);
    case undefined:
    default:
      return undefined;
  }
}

function readCase(text: string, line: number, setting: Setting): ScriptCase {
  const arrow = text.lastIndexOf(" => ");
  if (arrow < 0) throw new Error(`line ${line}: no " => "`);
  // \n lets a query have several lines.
  const query = text.slice(0, arrow).trim().replaceAll("\\n", "\n");
  return { line, query, expected: text.slice(arrow + 4).trim(), setting };
}

/**
 * The cases of a script. Those between two `load`s share one array of spans.
 * @throws for a line that is none
 */
export function readScript(text: string): ScriptCase[] {
  let setting = DEFAULTS;
  let spans: PlainSpan[] = [];
  const cases: ScriptCase[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    if (/^\s/.test(line)) {
      if (cases.at(-1)?.setting.spans === spans) throw new Error(`line ${i + 1}: a span behind cases`);
      spans.push(parseSpan(line));
      continue;
    }
    if (line.trim() === "load") spans = [];
    const next = changed(setting, line);
    if (next === undefined) cases.push(readCase(line, i + 1, { ...setting, spans }));
    else setting = next;
  }
  return cases;
}

// Showing results

const UNITS: readonly (readonly [string, bigint])[] = [
  ["h", 3_600_000_000_000n],
  ["m", 60_000_000_000n],
  ["s", 1_000_000_000n],
  ["ms", 1_000_000n],
  ["us", 1_000n],
];

function showDuration(ns: bigint): string {
  const [unit, size] = UNITS.find(([, ns1]) => ns !== 0n && ns % ns1 === 0n) ?? ["ns", 1n];
  return `${ns / size}${unit}`;
}

function showValue(value: ResultValue): string {
  switch (value.type) {
    case "string":
      return JSON.stringify(value.value);
    case "float":
      return Number.isInteger(value.value) ? value.value.toFixed(1) : String(value.value);
    case "duration":
      return showDuration(value.value);
    case "nil":
      return "nil";
    case "array":
      return `[${value.values.map(showValue).join(", ")}]`;
    case "int":
    case "bool":
    case "status":
    case "kind":
      return String(value.value);
  }
}

function showAttributes(attributes: readonly ResultAttribute[], separator: string): string {
  return attributes.map(({ name, value }) => `${name}=${showValue(value)}`).join(separator);
}

function short(id: string): string {
  return id.replace(/^0+/, "");
}

function showSpan(span: ResultSpan, detail: Detail): string {
  if (detail !== "attributes") return short(span.spanId);
  const name = span.name === undefined ? [] : [`name=${JSON.stringify(span.name)}`];
  return `${short(span.spanId)}{${[...name, showAttributes(span.attributes, " ")].join(" ").trim()}}`;
}

function showTrace(trace: TraceResult, detail: Detail): string {
  const { root, startNs, endNs } = trace;
  const facts = [
    root === undefined ? "no root" : `${root.service}/${root.name}`,
    showDuration(startNs - TIME_ZERO),
    showDuration(endNs - startNs),
    ...trace.serviceStats.map(
      ({ service, spanCount, errorCount }) => `${service}:${spanCount}/${errorCount}`,
    ),
  ];
  const sets = trace.spansets.map(({ spans, matched, attributes }) => {
    const shown = spans.map((span) => showSpan(span, detail));
    if (matched > spans.length) shown.push(`+${matched - spans.length}`);
    if (attributes.length > 0) shown.push("|", showAttributes(attributes, " "));
    return `(${shown.join(" ")})`;
  });
  return short(trace.traceId) + (detail === "traces" ? `[${facts.join(" ")}]` : "") + sets.join("");
}

function showSeries({ labels, samples }: OracleSeries): string {
  const values = samples.map((value) => (value === undefined ? "_" : String(Number(value.toPrecision(9)))));
  return `{${showAttributes(labels, ", ")}} ${values.join(" ")}`;
}

/** Line, column and message of an error, as cases give it. */
function showError(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const [, line, column, text] = /line (\d+), col (\d+): (.*)$/s.exec(message) ?? [];
  return line === undefined ? `error ${message}` : `error ${line}:${column} ${text}`;
}

async function show(query: Query, setting: Setting, evaluator: Evaluator): Promise<string> {
  const parts =
    query.kind === "search"
      ? (await evaluator.search(query, setting)).map((trace) => showTrace(trace, setting.detail)).join(" ")
      : (await evaluator.metrics(query, setting)).map(showSeries).join("; ");
  return parts === "" ? "nothing" : parts;
}

/** What a case gives, in the form of `expected`. Of an error's text, as much as is expected. */
export async function runCase(
  { query, expected, setting }: ScriptCase,
  evaluator: Evaluator,
): Promise<string> {
  try {
    const shown = await show(parseQuery(query), setting, evaluator);
    return expected === "accepted" ? expected : shown;
  } catch (error) {
    const shown = showError(error);
    return expected.startsWith("error") && shown.startsWith(expected) ? expected : shown;
  }
}

/** `actual` with the numbers of `expected` where they differ by no more than a relative error. */
export function rounded(actual: string, expected: string, error: number): string {
  const wanted = expected.split(/(?<=[ ;])|(?=[ ;])/);
  const isClose = (own: number, other: number): boolean => Math.abs(own - other) <= Math.abs(other) * error;
  return actual
    .split(/(?<=[ ;])|(?=[ ;])/)
    .map((word, i) => (isClose(Number(word), Number(wanted[i])) ? wanted[i] : word))
    .join("");
}
