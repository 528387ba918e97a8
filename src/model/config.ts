// Variables of the Worker, checked once. Nothing else reads them.
import { AppError, messageOf } from "../util/errors.ts";
import type { Limits } from "./limits.ts";
import { DEFAULT_LIMITS } from "./limits.ts";
import { readNamedOverrides, resolveTenantLimits, type TenantLimits } from "./tenant-limits.ts";

/** What the operator may set, as text or not at all. */
export interface Variables {
  /** Seconds after which buffered spans are written to a block, whatever their size. */
  readonly FLUSH_AGE_SECONDS?: string;
  /** Inflated bytes of buffered spans that make a block. */
  readonly FLUSH_BYTES?: string;
  /** Inflated bytes up to which a trace is answered whole. */
  readonly MAX_TRACE_BYTES?: string;
  /** How long spans are kept: a number with `h` or `d` behind it, like Tempo's block_retention. */
  readonly BLOCK_RETENTION?: string;
  /** Defaults for all tenants, as a JSON object by the names of overrides: `{"ingestion.rate_limit_bytes":60000000}`. */
  readonly TENANT_LIMITS?: string;
  /** Origins whose pages may send spans, separated by commas; `*` (the default) is all, `none` is none. */
  readonly CORS_ALLOWED_ORIGINS?: string;
  /** A secret, not a variable of wrangler.toml: the operator's. Without it everything is closed. */
  readonly ADMIN_TOKEN?: string;
  /** `tokens` (the default): nobody sends or reads without one. `open`: for a machine of one's own. */
  readonly ACCESS?: string;
  /** `on`: X-Scope-OrgID and tokens name tenants; the default where tokens are asked for. `off`: there is one tenant. */
  readonly MULTITENANCY?: string;
}

export interface Config {
  readonly limits: Limits;
  /** Origins whose pages may send spans; `*` is all. */
  readonly corsAllowedOrigins: readonly string[];
  readonly access: AccessSettings;
}

export interface AccessSettings {
  /** `open`: anybody may send and read; the admin API asks for its secret all the same. */
  readonly mode: "open" | "tokens";
  /** False: there is one tenant, whatever a request names. */
  readonly isMultitenant: boolean;
  /** The operator's secret; undefined: there is none yet. */
  readonly adminToken: string | undefined;
}

const MIB = 1024 * 1024;

interface NumberRange {
  readonly min: number;
  readonly max: number;
}

function numberVar(name: string, text: string | undefined, fallback: number, range: NumberRange): number {
  if (text === undefined || text === "") return fallback;
  const value = Number(text);
  if (!Number.isFinite(value) || value < range.min || value > range.max) {
    throw new AppError(
      "internal",
      `variable ${name} must be a number from ${range.min} to ${range.max}, not "${text}"`,
    );
  }
  return value;
}

const HOUR_MS = 3_600_000;
const UNITS_MS: Readonly<Record<string, number>> = { h: HOUR_MS, d: 24 * HOUR_MS };
const RETENTION_MIN_MS = HOUR_MS;
const RETENTION_MAX_MS = 3660 * 24 * HOUR_MS;

/**
 * Reads a retention as operators write it, `336h` or `14d`.
 * @returns ms, undefined when it is none from an hour to 3,660 days
 */
function parseRetention(text: string): number | undefined {
  const [, count = "", unit = ""] = /^(\d{1,9})([hd])$/.exec(text.trim()) ?? [];
  const ms = Number(count) * (UNITS_MS[unit] ?? 0);
  return ms >= RETENTION_MIN_MS && ms <= RETENTION_MAX_MS ? ms : undefined;
}

function retentionVar(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined || text === "") return fallback;
  const ms = parseRetention(text);
  if (ms !== undefined) return ms;
  throw new AppError(
    "internal",
    `variable ${name} must be from 1h to 3660d, like 336h or 14d, not "${text}"`,
  );
}

