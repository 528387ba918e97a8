// GET /metrics: what all of the installation counts, for Prometheus.
import { type Context, Hono } from "hono";
import { TENANT_HEADER } from "../../access/tenancy.ts";
import { EXPOSITION_TYPE } from "../../insight/exposition.ts";
import { metricsText, type TenantCounts } from "../../insight/metrics.ts";
import { SINGLE_TENANT } from "../../model/ids.ts";
import { PLATFORM } from "../../model/limits.ts";
import { ALL_TENANTS } from "../../model/token.ts";
import type { ShardCounts } from "../../store/rpc.ts";
import type { TenantView } from "../../store/tenant-rpc.ts";
import { AppError } from "../../util/errors.ts";
import { settleAll } from "../../util/parallel.ts";
import type { AppEnv, InspectPorts } from "../deps.ts";

export const METRICS_PATH = "/metrics";

/** Tenants of one answer: some 100 series and 12 KB each. */
export const MAX_TENANTS_A_SCRAPE = 100;
/** Shards that one answer asks, each in a call: with six at a time that is a second or two. */
export const MAX_SHARDS_A_SCRAPE = 400;
const MAX_PAGES = 1_000;

/** The operator, and tokens for all tenants, see all; others their own. X-Scope-OrgID names less. */
export function prometheusRoutes(inspect: InspectPorts): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.get(METRICS_PATH, async (c) => {
    const known = await reached(tenantsOf(c, inspect));
    const mine = known.names.filter(pageOf(c));
    const asked = await askedOf(mine, inspect);
    const tenants = await countsOf(asked.views, inspect);
    const text = metricsText(
      {
        tenants: mine.length,
        leftOut: mine.length - asked.views.size - asked.failed,
        failed: asked.failed + asked.views.size - tenants.length,
        refusedRequests: known.isAll ? (await reached(inspect.directory().insight())).counts : undefined,
      },
      tenants,
    );
    return c.body(text, 200, { "content-type": EXPOSITION_TYPE });
  });
  return app;
}

/** Without the list of all nothing is told: what is missing could not be seen. */
async function reached<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (cause) {
    throw new AppError("unavailable", "the list of tenants is not to be had for the moment", {
      retryAfterMs: 1_000,
      cause,
    });
  }
}

interface Known {
  /** Ascending. */
  readonly names: readonly string[];
  readonly isAll: boolean;
}

async function tenantsOf(c: Context<AppEnv>, inspect: InspectPorts): Promise<Known> {
  const { kind, tenants, token, home } = c.get("caller");
  if ((c.req.header(TENANT_HEADER) ?? "").trim() !== "") return { names: tenants, isAll: false };
  const all = [...new Set([SINGLE_TENANT, ...(await inspect.directory().list())])].sort();
  if (kind !== "token" || token?.tenants.includes(ALL_TENANTS) === true) return { names: all, isAll: true };
  // A token may list what was deleted, or never made: its objects would come to life by being asked.
  const own = new Set([home, ...(token?.tenants ?? [])]);
  return { names: all.filter((name) => own.has(name)), isAll: false };
}

/** `page` of `pages`, from 1: a tenant is on the same page for as long as there are as many. */
function pageOf(c: Context): (tenant: string) => boolean {
  const pages = wholeNumber(c.req.query("pages"), "pages", MAX_PAGES);
  const page = wholeNumber(c.req.query("page"), "page", pages);
  return (tenant) => hashOf(tenant) % pages === page - 1;
}

function wholeNumber(text: string | undefined, name: string, max: number): number {
  const value = Number(text ?? "1");
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  throw new AppError("invalid_argument", `${name} must be a whole number from 1 to ${max}`);
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}

/** What is set for as many tenants as one answer takes. */
async function askedOf(
  tenants: readonly string[],
  { views }: InspectPorts,
): Promise<{ readonly views: ReadonlyMap<string, TenantView>; readonly failed: number }> {
  const taken = tenants.slice(0, MAX_TENANTS_A_SCRAPE);
  const results = await settleAll(taken, PLATFORM.connections, (tenant) => views.forReading(tenant));
  const asked = new Map<string, TenantView>();
  let failed = 0;
  let room = MAX_SHARDS_A_SCRAPE;
  for (const [i, result] of results.entries()) {
    if (result.status === "rejected") failed++;
    else if (result.value.shardCount <= room) {
      room -= result.value.shardCount;
      asked.set(taken[i] ?? "", result.value);
    }
  }
  return { views: asked, failed };
}

/** A tenant of which a shard cannot be asked is left out: half its counts would look like a new beginning. */
async function countsOf(
  views: ReadonlyMap<string, TenantView>,
  { shardOf }: InspectPorts,
): Promise<readonly TenantCounts[]> {
  const calls = [...views].flatMap(([tenant, { state, shardCount }]) =>
    // A shard that is gone would come to life again by being asked.
    Array.from({ length: state === "active" ? shardCount : 0 }, (_, index) => ({ tenant, index })),
  );
  const results = await settleAll(calls, PLATFORM.connections, ({ tenant, index }) =>
    shardOf(tenant, index).counts(),
  );
  const counts = new Map<string, ShardCounts[]>([...views.keys()].map((tenant) => [tenant, []]));
  for (const [i, result] of results.entries()) {
    const tenant = calls[i]?.tenant ?? "";
    if (result.status === "fulfilled") counts.get(tenant)?.push(result.value);
    else counts.delete(tenant);
  }
  return [...counts].map(([tenant, shards]) => ({ tenant, shards, limits: views.get(tenant)?.limits }));
}
