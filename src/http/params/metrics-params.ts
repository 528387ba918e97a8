// The parameters of metrics queries, with Tempo's rules and texts.
import type { Limits } from "../../model/limits.ts";
import type { MetricsQuery } from "../../traceql/ast.ts";
import { instantInterval, type Intervals, rangeIntervals } from "../../traceql/engine/metrics.ts";
import { parseQuery } from "../../traceql/parse.ts";
import { formatGoDuration, parseGoDuration, parsePrometheusDuration } from "./durations.ts";
import { badRequest, formatMs, NS_PER_SECOND, nsOfMs, parseUint32, textParam } from "./query-params.ts";
import { sinceNs } from "./search-params.ts";

export interface MetricsParams {
  readonly query: MetricsQuery;
  readonly intervals: Intervals;
  readonly maxSeries: number;
  readonly exemplars: number;
}

const DEFAULT_RANGE_MS = 3_600_000;
const INTERVALS_MAX = 10_000n;
const EXEMPLARS_MAX = 100;
/** Intervals that the default step makes of a range. */
const DEFAULT_INTERVALS = 240n;
const ROUND_STEPS_NS = [3600n, 300n, 60n, 15n, 5n, 1n].map((seconds) => seconds * NS_PER_SECOND);
const FINE_STEP_NS = 50_000_000n;

/** Series of an instant query at most: of one value each, so that samples do not bound them. */
const SERIES_MAX = 20_000;

interface Range {
  readonly startNs: bigint;
  readonly endNs: bigint;
}

/**
 * The parameters of `/api/metrics/query_range`.
 * @throws AppError `invalid_argument`
 */
export function readRangeParams(params: URLSearchParams, nowMs: number, limits: Limits): MetricsParams {
  const query = readQuery(params);
  const range = readRange(params, nowMs, limits);
  const stepNs = readStep(params, range);
  const intervals = rangeIntervals(range.startNs, range.endNs, stepNs);
  return { query, intervals, ...readBounds(params, intervals.count, limits) };
}

/**
 * The parameters of `/api/metrics/query`.
 * @throws AppError `invalid_argument`
 */
export function readInstantParams(params: URLSearchParams, nowMs: number, limits: Limits): MetricsParams {
  const query = readQuery(params);
  const { startNs, endNs } = readRange(params, nowMs, limits);
  return { query, intervals: instantInterval(startNs, endNs), ...readBounds(params, 1, limits) };
}

function readQuery(params: URLSearchParams): MetricsQuery {
  const text = textParam(params, "q") ?? textParam(params, "query");
  if (text === undefined) throw badRequest("there is no query: the parameter q is missing");
  const query = parseQuery(text);
  if (query.kind === "metrics") return query;
  throw badRequest("not a metrics query");
}

function readBounds(
  params: URLSearchParams,
  intervals: number,
  { scan }: Limits,
): Pick<MetricsParams, "maxSeries" | "exemplars"> {
  const wanted = countParam(params, "maxSeries");
  const most = Math.min(SERIES_MAX, Math.max(1, Math.floor(scan.maxAnswerSamples / intervals)));
  const exemplars = countParam(params, "exemplars");
  return {
    maxSeries: wanted === 0 ? most : Math.min(wanted, most),
    exemplars: exemplars === 0 ? EXEMPLARS_MAX : Math.min(exemplars, EXEMPLARS_MAX),
  };
}

function countParam(params: URLSearchParams, name: string): number {
  const text = textParam(params, name) ?? "0";
  const count = parseUint32(text);
  if (count === undefined) throw badRequest(`invalid ${name}: "${text}" is no whole number`);
  return count;
}

