// Tenants: listed, made, shown, deleted; their shards, retention and catalogue.
import { createRoute } from "@hono/zod-openapi";
import type { TypedResponse } from "hono";
import { actsFor } from "../../access/caller.ts";
import { SINGLE_TENANT } from "../../model/ids.ts";
import { DEFAULT_KEEP_SHARE, type SpendCap } from "../../model/spend.ts";
import { PLATFORM } from "../../model/limits.ts";
import type { TenantReply, TenantRpc, TenantView } from "../../store/tenant-rpc.ts";
import { shardSettings } from "../../tenant/shard-settings.ts";
import { writeCount } from "../../tenant/shard-map.ts";
import { AppError } from "../../util/errors.ts";
import { settleAll } from "../../util/parallel.ts";
import type { AdminPorts } from "../deps.ts";
import {
  type AdminApp,
  type AdminContext,
  type AdminDeps,
  changed,
  changeOf,
  etagOf,
  existing,
  jsonBody,
  operatorOnly,
  reached,
  register,
  tenantAdmin,
} from "./request.ts";
import { answers, CHANGE_PROBLEMS, jsonRequest, PROBLEMS, TENANT, TENANTS } from "./routes.ts";
import {
  ChangeHeaders,
  limitParam,
  NewTenantSchema,
  RebuildSchema,
  RetentionSchema,
  ShardCountSchema,
  SpendCapSchema,
  TenantIdSchema,
  TenantListSchema,
  TenantParams,
  TenantSchema,
  TenantStatsSchema,
  z,
} from "./schemas.ts";

const HOUR_MS = 3_600_000;
const CHANGE = { params: TenantParams, headers: ChangeHeaders };

const listRoute = createRoute({
  method: "get",
  path: TENANTS,
  summary: "The tenants that the caller may look after, by name",
  request: {
    query: z.object({
      limit: limitParam(10_000, 1_000),
      after: TenantIdSchema.optional().openapi({ description: "Only names behind this one" }),
    }),
  },
  responses: { 200: answers("A page of them", TenantListSchema), ...PROBLEMS },
});

const createTenantRoute = createRoute({
  method: "post",
  path: TENANTS,
  middleware: [operatorOnly, jsonBody] as const,
  summary: "Makes a tenant (operator)",
  request: { body: jsonRequest(NewTenantSchema) },
  responses: {
    201: answers("It was made", TenantSchema),
    200: answers("It was there before", TenantSchema),
    ...CHANGE_PROBLEMS,
  },
});

const showRoute = createRoute({
  method: "get",
  path: TENANT,
  middleware: [tenantAdmin, existing] as const,
  summary: "A tenant: shards and from when, retention, what each shard holds and does",
  request: { params: TenantParams },
  responses: { 200: answers("The tenant", TenantStatsSchema), ...PROBLEMS },
});

const shardsRoute = createRoute({
  method: "put",
  path: `${TENANT}/shards`,
  middleware: [operatorOnly, existing, jsonBody] as const,
  summary: "Spreads new spans over so many shards, 90 seconds from now on (operator)",
  request: { ...CHANGE, body: jsonRequest(ShardCountSchema) },
  responses: { 200: answers("The tenant after the change", TenantSchema), ...CHANGE_PROBLEMS },
});

const retentionRoute = createRoute({
  method: "put",
  path: `${TENANT}/retention`,
  middleware: [operatorOnly, existing, jsonBody] as const,
  summary: "How long spans are kept (operator)",
  request: { ...CHANGE, body: jsonRequest(RetentionSchema) },
  responses: { 200: answers("The tenant after the change", TenantSchema), ...CHANGE_PROBLEMS },
});

const spendCapRoute = createRoute({
  method: "put",
  path: `${TENANT}/spend-cap`,
  middleware: [operatorOnly, existing, jsonBody] as const,
  summary: "What the tenant may cost, and what happens then (operator)",
  request: { ...CHANGE, body: jsonRequest(SpendCapSchema) },
  responses: { 200: answers("The tenant after the change", TenantSchema), ...CHANGE_PROBLEMS },
});

const rebuildRoute = createRoute({
  method: "post",
  path: `${TENANT}/rebuild-catalogue`,
  middleware: [operatorOnly, existing] as const,
  summary: "Adds the blocks of the bucket that the catalogue lacks; goes on by itself (operator)",
  request: CHANGE,
  responses: { 202: answers("It has begun at so many shards", RebuildSchema), ...CHANGE_PROBLEMS },
});

const deleteRoute = createRoute({
  method: "delete",
  path: TENANT,
  middleware: [operatorOnly, existing] as const,
  summary: "Deletes everything of a tenant; goes on by itself (operator)",
  request: CHANGE,
  responses: { 202: answers("It has begun", TenantSchema), ...CHANGE_PROBLEMS },
});