/** The first word is the default. */
function wordVar<Word extends string>(
  name: string,
  text: string | undefined,
  words: readonly [Word, ...Word[]],
): Word {
  if (text === undefined || text === "") return words[0];
  const word = words.find((known) => known === text);
  if (word !== undefined) return word;
  throw new AppError("internal", `variable ${name} must be ${words.join(" or ")}, not "${text}"`);
}

/** A secret that can be guessed is worse than none: the installation says so instead of working. */
const MIN_ADMIN_TOKEN_CHARS = 16;

function accessOf({ ACCESS, MULTITENANCY, ADMIN_TOKEN }: Variables): AccessSettings {
  const mode = wordVar("ACCESS", ACCESS, ["tokens", "open"]);
  const adminToken = ADMIN_TOKEN === "" ? undefined : ADMIN_TOKEN;
  if (adminToken !== undefined && adminToken.length < MIN_ADMIN_TOKEN_CHARS) {
    throw new AppError(
      "internal",
      `secret ADMIN_TOKEN must have at least ${MIN_ADMIN_TOKEN_CHARS} characters`,
    );
  }
  const words = mode === "open" ? (["off", "on"] as const) : (["on", "off"] as const);
  return { mode, adminToken, isMultitenant: wordVar("MULTITENANCY", MULTITENANCY, words) === "on" };
}

function tenantLimitsVar(name: string, text: string | undefined): TenantLimits {
  if (text === undefined || text === "") return DEFAULT_LIMITS.tenant;
  try {
    const named: unknown = JSON.parse(text);
    if (typeof named !== "object" || named === null) throw new Error("it is no object");
    return resolveTenantLimits(readNamedOverrides({ ...named }));
  } catch (error) {
    throw new AppError(
      "internal",
      `variable ${name} must be a JSON object of limits by name: ${messageOf(error)}`,
    );
  }
}

/** A browser's origins: scheme, host and port, nothing behind them. */
function originsVar(name: string, text: string | undefined): readonly string[] {
  if (text === undefined || text === "") return ["*"];
  if (text.trim() === "none") return [];
  const origins = text.split(",").map((origin) => origin.trim());
  for (const origin of origins) {
    if (origin !== "*" && (!URL.canParse(origin) || new URL(origin).origin !== origin)) {
      throw new AppError(
        "internal",
        `variable ${name} must be *, none or origins like https://example.com separated by commas, not "${origin}"`,
      );
    }
  }
  return origins;
}

/**
 * Reads the variables over the defaults.
 * @throws AppError `internal` that names the variable and what it may be
 */
export function readConfig(variables: Variables): Config {
  const { blockRetentionMs, flushAgeMs, flushBytes, maxTraceBytes } = DEFAULT_LIMITS;
  const ageSeconds = numberVar("FLUSH_AGE_SECONDS", variables.FLUSH_AGE_SECONDS, flushAgeMs / 1000, {
    min: 0.1,
    max: 86_400,
  });
  return {
    access: accessOf(variables),
    corsAllowedOrigins: originsVar("CORS_ALLOWED_ORIGINS", variables.CORS_ALLOWED_ORIGINS),
    limits: {
      ...DEFAULT_LIMITS,
      flushAgeMs: Math.round(ageSeconds * 1000),
      blockRetentionMs: retentionVar("BLOCK_RETENTION", variables.BLOCK_RETENTION, blockRetentionMs),
      // A block is built in memory beside its input: 32 MiB of spans take about 72 MB of the isolate's 128 MB.
      flushBytes: numberVar("FLUSH_BYTES", variables.FLUSH_BYTES, flushBytes, { min: 1024, max: 32 * MIB }),
      tenant: tenantLimitsVar("TENANT_LIMITS", variables.TENANT_LIMITS),
      maxTraceBytes: numberVar("MAX_TRACE_BYTES", variables.MAX_TRACE_BYTES, maxTraceBytes, {
        min: 1024,
        max: 1024 * MIB,
      }),
    },
  };
}
