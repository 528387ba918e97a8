// Metrics: spans into series, series into series.
import type {
  CompareMetric,
  Field,
  MetricsArithmetic,
  MetricsExpression,
  MetricsFunction,
  MetricsPipeline,
  MetricsQuery,
  MetricsStage,
} from "../../../src/traceql/ast.ts";
import { printField } from "../../../src/traceql/print.ts";
import type { ResultAttribute } from "../../../src/traceql/results.ts";
import { fieldOf, meets, toValue } from "./expressions.ts";
import { spansetsOf } from "./spansets.ts";
import type { Node, PlainAttributes, Trace } from "./trace.ts";
import {
  compareScalars,
  compareText,
  elements,
  isFiniteNumber,
  isNumber,
  metricValue,
  type Scalar,
  sumOfNumbers,
  valueKey,
} from "./values.ts";

/** Where samples stand. ns. */
export interface Intervals {
  readonly count: number;
  readonly step: bigint;
  /** Right edge of the first one. */
  readonly first: bigint;
  /** Whether the first interval has its left edge too. */
  readonly isClosed: boolean;
}

/** Of `start` and `end` as sent: one interval more at each end than they cut. */
export function rangeIntervals(start: bigint, end: bigint, step: bigint): Intervals {
  const first = start - (start % step);
  const last = ((end + step - 1n) / step) * step;
  return { first, step, count: Number((last - first) / step) + 1, isClosed: false };
}

export function instantInterval(start: bigint, end: bigint): Intervals {
  return { first: end, step: end - start, count: 1, isClosed: true };
}

/** The interval of a time: open on the left, closed on the right. */
function intervalOf(time: bigint, { first, step, count, isClosed }: Intervals): number | undefined {
  const begin = first - step;
  if (isClosed && time === begin) return 0;
  if (time <= begin) return undefined;
  const index = Number((time - begin - 1n) / step);
  return index < count ? index : undefined;
}

export interface OracleSeries {
  readonly labels: readonly ResultAttribute[];
  /** By interval; undefined: no sample. */
  readonly samples: readonly (number | undefined)[];
  /** Of a quantile, by interval: the values that it is taken of, ascending. */
  readonly ranked?: readonly (readonly number[])[];
}

// One observation after another into the samples of one series

/** What a span adds to a series. */
interface Observation {
  readonly labels: readonly ResultAttribute[];
  readonly interval: number;
  readonly value: number;
}

function labelKey(labels: readonly ResultAttribute[]): string {
  return JSON.stringify(labels.map(({ name, value }) => [name, labelText(value)]));
}

function labelText(value: ResultAttribute["value"]): string {
  return value.type === "nil" || value.type === "array" ? value.type : valueKey(value);
}

function collect(
  observations: readonly Observation[],
  intervals: Intervals,
  sampleOf: (values: readonly number[]) => number | undefined,
): OracleSeries[] {
  return [...Map.groupBy(observations, ({ labels }) => labelKey(labels)).values()].map((own) => ({
    labels: own[0]!.labels,
    samples: valuesByInterval(own, intervals).map(sampleOf),
  }));
}

function valuesByInterval(observations: readonly Observation[], { count }: Intervals): number[][] {
  return Array.from({ length: count }, (_, i) =>
    observations.filter(({ interval }) => interval === i).map(({ value }) => value),
  );
}

/** Undefined where there is nothing to make a sample of. */
function orNothing(
  sampleOf: (values: readonly number[]) => number,
): (values: readonly number[]) => number | undefined {
  return (values) => (values.length === 0 ? undefined : sampleOf(values));
}

// Labels

const NIL: Scalar = { type: "string", value: "nil" };

/** The function's name, but where its series have a label of their own. */
function ungroupedLabels(kind: string): ResultAttribute[] {
  if (kind === "quantile_over_time" || kind === "histogram_over_time") return [];
  return [{ name: "__name__", value: { type: "string", value: kind } }];
}

/** Fields that are missing give no label; when all are, the first one is nil. */
function labelsOf(
  fn: { readonly kind: string; readonly by: readonly Field[] },
  node: Node,
): ResultAttribute[] {
  const [first] = fn.by;
  if (first === undefined) return ungroupedLabels(fn.kind);
  const labels = fn.by.flatMap((field) => {
    const [value] = elements(fieldOf(node, field));
    return value === undefined ? [] : [{ name: printField(field), value }];
  });
  return labels.length > 0 ? labels : [{ name: printField(first), value: NIL }];
}

function extraLabel(name: string, value: number): ResultAttribute {
  return { name, value: { type: "float", value } };
}

