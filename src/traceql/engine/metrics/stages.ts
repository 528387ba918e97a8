// Series from series: what stands behind a metrics function, and arithmetic between queries.
import type {
  ComparisonOperator,
  MetricsArithmetic,
  MetricsExpression,
  MetricsPipeline,
  MetricsStage,
  NumberLiteral,
} from "../../ast.ts";
import { compareText, compareValues } from "../columns/value.ts";
import { compareLabels, type Labels, labelsKey, NAME_LABEL, textLabel } from "./labels.ts";
import type { MetricSeries } from "./series.ts";

/** The series of an expression, given those of its pipelines. */
export function combineSeries(
  node: MetricsExpression,
  leaf: (node: MetricsPipeline) => MetricSeries[],
): MetricSeries[] {
  switch (node.kind) {
    case "literal":
      return [];
    case "metrics-pipeline":
      return leaf(node);
    case "metrics-stages":
      return node.stages.reduce(
        (series, stage) => applyStage(stage, series),
        combineSeries(node.input, leaf),
      );
    case "metrics-arithmetic":
      return calculateSeries(node, leaf);
  }
}

/** New samples for each series; series without any are dropped. */
function changeSamples(
  series: readonly MetricSeries[],
  change: (sample: number, series: number, interval: number) => number,
): MetricSeries[] {
  return series
    .map(({ labels, samples }, index) => ({
      labels,
      samples: samples.map((sample, interval) => change(sample, index, interval)),
    }))
    .filter(({ samples }) => !samples.every((sample) => Number.isNaN(sample)));
}

const NS_PER_SECOND = 1e9;

function boundOf(value: NumberLiteral): bigint | number {
  return value.type === "duration" ? Number(value.value) / NS_PER_SECOND : value.value;
}

function applyStage(stage: MetricsStage, series: readonly MetricSeries[]): MetricSeries[] {
  if (stage.kind !== "threshold") return rank(series, stage.limit, stage.kind === "topk" ? -1 : 1);
  return threshold(series, stage.op, boundOf(stage.value));
}

function threshold(
  series: readonly MetricSeries[],
  op: ComparisonOperator,
  bound: bigint | number,
): MetricSeries[] {
  return changeSamples(series, (sample) =>
    !Number.isNaN(sample) && compareValues(op, sample, bound) ? sample : Number.NaN,
  );
}

/**
 * At each interval the first `limit` samples by value; of equals the greatest are the first by their labels, the least the
 * last.
 * @param sign 1: the least, -1: the greatest
 */
function rank(series: readonly MetricSeries[], limit: number, sign: 1 | -1): MetricSeries[] {
  const ordered = series.toSorted((a, b) => compareLabels(a.labels, b.labels));
  const kept = ordered.map(({ samples }) => new Uint8Array(samples.length));
  const intervalCount = ordered[0]?.samples.length ?? 0;
  for (let interval = 0; interval < intervalCount; interval++) {
    const sampleAt = (index: number): number => ordered[index]?.samples[interval] ?? Number.NaN;
    const places = ordered
      .map((_, index) => index)
      .filter((index) => !Number.isNaN(sampleAt(index)))
      .sort((a, b) => sign * (sampleAt(a) === sampleAt(b) ? b - a : sampleAt(a) - sampleAt(b)));
    for (const index of places.slice(0, limit)) kept[index]?.fill(1, interval, interval + 1);
  }
  return changeSamples(ordered, (sample, index, interval) =>
    kept[index]?.[interval] === 1 ? sample : Number.NaN,
  );
}

function calculate(op: MetricsArithmetic["op"], a: number, b: number): number {
  switch (op) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      return b === 0 ? Number.NaN : a / b;
  }
}

/** What series are matched by. */
function matchKey({ labels }: MetricSeries): string {
  const own = labels.filter(({ name }) => name !== NAME_LABEL);
  return labelsKey(own.toSorted((a, b) => compareText(a.name, b.name)));
}

const NO_LABELS = labelsKey([]);

function nameOf({ labels }: MetricSeries): string {
  const name = labels.find((label) => label.name === NAME_LABEL)?.value;
  return name?.type === "string" ? name.value : "";
}

/** The labels of the side that has any; otherwise a name made of both names. */
function pairedLabels(op: MetricsArithmetic["op"], a: MetricSeries, b: MetricSeries): Labels {
  const { labels } = matchKey(a) === NO_LABELS ? b : a;
  const own = labels.filter(({ name }) => name !== NAME_LABEL);
  return own.length > 0 ? own : [textLabel(NAME_LABEL, `(${nameOf(a)} ${op} ${nameOf(b)})`)];
}

function calculateSeries(
  node: MetricsArithmetic,
  leaf: (node: MetricsPipeline) => MetricSeries[],
): MetricSeries[] {
  const { op, left, right } = node;
  if (left.kind === "literal" || right.kind === "literal") {
    const series = combineSeries(left.kind === "literal" ? right : left, leaf);
    return changeSamples(series, (sample) =>
      calculate(
        op,
        left.kind === "literal" ? Number(left.value) : sample,
        right.kind === "literal" ? Number(right.value) : sample,
      ),
    );
  }
  const pairs = pairsOf(combineSeries(left, leaf), combineSeries(right, leaf));
  return pairs.flatMap(([a, b]) =>
    changeSamples([{ labels: pairedLabels(op, a, b), samples: a.samples }], (sample, _, interval) =>
      calculate(op, sample, b.samples[interval] ?? Number.NaN),
    ),
  );
}

/** Series with the same labels; one without labels goes with each of the other side. */
function pairsOf(
  left: readonly MetricSeries[],
  right: readonly MetricSeries[],
): [MetricSeries, MetricSeries][] {
  const byKey = Map.groupBy(right, (series) => matchKey(series));
  const withoutLabels = byKey.get(NO_LABELS) ?? [];
  return left.flatMap((a) => {
    const key = matchKey(a);
    const partners = key === NO_LABELS ? right : [...(byKey.get(key) ?? []), ...withoutLabels];
    return partners.map((b): [MetricSeries, MetricSeries] => [a, b]);
  });
}
