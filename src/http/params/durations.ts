// Durations as Go and Prometheus write them.

const NS_PER_SECOND = 1_000_000_000n;

const GO_UNITS_NS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  "\u00b5s": 1_000n,
  "\u03bcs": 1_000n,
  ms: 1_000_000n,
  s: NS_PER_SECOND,
  m: 60n * NS_PER_SECOND,
  h: 3600n * NS_PER_SECOND,
};
const LONG_UNITS_NS: Readonly<Record<string, bigint>> = {
  d: 86_400n * NS_PER_SECOND,
  w: 604_800n * NS_PER_SECOND,
  y: 31_536_000n * NS_PER_SECOND,
};
/** Prometheus' units, in the only order that they may stand in. */
const PROMETHEUS = /^(?:\d+y)?(?:\d+w)?(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+s)?(?:\d+ms)?$/;
const GO = /^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+$/;
const PART = /(\d*)\.?(\d*)([a-z\u00b5\u03bc]+)/g;

const MAX_CHARS = 64;
const MAX_NS = (1n << 63n) - 1n;

function sum(text: string, units: Readonly<Record<string, bigint>>): bigint | undefined {
  let total = 0n;
  for (const [, whole = "", fraction = "", unit = ""] of text.matchAll(PART)) {
    const ns = units[unit] ?? 0n;
    total += BigInt(whole) * ns + (BigInt(fraction) * ns) / 10n ** BigInt(fraction.length);
  }
  return total <= MAX_NS ? total : undefined;
}

/**
 * Reads a duration of Go: `1.5s`, `1h30m`, `-2ms`, `0`.
 * @returns ns; undefined when it is none
 */
export function parseGoDuration(text: string): bigint | undefined {
  if (/^[+-]?0$/.test(text)) return 0n;
  if (text.length > MAX_CHARS || !GO.test(text)) return undefined;
  const total = sum(text, GO_UNITS_NS);
  return total !== undefined && text.startsWith("-") ? -total : total;
}

/**
 * Reads a duration of Prometheus: `15m`, `1d`, `1w2d`, `0`.
 * @returns ns; undefined when it is none
 */
export function parsePrometheusDuration(text: string): bigint | undefined {
  if (text === "0") return 0n;
  if (text === "" || text.length > MAX_CHARS || !PROMETHEUS.test(text)) return undefined;
  return sum(text, { ...GO_UNITS_NS, ...LONG_UNITS_NS });
}

function decimals(value: bigint, digits: number): string {
  const unit = 10n ** BigInt(digits);
  const fraction = (value % unit).toString().padStart(digits, "0").replace(/0+$/, "");
  return fraction === "" ? String(value / unit) : `${value / unit}.${fraction}`;
}

/** A duration as Go prints it: `42ms`, `1m0.5s`, `24h0m0s`. */
export function formatGoDuration(ns: bigint): string {
  if (ns < 0n) return `-${formatGoDuration(-ns)}`;
  if (ns === 0n) return "0s";
  if (ns < 1_000n) return `${ns}ns`;
  if (ns < 1_000_000n) return `${decimals(ns, 3)}\u00b5s`;
  if (ns < NS_PER_SECOND) return `${decimals(ns, 6)}ms`;
  const minutes = ns / (60n * NS_PER_SECOND);
  const seconds = `${decimals(ns % (60n * NS_PER_SECOND), 9)}s`;
  if (minutes === 0n) return seconds;
  return minutes < 60n ? `${minutes}m${seconds}` : `${minutes / 60n}h${minutes % 60n}m${seconds}`;
}