// Functions

interface Hit {
  readonly node: Node;
  readonly interval: number;
}

/** Of the raw value, whole or not: durations by nanoseconds, and shown in seconds. */
function bucketOf(value: Scalar): number | undefined {
  if (!isFiniteNumber(value) || compareScalars("<", value, { type: "int", value: 2n })) return undefined;
  let edge = 2;
  while (edge < value.value) edge *= 2;
  return value.type === "duration" ? edge / 1e9 : edge;
}

function observe(fn: Exclude<MetricsFunction, CompareMetric>, hits: readonly Hit[]): Observation[] {
  return hits.flatMap(({ node, interval }): Observation[] => {
    const labels = labelsOf(fn, node);
    if (!("field" in fn)) return [{ labels, interval, value: 1 }];
    return elements(fieldOf(node, fn.field)).flatMap((scalar): Observation[] => {
      if (fn.kind === "histogram_over_time") {
        const edge = bucketOf(scalar);
        return edge === undefined
          ? []
          : [{ labels: [...labels, extraLabel("__bucket", edge)], interval, value: 1 }];
      }
      const value = metricValue(scalar);
      return value === undefined ? [] : [{ labels, interval, value }];
    });
  });
}

/** The value at the rank, of those in ascending order: no interpolation, which sketches do not do either. */
function quantileOf(ranked: readonly number[], q: number): number {
  return ranked[Math.floor(q * (ranked.length - 1))] ?? 0;
}

function quantileSeries(
  observations: readonly Observation[],
  quantiles: readonly number[],
  intervals: Intervals,
): OracleSeries[] {
  return [...Map.groupBy(observations, ({ labels }) => labelKey(labels)).values()].flatMap((own) => {
    const ranked = valuesByInterval(own, intervals).map((values) => values.sort((a, b) => a - b));
    return quantiles.map((q) => ({
      labels: [...own[0]!.labels, extraLabel("p", q)],
      samples: ranked.map((values) => quantileOf(values, q)),
      ranked,
    }));
  });
}

function seriesOf(
  fn: Exclude<MetricsFunction, CompareMetric>,
  hits: readonly Hit[],
  intervals: Intervals,
): OracleSeries[] {
  const observations = observe(fn, hits);
  switch (fn.kind) {
    case "rate":
      return collect(observations, intervals, (values) => values.length / (Number(intervals.step) / 1e9));
    case "count_over_time":
    case "histogram_over_time":
      return collect(observations, intervals, (values) => values.length);
    case "min_over_time":
      return collect(
        observations,
        intervals,
        orNothing((values) => values.reduce((a, b) => Math.min(a, b))),
      );
    case "max_over_time":
      return collect(
        observations,
        intervals,
        orNothing((values) => values.reduce((a, b) => Math.max(a, b))),
      );
    case "sum_over_time":
      return collect(observations, intervals, orNothing(sumOfNumbers));
    case "avg_over_time":
      return collect(
        observations,
        intervals,
        orNothing((values) => sumOfNumbers(values) / values.length),
      );
    case "quantile_over_time":
      return quantileSeries(observations, [...new Set(fn.quantiles)], intervals);
  }
}

// compare()

const COMPARED_INTRINSICS = [
  "name",
  "kind",
  "status",
  "statusMessage",
  "rootName",
  "rootServiceName",
  "instrumentation:name",
  "instrumentation:version",
] as const;
const OPTIONAL_TEXTS = new Set<string>(["statusMessage", "instrumentation:name", "instrumentation:version"]);

/** Every attribute of the span, its resource and scope that is one value, and what else tells groups of spans apart. */
function comparedAttributes(node: Node): { name: string; value: Scalar }[] {
  const ofScope = (scope: "span" | "resource" | "instrumentation", attributes: PlainAttributes) =>
    [...attributes].map(([name, value]) => ({
      name: printField({ kind: "attribute", scope, name, parent: false, at: 0 }),
      value: toValue(value),
    }));
  const intrinsics = COMPARED_INTRINSICS.map((name) => ({
    name,
    value: fieldOf(node, { kind: "intrinsic", name, parent: false, at: 0 }),
  }));
  return [
    ...ofScope("span", node.span.attributes),
    ...ofScope("resource", node.span.resource),
    ...ofScope("instrumentation", node.span.scope.attributes),
    ...intrinsics,
  ].flatMap(({ name, value }) =>
    value === undefined || value.type === "list" || (value.value === "" && OPTIONAL_TEXTS.has(name))
      ? []
      : [{ name, value }],
  );
}

