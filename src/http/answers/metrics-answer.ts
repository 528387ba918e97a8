// Answers of metrics queries: always JSON, as protobuf's JSON mapping has it (0 is left out, int64 is a text).
import { toJson } from "@bufbuild/protobuf";
import { KeyValueSchema } from "../../otlp/gen/opentelemetry/proto/common/v1/common_pb.ts";
import type { MetricsRun } from "../../query/run-metrics.ts";
import type { Exemplar, ResultAttribute, Sample, Series } from "../../traceql/results.ts";
import { missingText } from "./answer.ts";
import { keyValues } from "./values.ts";

function labelsJson(labels: readonly ResultAttribute[]): string {
  return JSON.stringify(keyValues(labels).map((label) => toJson(KeyValueSchema, label)));
}

/** `,"value":1.5`; nothing for 0; numbers that JSON has not as texts. */
function valueJson(value: number): string {
  if (value === 0) return "";
  return Number.isFinite(value) ? `,"value":${value}` : `,"value":"${value}"`;
}

function sampleJson({ timestampMs, value }: Sample): string {
  return `{"timestampMs":"${timestampMs}"${valueJson(value)}}`;
}

/** An exemplar that has no value of its own is drawn on the curve. */
function exemplarJson({ labels, timestampMs, value }: Exemplar, samples: readonly Sample[]): string {
  const drawn = value ?? samples.find((sample) => sample.timestampMs >= timestampMs)?.value ?? 0;
  return `{"labels":${labelsJson(labels)}${valueJson(drawn)},"timestampMs":"${timestampMs}"}`;
}

function seriesJson({ labels, samples, exemplars }: Series): string {
  const parts = [
    `"labels":${labelsJson(labels)}`,
    `"samples":[${samples.map((sample) => sampleJson(sample)).join(",")}]`,
  ];
  if (exemplars.length > 0) {
    parts.push(`"exemplars":[${exemplars.map((exemplar) => exemplarJson(exemplar, samples)).join(",")}]`);
  }
  return `{${parts.join(",")}}`;
}

function instantSeriesJson({ labels, samples }: Series): string {
  return `{"labels":${labelsJson(labels)}${valueJson(samples[0]?.value ?? 0)}}`;
}

/** No field that is newer than Grafana's decoder: for instant queries it is strict. */
function metricsJson(run: MetricsRun): string {
  const numbers = {
    totalBlocks: run.totalBlocks,
    completedJobs: run.completedJobs,
    totalJobs: run.totalJobs,
  };
  const longs = {
    inspectedBytes: run.inspectedBytes,
    totalBlockBytes: run.totalBlockBytes,
    inspectedSpans: run.inspectedSpans,
  };
  const given = [
    ...Object.entries(numbers),
    ...Object.entries(longs).map(([name, value]) => [name, value === 0 ? 0 : String(value)] as const),
  ].filter(([, value]) => value !== 0);
  return JSON.stringify(Object.fromEntries(given));
}

function partialMessage(run: MetricsRun, maxSeries: number): string | undefined {
  const messages: string[] = [];
  if (run.isTruncated) {
    messages.push(
      `Response exceeds maximum series limit of ${maxSeries}, a partial response is returned. Warning: the accuracy of each individual value is not guaranteed.`,
    );
  }
  const missing = missingText(run);
  if (missing !== undefined) messages.push(missing);
  return messages.length === 0 ? undefined : messages.join("; ");
}

function* answerJson(
  run: MetricsRun,
  maxSeries: number,
  { series, write }: { readonly series: readonly Series[]; readonly write: (series: Series) => string },
): Generator<string> {
  yield "{";
  for (const [index, one] of series.entries()) yield (index === 0 ? '"series":[' : ",") + write(one);
  if (series.length > 0) yield "],";
  yield `"metrics":${metricsJson(run)}`;
  const message = partialMessage(run, maxSeries);
  if (message !== undefined) yield `,"status":"PARTIAL","message":${JSON.stringify(message)}`;
  yield "}";
}

/** The answer of a range query, series by series. */
export function rangeJson(run: MetricsRun, maxSeries: number): Generator<string> {
  return answerJson(run, maxSeries, { series: run.series, write: seriesJson });
}

/** The answer of an instant query: one value for each series that has one. */
export function instantJson(run: MetricsRun, maxSeries: number): Generator<string> {
  const series = run.series.filter(({ samples }) => samples.length > 0);
  return answerJson(run, maxSeries, { series, write: instantSeriesJson });
}
