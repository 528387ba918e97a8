// What one tenant may use: an operator sets it tenant by tenant, and for a token its rates. What the platform and the
// installation bound for all of them stands in limits.ts.
import { AppError } from "../util/errors.ts";

const MIB = 1024 * 1024;
const DAY_MS = 86_400_000;
const MAX_REQUEST_SPANS = 131_072;
/** The longest retention. */
const MAX_RANGE_MS = 3660 * DAY_MS;

/**
 * The limits of one tenant, all of its shards together. Bytes are those of OTLP protobuf, inflated: what a batch takes in
 * memory, whatever format and compression it came in.
 */
export interface TenantLimits {
  /** Bytes a second, on average; beyond its burst 429. Tempo's default, 2.5 TB a day: it guards the bill. */
  readonly rateBytes: number;
  /** Bytes at once. A batch of more never passes: 413. Tempo's default, rounded up to the largest request. */
  readonly burstBytes: number;
  /** Spans a second, on average; 429. Small spans cost more than their bytes say: each takes 10 us to store in a block. */
  readonly rateSpans: number;
  /** Spans at once. A batch of more never passes: 413. */
  readonly burstSpans: number;
  /** Bytes of one request; more is 413. The installation's `maxBodyBytes` holds as well. */
  readonly maxBytesPerRequest: number;
  /** Spans of one request; more is 413. As many traces as a row of the buffer names with their sizes. */
  readonly maxSpansPerRequest: number;
  /** Bytes of an attribute's key; a longer one is cut. Tempo's default: no convention comes near it. */
  readonly maxAttributeKeyBytes: number;
  /**
   * Bytes of an attribute's value; a longer one is cut: text at the end of a character, of an array or list what is beyond.
   * Tempo's 2,048 cuts stack traces and prompts; 64 KiB holds them, and keeps what a search loads of a value bounded.
   */
  readonly maxAttributeValueBytes: number;
  /**
   * Attributes of one span, event, link, scope or resource; those beyond are dropped and counted in its
   * `dropped_attributes_count`. SDKs stop at 128, so that none of theirs are dropped.
   */
  readonly maxAttributesPerSpan: number;
  /**
   * Traces with spans in the buffer; new ones are 429 until some are written to a block. Each shard has its share, and a
   * bound of its own for its memory (`Limits.maxLiveTraces`): this one is an operator's.
   */
  readonly maxLiveTraces: number;
  /**
   * Bytes of one trace in the buffer, without resources; spans beyond are refused, the rest of their batch is kept. As much
   * as a lookup answers whole: more could be stored but never seen.
   */
  readonly maxBytesPerTrace: number;
  /** Spans of one trace in the buffer, likewise. A lookup keeps 20 bytes of each in memory. */
  readonly maxSpansPerTrace: number;
  /**
   * Milliseconds before now that a span may start; an earlier one is stored and counted. The default retention: it goes
   * with its block, at once or soon.
   */
  readonly maxStartAgeMs: number;
  /** Milliseconds after now that a span may start; likewise. More than clocks differ. */
  readonly maxStartAheadMs: number;
  /**
   * Queries that an isolate runs at once, lookups of traces too; one more is 429. A page of Traces Drilldown or a dashboard
   * asks for some 20; each may hold 24 MiB of the isolate's 128 MB, few do.
   */
  readonly maxConcurrentQueries: number;
  /** Milliseconds that a search or a question for tags may span; more is 400. The installation's `maxRangeMs` holds as well. */
  readonly maxSearchMs: number;
  /** Milliseconds that a metrics query may span, likewise. */
  readonly maxMetricsMs: number;
}

/** What was set for a tenant; the rest are defaults. */
export type TenantLimitOverrides = Partial<TenantLimits>;

/** What may be set for a single token, within its tenant's. */
export type TokenLimits = Partial<
  Pick<TenantLimits, "rateBytes" | "burstBytes" | "rateSpans" | "burstSpans">
>;

export const DEFAULT_TENANT_LIMITS: TenantLimits = {
  rateBytes: 30_000_000,
  burstBytes: 32 * MIB,
  rateSpans: 150_000,
  burstSpans: 300_000,
  maxBytesPerRequest: 32 * MIB,
  maxSpansPerRequest: MAX_REQUEST_SPANS,
  maxAttributeKeyBytes: 2_048,
  maxAttributeValueBytes: 65_536,
  maxAttributesPerSpan: 1_024,
  maxLiveTraces: 2_000_000,
  maxBytesPerTrace: 128 * MIB,
  maxSpansPerTrace: 500_000,
  maxStartAgeMs: 14 * DAY_MS,
  maxStartAheadMs: 10 * 60_000,
  maxConcurrentQueries: 32,
  maxSearchMs: MAX_RANGE_MS,
  maxMetricsMs: MAX_RANGE_MS,
};

/**
 * Rates of a browser key that has none of its own: everybody can read it in the page, so that without any a stranger could
 * use up its tenant's. Some 2,000 spans a second from all visitors together.
 */
export const BROWSER_KEY_LIMITS: TokenLimits = {
  rateBytes: 1_000_000,
  burstBytes: 5_000_000,
  rateSpans: 5_000,
  burstSpans: 25_000,
};

export type LimitUnit =
  | "bytes"
  | "bytes per second"
  | "spans"
  | "spans per second"
  | "attributes"
  | "traces"
  | "queries"
  | "milliseconds";