function typeLabel(value: string): ResultAttribute {
  return { name: "__meta_type", value: { type: "string", value } };
}

function compareSide(
  side: "baseline" | "selection",
  hits: readonly Hit[],
  topN: number,
  intervals: Intervals,
): OracleSeries[] {
  const all = hits.flatMap(({ node, interval }) =>
    comparedAttributes(node).map(({ name, value }) => ({ name, value, interval })),
  );
  return [...Map.groupBy(all, ({ name }) => name)].flatMap(([name, own]) => {
    const observation = (type: string, value: Scalar, interval: number): Observation => ({
      labels: [typeLabel(type), { name, value }],
      interval,
      value: 1,
    });
    const kept = [...Map.groupBy(own, ({ value }) => valueKey(value))]
      .sort(([a, x], [b, y]) => y.length - x.length || compareText(a, b))
      .slice(0, topN)
      .flatMap(([, same]) => same.map(({ value, interval }) => observation(side, value, interval)));
    const totals = own.map(({ interval }) => observation(`${side}_total`, NIL, interval));
    return collect([...kept, ...totals], intervals, (values) => values.length);
  });
}

function compareSeries(fn: CompareMetric, hits: readonly Hit[], intervals: Intervals): OracleSeries[] {
  const { window, selection, topN } = fn;
  const isSelected = ({ node }: Hit): boolean => {
    const { start } = node.span;
    if (window !== undefined && (start < window.start || start > window.end)) return false;
    return meets(node, selection.condition);
  };
  return [
    ...compareSide("selection", hits.filter(isSelected), topN, intervals),
    ...compareSide(
      "baseline",
      hits.filter((hit) => !isSelected(hit)),
      topN,
      intervals,
    ),
  ];
}

function pipelineSeries({ source, fn }: MetricsPipeline, traces: readonly Trace[], intervals: Intervals) {
  const hits = traces
    .flatMap((trace) => spansetsOf(source.stages, trace))
    .flatMap(({ nodes }) => nodes)
    .flatMap((node): Hit[] => {
      const interval = intervalOf(node.span.start, intervals);
      return interval === undefined ? [] : [{ node, interval }];
    });
  if (fn.kind === "compare") return compareSeries(fn, hits, intervals);
  const series = seriesOf(fn, hits, intervals);
  return series.length === 0 && isCountedAnyway(source, fn) ? [zeros(fn.kind, intervals)] : series;
}

/** Nothing is counted as 0, but for `{ false }`, which nobody can have meant. */
function isCountedAnyway({ stages }: MetricsPipeline["source"], fn: MetricsFunction): boolean {
  const isCount = fn.kind === "rate" || fn.kind === "count_over_time";
  const isNever = stages.some((stage) => {
    const condition = stage.kind === "filter" ? stage.condition : undefined;
    return condition?.kind === "literal" && condition.type === "bool" && !condition.value;
  });
  return isCount && fn.by.length === 0 && !isNever;
}

function zeros(kind: string, { count }: Intervals): OracleSeries {
  return { labels: ungroupedLabels(kind), samples: Array.from({ length: count }, () => 0) };
}

// Series from series

/** By number of labels, then their names, then their values. */
function compareLabels(a: readonly ResultAttribute[], b: readonly ResultAttribute[]): number {
  if (a.length !== b.length) return a.length - b.length;
  for (const [i, label] of a.entries()) {
    const byName = compareText(label.name, b[i]!.name);
    if (byName !== 0) return byName;
  }
  for (const [i, { value }] of a.entries()) {
    const other = b[i]!.value;
    const order = compareLabelValues(value, other);
    if (order !== 0) return order;
  }
  return 0;
}

function compareLabelValues(a: ResultAttribute["value"], b: ResultAttribute["value"]): number {
  if (a.type === "nil" || b.type === "nil" || a.type === "array" || b.type === "array") return 0;
  if (isNumber(a) && isNumber(b) && compareScalars("!=", a, b)) return compareScalars("<", a, b) ? -1 : 1;
  return compareText(String(a.value), String(b.value)) || compareText(a.type, b.type);
}

function bySeries(a: OracleSeries, b: OracleSeries): number {
  return compareLabels(a.labels, b.labels);
}

function withoutEmpty(series: readonly OracleSeries[]): OracleSeries[] {
  return series.filter(({ samples }) => samples.some((sample) => sample !== undefined));
}

