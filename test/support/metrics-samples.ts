// Series of the engine in the form of the oracle's.
import type { Intervals } from "../../src/traceql/engine/metrics.ts";
import type { MetricsResult } from "../../src/traceql/results.ts";
import type { OracleSeries } from "./oracle/metrics.ts";

/** As the oracle has them: a sample for each interval. */
export function samplesOf(
  { series }: Pick<MetricsResult, "series">,
  { firstNs, stepNs, count }: Intervals,
): OracleSeries[] {
  return series.map(({ labels, samples }) => {
    const byTime = new Map(samples.map(({ timestampMs, value }) => [timestampMs, value]));
    return {
      labels,
      samples: Array.from({ length: count }, (_, index) =>
        byTime.get(Number((firstNs + BigInt(index + 1) * stepNs) / 1_000_000n)),
      ),
    };
  });
}

/** Where the samples differ by more than a relative error. */
export function differences(
  actual: readonly OracleSeries[],
  wanted: readonly OracleSeries[],
  error: number,
): string[] {
  return wanted.flatMap(({ samples }, series) =>
    samples.flatMap((sample, at) => {
      const own = actual[series]?.samples[at];
      const isClose =
        sample === undefined || own === undefined
          ? sample === own
          : own === sample || Math.abs(own - sample) <= Math.abs(sample) * error;
      return isClose ? [] : [`series ${series}, sample ${at}: ${own} instead of ${sample}`];
    }),
  );
}