/** How an operator sets a limit. */
export interface TenantLimitSpec {
  /** Group and name in Tempo's overrides, where they mean the same; else ours, in the same style. */
  readonly override: string;
  readonly unit: LimitUnit;
  /** A whole number of these bounds. */
  readonly min: number;
  readonly max: number;
}

/**
 * A key or value of less than this is never cut: so the walker need not look at attributes whose lengths take one byte,
 * which nearly all are.
 */
export const MIN_ATTRIBUTE_BYTES = 128;

/** No owner of fewer is cut, likewise: more have 128 bytes at least. */
const MIN_ATTRIBUTES = 64;

const RATE_MAX = 10_000_000_000;
const DURATION = { unit: "milliseconds", min: 60_000, max: MAX_RANGE_MS } as const;
const CUT = { unit: "bytes", min: MIN_ATTRIBUTE_BYTES, max: 16 * MIB } as const;

export const TENANT_LIMIT_SPECS: Readonly<Record<keyof TenantLimits, TenantLimitSpec>> = {
  rateBytes: { override: "ingestion.rate_limit_bytes", unit: "bytes per second", min: 1, max: RATE_MAX },
  burstBytes: { override: "ingestion.burst_size_bytes", unit: "bytes", min: 1024, max: RATE_MAX },
  rateSpans: { override: "ingestion.rate_limit_spans", unit: "spans per second", min: 1, max: RATE_MAX },
  burstSpans: { override: "ingestion.burst_size_spans", unit: "spans", min: 1, max: RATE_MAX },
  maxBytesPerRequest: {
    override: "ingestion.max_bytes_per_request",
    unit: "bytes",
    min: 1024,
    max: 32 * MIB,
  },
  maxSpansPerRequest: {
    override: "ingestion.max_spans_per_request",
    unit: "spans",
    min: 1,
    max: MAX_REQUEST_SPANS,
  },
  maxAttributeKeyBytes: { override: "ingestion.max_attribute_key_bytes", ...CUT },
  maxAttributeValueBytes: { override: "ingestion.max_attribute_bytes", ...CUT },
  maxAttributesPerSpan: {
    override: "ingestion.max_attributes_per_span",
    unit: "attributes",
    min: MIN_ATTRIBUTES,
    max: 1_000_000,
  },
  maxLiveTraces: { override: "ingestion.max_traces_per_user", unit: "traces", min: 1, max: RATE_MAX },
  maxBytesPerTrace: {
    override: "global.max_bytes_per_trace",
    unit: "bytes",
    min: 1024,
    max: 256 * MIB,
  },
  maxSpansPerTrace: { override: "global.max_spans_per_trace", unit: "spans", min: 1, max: 10_000_000 },
  maxStartAgeMs: { override: "ingestion.max_start_age", ...DURATION },
  maxStartAheadMs: { override: "ingestion.max_start_ahead", ...DURATION, min: 1_000 },
  maxConcurrentQueries: { override: "read.max_concurrent_queries", unit: "queries", min: 1, max: 1_000 },
  maxSearchMs: { override: "read.max_search_duration", ...DURATION },
  maxMetricsMs: { override: "read.max_metrics_duration", ...DURATION },
};

/** The fields that a token may have of its own. */
export const TOKEN_LIMIT_FIELDS = ["rateBytes", "burstBytes", "rateSpans", "burstSpans"] as const;

function isField(name: string): name is keyof TenantLimits {
  return name in TENANT_LIMIT_SPECS;
}

export const TENANT_LIMIT_FIELDS: readonly (keyof TenantLimits)[] =
  Object.keys(TENANT_LIMIT_SPECS).filter(isField);

/**
 * The limits that hold for a tenant. What another version set and this one does not know is left out.
 * @param defaults the installation's
 */
export function resolveTenantLimits(
  overrides: TenantLimitOverrides = {},
  defaults: TenantLimits = DEFAULT_TENANT_LIMITS,
): TenantLimits {
  const limits: Record<keyof TenantLimits, number> = { ...defaults };
  for (const field of TENANT_LIMIT_FIELDS) limits[field] = overrides[field] ?? limits[field];
  return limits;
}

/**
 * Overrides from an object by their names, `{"ingestion.rate_limit_bytes": 60000000}`.
 * @throws AppError `invalid_argument` that names what is wrong
 */
export function readNamedOverrides(named: Readonly<Record<string, unknown>>): TenantLimitOverrides {
  const byField: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(named)) {
    const field = TENANT_LIMIT_FIELDS.find((candidate) => TENANT_LIMIT_SPECS[candidate].override === name);
    byField[field ?? name] = value;
  }
  const wrong = wrongOverride(byField);
  if (wrong !== undefined) throw new AppError("invalid_argument", wrong);
  return byField;
}

/** What is wrong with overrides that came from outside, naming the override and its bounds; undefined: nothing is. */
export function wrongOverride(
  overrides: Readonly<Record<string, unknown>>,
  allowed: readonly (keyof TenantLimits)[] = TENANT_LIMIT_FIELDS,
): string | undefined {
  for (const [name, value] of Object.entries(overrides)) {
    const field = allowed.find((candidate) => candidate === name);
    if (field === undefined) return `there is no limit "${name}"`;
    if (value === undefined) continue;
    const { override, unit, min, max } = TENANT_LIMIT_SPECS[field];
    if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
      return `${override} must be a whole number of ${unit} from ${min} to ${max}, not ${JSON.stringify(value)}`;
    }
  }
  return undefined;
}