/** Registers the routes. */
export function tenantRoutes(app: AdminApp): void {
  app.openapi(listRoute, async (c) => {
    const { limit, after = "" } = c.req.valid("query");
    const { caller, deps } = c.env;
    const names = [SINGLE_TENANT, ...(await reached(deps.admin.directory().list()))].sort();
    const mine = names.filter((name) => name > after && actsFor(caller, name));
    const page = mine.slice(0, limit);
    const tenants = page.map((tenant) => ({ tenant }));
    return c.json({ tenants, ...(mine.length > limit ? { next: page.at(-1) } : {}) }, 200);
  });
  app.openapi(createTenantRoute, async (c) => {
    const { tenant } = c.req.valid("json");
    const isNew = await register(tenant, c.env.deps);
    return answer(c, tenant, (object) => object.create({ actor: c.env.caller.actor }), isNew ? 201 : 200);
  });
  app.openapi(showRoute, async (c) => {
    const { tenant } = c.req.valid("param");
    const { deps } = c.env;
    const view = await reached(deps.admin.tenantOf(tenant).view());
    const stats = await statsOf(tenant, view, deps.admin);
    return c.json({ ...tenantJson(tenant, view, deps), stats }, 200, { etag: etagOf(view.version) });
  });
  app.openapi(shardsRoute, (c) => {
    const { count } = c.req.valid("json");
    return answer(c, c.req.valid("param").tenant, (object) => object.setShardCount(count, changeOf(c)), 200);
  });
  app.openapi(retentionRoute, (c) => {
    const { hours } = c.req.valid("json");
    const ms = hours === null ? undefined : hours * HOUR_MS;
    return answer(c, c.req.valid("param").tenant, (object) => object.setRetention(ms, changeOf(c)), 200);
  });
  app.openapi(spendCapRoute, (c) => {
    const cap = spendCapOf(c.req.valid("json"));
    return answer(c, c.req.valid("param").tenant, (object) => object.setSpendCap(cap, changeOf(c)), 200);
  });
  app.openapi(rebuildRoute, async (c) => {
    const { tenant } = c.req.valid("param");
    const { admin } = c.env.deps;
    const view = await changed(admin.tenantOf(tenant).noteRebuild(changeOf(c)));
    admin.forget(tenant);
    const shards = await rebuild(tenant, view, admin);
    return c.json({ tenant, shards }, 202, { etag: etagOf(view.version) });
  });
  app.openapi(deleteRoute, (c) =>
    answer(c, c.req.valid("param").tenant, (object) => object.startDeletion(changeOf(c)), 202),
  );
}

/** Without a limit there is no cap. */
function spendCapOf({
  dayUsd,
  monthUsd,
  action = "reject",
  keepShare = DEFAULT_KEEP_SHARE,
}: z.infer<typeof SpendCapSchema>): SpendCap | undefined {
  if ((dayUsd ?? monthUsd ?? null) === null) return undefined;
  return { dayUsd: dayUsd ?? undefined, monthUsd: monthUsd ?? undefined, action, keepShare };
}

/** The tenant after a change. */
async function answer<Status extends 200 | 201 | 202>(
  c: AdminContext,
  tenant: string,
  change: (object: TenantRpc) => Promise<TenantReply>,
  status: Status,
): Promise<TypedResponse<z.infer<typeof TenantSchema>, Status, "json">> {
  const { deps } = c.env;
  const view = await changed(change(deps.admin.tenantOf(tenant)));
  deps.admin.forget(tenant);
  return c.json(tenantJson(tenant, view, deps), status, { etag: etagOf(view.version) });
}

function tenantJson(
  tenant: string,
  view: TenantView,
  { limits, clock }: AdminDeps,
): z.infer<typeof TenantSchema> {
  return {
    tenant,
    state: view.state,
    version: view.version ?? 0,
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

async function statsOf(
  tenant: string,
  view: TenantView,
  admin: AdminPorts,
): Promise<z.infer<typeof TenantStatsSchema>["stats"]> {
  // A shard that is gone would come to life again by being asked.
  const asked = view.state === "deleting" ? 0 : view.shardCount;
  const stats = await eachShard(asked, async (shard) => ({
    shard,
    ...(await admin.shardOf(tenant, shard).stats()),
    rebuild: await admin.compactorOf(tenant, shard).rebuildProgress(),
  }));
  return stats.map((result, shard) =>
    result.status === "fulfilled" ? result.value : { shard, error: "shard is not reachable" },
  );
}

/** Begins at every shard; the progress is in the tenant's stats. @returns how many there are */
async function rebuild(tenant: string, view: TenantView, admin: AdminPorts): Promise<number> {
  const begun = await eachShard(view.shardCount, async (shard) => {
    // A shard that lost its rows does not know the tenant's settings either: the retention decides what comes back.
    await admin.shardOf(tenant, shard).configure(shardSettings(view));
    await admin.compactorOf(tenant, shard).rebuild();
  });
  const failed = begun.flatMap((result, shard) => (result.status === "rejected" ? [shard] : []));
  if (failed.length > 0) {
    const message = `could not begin at shard ${failed.join(", ")}; the others have begun, begin again`;
    throw new AppError("unavailable", message, { retryAfterMs: 1_000 });
  }
  return begun.length;
}

function eachShard<T>(
  count: number,
  call: (shard: number) => Promise<T>,
): Promise<PromiseSettledResult<T>[]> {
  const shards = Array.from({ length: count }, (_, shard) => shard);
  return settleAll(shards, PLATFORM.connections, call);
}