function changeSamples(
  series: readonly OracleSeries[],
  change: (sample: number, series: OracleSeries, interval: number) => number | undefined,
): OracleSeries[] {
  return withoutEmpty(
    series.map((one) => ({
      labels: one.labels,
      samples: one.samples.map((sample, i) => {
        const changed = sample === undefined ? undefined : change(sample, one, i);
        return Number.isNaN(changed) ? undefined : changed;
      }),
    })),
  );
}

function applyStage(stage: MetricsStage, series: readonly OracleSeries[]): OracleSeries[] {
  if (stage.kind === "threshold") {
    const { op, value } = stage;
    const bound: Scalar =
      value.type === "duration" ? { type: "float", value: Number(value.value) / 1e9 } : value;
    return changeSamples(series, (sample) =>
      compareScalars(op, { type: "float", value: sample }, bound) ? sample : undefined,
    );
  }
  const sign = stage.kind === "topk" ? -1 : 1;
  return changeSamples(series, (sample, one, i) => {
    const better = series.filter((other) => {
      const rival = other.samples[i];
      if (rival === undefined || other === one) return false;
      // Of equals the first is the greatest.
      return sign * (rival === sample ? bySeries(one, other) : rival - sample) < 0;
    });
    return better.length < stage.limit ? sample : undefined;
  });
}

function calculate(op: MetricsArithmetic["op"], a: number, b: number): number {
  if (op === "+") return a + b;
  if (op === "-") return a - b;
  if (op === "*") return a * b;
  return b === 0 ? Number.NaN : a / b;
}

/** The labels that series are matched by. */
function matchKey({ labels }: OracleSeries): string {
  return labelKey(
    labels.filter(({ name }) => name !== "__name__").sort((a, b) => compareText(a.name, b.name)),
  );
}

const NO_LABELS = labelKey([]);

function pairsOf(
  left: readonly OracleSeries[],
  right: readonly OracleSeries[],
): [OracleSeries, OracleSeries][] {
  return left.flatMap((l) =>
    right
      .filter((r) => matchKey(l) === matchKey(r) || matchKey(l) === NO_LABELS || matchKey(r) === NO_LABELS)
      .map((r): [OracleSeries, OracleSeries] => [l, r]),
  );
}

/** Labels but the name; without any, a name made of those of both sides. */
function pairedLabels(op: string, l: OracleSeries, r: OracleSeries): ResultAttribute[] {
  const own = [...l.labels, ...r.labels].filter(({ name }) => name !== "__name__");
  if (own.length > 0)
    return (matchKey(l) === NO_LABELS ? r : l).labels.filter(({ name }) => name !== "__name__");
  const [a, b] = [l, r].map(({ labels: [label] }) =>
    label?.value.type === "string" ? label.value.value : "",
  );
  return [{ name: "__name__", value: { type: "string", value: `(${a} ${op} ${b})` } }];
}

function arithmeticSeries(
  node: MetricsArithmetic,
  traces: readonly Trace[],
  intervals: Intervals,
): OracleSeries[] {
  const left = evaluate(node.left, traces, intervals);
  const right = evaluate(node.right, traces, intervals);
  if (typeof left === "number" || typeof right === "number") {
    const series = typeof left === "number" ? right : left;
    if (typeof series === "number") throw new Error("no series in this arithmetic");
    return changeSamples(series, (sample) =>
      calculate(
        node.op,
        typeof left === "number" ? left : sample,
        typeof right === "number" ? right : sample,
      ),
    );
  }
  return pairsOf(left, right).flatMap(([l, r]) =>
    changeSamples([{ labels: pairedLabels(node.op, l, r), samples: l.samples }], (sample, _, i) => {
      const other = r.samples[i];
      return other === undefined ? undefined : calculate(node.op, sample, other);
    }),
  );
}

function evaluate(
  node: MetricsExpression,
  traces: readonly Trace[],
  intervals: Intervals,
): number | OracleSeries[] {
  switch (node.kind) {
    case "literal":
      return Number(node.value);
    case "metrics-pipeline":
      return pipelineSeries(node, traces, intervals);
    case "metrics-stages": {
      const input = evaluate(node.input, traces, intervals);
      if (typeof input === "number") throw new Error("stages need series");
      return node.stages.reduce((series, stage) => applyStage(stage, series), input);
    }
    case "metrics-arithmetic":
      return arithmeticSeries(node, traces, intervals);
  }
}

/** The series of a query, in order. */
export function metrics(query: MetricsQuery, traces: readonly Trace[], intervals: Intervals): OracleSeries[] {
  const series = evaluate(query.expression, traces, intervals);
  if (typeof series === "number") throw new Error("a number is no query");
  return series.sort(bySeries);
}