function readRange(params: URLSearchParams, nowMs: number, { scan, tenant }: Limits): Range {
  const maxMs = Math.min(scan.maxRangeMs, tenant.maxMetricsMs);
  const defaultNs = nsOfMs(Math.min(DEFAULT_RANGE_MS, maxMs));
  const since = textParam(params, "since");
  const nowNs = nsOfMs(nowMs);
  const endNs = timeParam(params, "end") ?? nowNs;
  // An end in the future does not take the start along.
  const lastNs = endNs < nowNs ? endNs : nowNs;
  const startNs = timeParam(params, "start") ?? lastNs - (since ? sinceNs(since) : defaultNs);
  if (endNs <= startNs) throw badRequest("end must be greater than start");
  if (startNs < 0n || endNs >= 1n << 63n) throw badRequest("start and end must lie between 1970 and 2262");
  if (endNs - startNs > nsOfMs(maxMs)) {
    // Grafana looks for this text and explains it.
    throw badRequest(`metrics query time range exceeds the maximum allowed duration of ${formatMs(maxMs)}`);
  }
  return { startNs, endNs };
}

/** Digits of Unix seconds; what is longer counts nanoseconds. */
const SECONDS_DIGITS = 10;
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d{1,9}))?(?:Z|[+-]\d\d:\d\d)$/;

/**
 * A time in Unix seconds, with or without a fraction, Unix nanoseconds or RFC 3339.
 * @returns ns; undefined when it is none
 */
export function parseTime(text: string): bigint | undefined {
  if (/^\d{1,19}$/.test(text)) {
    return text.length <= SECONDS_DIGITS ? BigInt(text) * NS_PER_SECOND : BigInt(text);
  }
  const [, whole, fraction = ""] = /^(\d{1,11})\.(\d{0,12})$/.exec(text) ?? [];
  if (whole !== undefined) return BigInt(whole) * NS_PER_SECOND + nanos(fraction);
  const date = RFC3339.exec(text);
  const ms = date === null ? Number.NaN : Date.parse(text.replace(/\.\d+/, ""));
  return Number.isNaN(ms) ? undefined : nsOfMs(ms) + nanos(date?.[1] ?? "");
}

function nanos(fraction: string): bigint {
  return BigInt(fraction.slice(0, 9).padEnd(9, "0"));
}

function timeParam(params: URLSearchParams, name: string): bigint | undefined {
  const text = textParam(params, name);
  if (text === undefined) return undefined;
  const ns = parseTime(text);
  if (ns === undefined) {
    throw badRequest(`invalid ${name}: "${text}" is neither Unix seconds, Unix nanoseconds nor RFC 3339`);
  }
  return ns === 0n ? undefined : ns;
}

function readStep(params: URLSearchParams, { startNs, endNs }: Range): bigint {
  const text = textParam(params, "step");
  const given = text === undefined ? 0n : parseStep(text);
  const step = given === 0n ? defaultStep(endNs - startNs) : given;
  if ((endNs - startNs) / step > INTERVALS_MAX) {
    const least = (endNs - startNs + INTERVALS_MAX - 1n) / INTERVALS_MAX;
    throw badRequest(
      `step of ${formatGoDuration(step)} is too small, minimum step for given range is ${formatGoDuration(least)}`,
    );
  }
  return step;
}

function parseStep(text: string): bigint {
  const seconds = /^\d{1,10}(?:\.\d{0,12})?$|^\.\d{1,12}$/.test(text) ? Number(text) : Number.NaN;
  const ns = Number.isNaN(seconds)
    ? (parseGoDuration(text) ?? parsePrometheusDuration(text))
    : BigInt(Math.round(seconds * 1e9));
  if (ns === undefined) throw badRequest(`invalid step: "${text}" is neither seconds nor a duration`);
  if (ns < 0n) throw badRequest("invalid step: it must not be negative");
  return ns;
}

/** The step for a range when none is given, in ns: about 240 intervals of a round length. */
export function defaultStep(rangeNs: bigint): bigint {
  const exact = rangeNs / DEFAULT_INTERVALS;
  if (rangeNs < 60n * NS_PER_SECOND) return roundDown(exact, FINE_STEP_NS);
  return roundDown(exact, ROUND_STEPS_NS.find((round) => round < exact) ?? NS_PER_SECOND);
}

function roundDown(ns: bigint, unit: bigint): bigint {
  return ns < unit ? unit : ns - (ns % unit);
}
