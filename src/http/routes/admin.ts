// /api/admin: tenants, their shards, retention and deletion. JSON in and out, errors too.
import { type Context, Hono } from "hono";
import { readBody } from "../../ingest/read-body.ts";
import { parseTenantId } from "../../model/ids.ts";
import { PLATFORM } from "../../model/limits.ts";
import type { TenantReply, TenantView } from "../../store/tenant-rpc.ts";
import { writeCount } from "../../tenant/shard-map.ts";
import { AppError, messageOf } from "../../util/errors.ts";
import { settleAll } from "../../util/parallel.ts";
import type { AdminPorts, AppDeps, AppEnv } from "../deps.ts";
import { jsonErrorResponse } from "../errors.ts";

const HOUR_MS = 3_600_000;
/** A body is one small object. */
const MAX_BODY_BYTES = 64 * 1024;

/** The routes; every one is the operator's, also those that do not exist. */
export function adminRoutes(deps: AppDeps, admin: AdminPorts): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  const path = "/api/admin/tenants/:tenant";
  app.use("/api/admin/*", async (c, next) => {
    if (c.get("caller").kind !== "operator") {
      throw new AppError("forbidden", "this is the operator's to do: it needs the admin secret");
    }
    await next();
  });
  app.get(path, (c) => showTenant(tenantOf(c), deps, admin));
  app.put(`${path}/shards`, async (c) => {
    const count = await numberIn(c, deps, "count");
    return answer(c, deps, admin.tenantOf(tenantOf(c)).setShardCount(count));
  });
  app.put(`${path}/retention`, async (c) => {
    const body = await bodyOf(c, deps);
    const ms = body["hours"] === null ? undefined : numberOf(body, "hours") * HOUR_MS;
    return answer(c, deps, admin.tenantOf(tenantOf(c)).setRetention(ms));
  });
  app.post(`${path}/rebuild-catalogue`, (c) => rebuildCatalogue(tenantOf(c), admin));
  app.delete(path, (c) => answer(c, deps, admin.tenantOf(tenantOf(c)).startDeletion(), 202));
  app.all("/api/admin/*", (c) => {
    throw new AppError("not_found", `there is no ${c.req.method} ${c.req.path}`);
  });
  app.onError((error) => jsonErrorResponse(error));
  return app;
}

function tenantOf(c: Context): string {
  return parseTenantId(c.req.param("tenant") ?? "");
}

async function bodyOf(c: Context, { limits }: AppDeps): Promise<Readonly<Record<string, unknown>>> {
  const bytes = await readBody(c.req.raw, { ...limits, maxCompressedBodyBytes: MAX_BODY_BYTES });
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new AppError("invalid_argument", `the body is no JSON: ${messageOf(error)}`, { cause: error });
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new AppError("invalid_argument", "the body is no JSON object");
  }
  return { ...parsed };
}

function numberOf(body: Readonly<Record<string, unknown>>, name: string): number {
  const value = body[name];
  if (typeof value !== "number") throw new AppError("invalid_argument", `${name} must be a number`);
  return value;
}

async function numberIn(c: Context, deps: AppDeps, name: string): Promise<number> {
  return numberOf(await bodyOf(c, deps), name);
}

/** The tenant after a change, or why there was none. */
async function answer(
  c: Context,
  deps: AppDeps,
  change: Promise<TenantReply>,
  status: 200 | 202 = 200,
): Promise<Response> {
  const reply = await reached(change);
  if (!reply.ok) {
    const { kind, message } = reply;
    throw new AppError(kind, message, kind === "rate_limited" ? { retryAfterMs: reply.retryAfterMs } : {});
  }
  return Response.json(tenantJson(tenantOf(c), reply.view, deps), { status });
}

/** @throws AppError `unavailable` when the object throws: it is restarted, overloaded or out of reach */
async function reached<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw new AppError("unavailable", "the tenant's object is not reachable", {
      retryAfterMs: 1_000,
      cause: error,
    });
  }
}

function tenantJson(tenant: string, view: TenantView, { limits, clock }: AppDeps): object {
  return {
    tenant,
    state: view.state,
    // Those that spans are written to now.
    shards: writeCount(view.versions, clock.now()),
    shardMap: view.versions.map(({ fromMs, count }) => ({
      from: new Date(fromMs).toISOString(),
      shards: count,
    })),
    retentionHours: (view.retentionMs ?? limits.blockRetentionMs) / HOUR_MS,
    retentionIsDefault: view.retentionMs === undefined,
  };
}

async function showTenant(tenant: string, deps: AppDeps, admin: AdminPorts): Promise<Response> {
  const view = await reached(admin.tenantOf(tenant).view());
  // A shard that is gone would come to life again by being asked.
  const asked = view.state === "deleting" ? 0 : view.shardCount;
  const stats = await eachShard(asked, async (shard) => ({
    shard,
    ...(await admin.shardOf(tenant, shard).stats()),
    rebuild: await admin.compactorOf(tenant, shard).rebuildProgress(),
  }));
  return Response.json({
    ...tenantJson(tenant, view, deps),
    stats: stats.map((result, shard) =>
      result.status === "fulfilled" ? result.value : { shard, error: "shard is not reachable" },
    ),
  });
}

/** Begins at every shard; the progress is in the tenant's stats. */
async function rebuildCatalogue(tenant: string, admin: AdminPorts): Promise<Response> {
  const view = await reached(admin.tenantOf(tenant).view());
  if (view.state === "deleting") throw new AppError("not_found", `tenant "${tenant}" is being deleted`);
  const begun = await eachShard(view.shardCount, async (shard) => {
    // A shard that lost its rows does not know the tenant's retention either, which decides what comes back.
    await admin.shardOf(tenant, shard).configure({ retentionMs: view.retentionMs });
    await admin.compactorOf(tenant, shard).rebuild();
  });
  const failed = begun.flatMap((result, shard) => (result.status === "rejected" ? [shard] : []));
  if (failed.length > 0) {
    const message = `could not begin at shard ${failed.join(", ")}; the others have begun, begin again`;
    throw new AppError("unavailable", message, { retryAfterMs: 1_000 });
  }
  return Response.json({ tenant, shards: begun.length }, { status: 202 });
}

function eachShard<T>(
  count: number,
  call: (shard: number) => Promise<T>,
): Promise<PromiseSettledResult<T>[]> {
  const shards = Array.from({ length: count }, (_, shard) => shard);
  return settleAll(shards, PLATFORM.connections, call);
}
