// GET /api/doctor: what goes wrong between senders and Rubato, and what to do.
import { type Context, Hono } from "hono";
import { actsFor } from "../../access/caller.ts";
import { batchAdvice } from "../../insight/batch-advice.ts";
import { clockAdvice } from "../../insight/clock-advice.ts";
import type { Target } from "../../insight/reporter.ts";
import { parseTenantId, SINGLE_TENANT } from "../../model/ids.ts";
import { PLATFORM } from "../../model/limits.ts";
import type { AcceptedBatch, InsightView, RefusedRequest } from "../../store/insight-rpc.ts";
import { writeCount } from "../../tenant/shard-map.ts";
import { cleanReason } from "../../util/clean-text.ts";
import { AppError, messageOf } from "../../util/errors.ts";
import { settleAll } from "../../util/parallel.ts";
import type { InspectPorts, AppDeps, AppEnv } from "../deps.ts";
import { jsonErrorResponse } from "../errors.ts";

export const DOCTOR_PATH = "/api/doctor";

/**
 * A tenant's, for the operator and tokens with the scope `admin`; the operator who names no tenant sees the requests that
 * named none.
 */
export function doctorRoutes(deps: AppDeps, inspect: InspectPorts): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.get(DOCTOR_PATH, async (c) => {
    const tenant = namedTenant(c);
    const isOperator = c.get("caller").kind === "operator";
    return c.json({
      at: isoTime(deps.clock.now()),
      ...(tenant === undefined ? {} : await tenantReport(tenant, deps, inspect)),
      ...(isOperator ? { unassigned: await unassigned(deps, inspect) } : {}),
    });
  });
  app.onError((error, c) => {
    c.get("report").failed(error);
    return jsonErrorResponse(error);
  });
  return app;
}

/** `?tenant=` or X-Scope-OrgID; a token's own otherwise. @throws AppError `forbidden`, `invalid_argument` */
function namedTenant(c: Context<AppEnv>): string | undefined {
  const caller = c.get("caller");
  const text = c.req.query("tenant");
  if (text === undefined) {
    const [only, second] = caller.tenants;
    if (second === undefined) return only;
    throw new AppError("invalid_argument", "the doctor looks at one tenant at a time");
  }
  const tenant = parseTenantId(text);
  if (actsFor(caller, tenant)) return tenant;
  throw new AppError("forbidden", `this token may not act for tenant "${tenant}"`);
}

async function unassigned({ insight }: AppDeps, inspect: InspectPorts): Promise<object> {
  const view = await told(insight, undefined, () => inspect.directory().insight());
  return { refused: view.refused.map(refusedJson) };
}

async function tenantReport(tenant: string, deps: AppDeps, inspect: InspectPorts): Promise<object> {
  const { clock, insight } = deps;
  const view = await inspect.tenantOf(tenant).view();
  if (view.state === "deleting") throw new AppError("not_found", `tenant "${tenant}" is being deleted`);
  const shards = writeCount(view.versions, clock.now());
  const seen = await told(insight, tenant, () => inspect.tenantOf(tenant).insight());
  const isSeen = seen.accepted.length > 0 || seen.refused.length > 0;
  // Nothing may be written for a name that is only mistyped.
  if (!isSeen && tenant !== SINGLE_TENANT && !(await inspect.directory().list()).includes(tenant)) {
    throw new AppError("not_found", `there is no tenant "${tenant}"`);
  }
  const { batches } = seen;
  return {
    tenant,
    refused: seen.refused.map(refusedJson),
    accepted: seen.accepted.map(acceptedJson),
    ...(batches === undefined || batches.spans === 0
      ? {}
      : {
          since: isoTime(seen.sinceMs),
          clocks: clockAdvice(batches),
          batches: batchAdvice(batches, shards),
        }),
    selfTest: await selfTest(tenant, shards, deps, inspect),
  };
}

/** What this isolate has not told yet is told first: whoever asks has just seen it happen. */
async function told(
  insight: AppDeps["insight"],
  target: Target,
  ask: () => Promise<InsightView>,
): Promise<InsightView> {
  try {
    await insight?.flush(target);
    return await ask();
  } catch (error) {
    throw new AppError("unavailable", "what was noted of requests is not to be had for the moment", {
      retryAfterMs: 1_000,
      cause: error,
    });
  }
}

/**
 * A mark is written to every shard that takes spans now, durably, and read again: as a span's way is, without a span. It
 * costs a row and two calls a shard, USD 0.0000013, and nothing is found of it.
 */
async function selfTest(
  tenant: string,
  shards: number,
  { clock }: AppDeps,
  inspect: InspectPorts,
): Promise<object> {
  const indexes = Array.from({ length: shards }, (_, index) => index);
  const mark = crypto.randomUUID();
  const results = await settleAll(indexes, PLATFORM.connections, async (index) => {
    const shard = inspect.shardOf(tenant, index);
    const startMs = clock.now();
    await shard.probe(mark);
    const writtenMs = clock.now();
    // Another mark than ours is of another doctor, who came meanwhile: as good.
    if ((await shard.probed()) === undefined) throw new AppError("unavailable", "the mark is not there");
    return { writeMs: writtenMs - startMs, readMs: clock.now() - writtenMs };
  });
  const failed = results.flatMap((result, shard) =>
    result.status === "rejected" ? [{ shard, error: cleanReason(messageOf(result.reason)) }] : [],
  );
  const passed = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  return {
    ok: failed.length === 0,
    shards,
    writeMs: Math.max(0, ...passed.map(({ writeMs }) => writeMs)),
    readMs: Math.max(0, ...passed.map(({ readMs }) => readMs)),
    freshnessMs: Math.max(0, ...passed.map(({ writeMs, readMs }) => writeMs + readMs)),
    ...(failed.length === 0 ? {} : { failed }),
  };
}

function refusedJson({ firstMs, lastMs, ...refused }: RefusedRequest): object {
  return { ...refused, first: isoTime(firstMs), last: isoTime(lastMs) };
}

function acceptedJson({ atMs, ...batch }: AcceptedBatch): object {
  return { ...batch, at: isoTime(atMs) };
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
