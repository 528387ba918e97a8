// Composition root: the Worker's entry and its Durable Object classes.
import { waitUntil } from "cloudflare:workers";
import type { Hono } from "hono";
import { createApp } from "./http/app.ts";
import { errorResponse } from "./http/errors.ts";
import { readConfig } from "./model/config.ts";
import type { Bindings } from "./store/bindings.ts";
import { shardName } from "./store/keys.ts";
import { objectStoreFor } from "./store/object-store-for.ts";
import type { TraceShardRpc } from "./store/rpc.ts";
import { ShardMapCache } from "./tenant/shard-map-cache.ts";
import { TenantShards } from "./tenant/tenant-shards.ts";
import { systemClock } from "./util/clock.ts";

export { Compactor, Tenant, TraceShard } from "../durable-objects/index.ts";

// One app for the life of the isolate: its bindings never change, and routes cost more to build than to run.
let app: Hono | undefined;

function appFor(bindings: Bindings): Hono {
  const { limits, corsAllowedOrigins, adminToken } = readConfig(bindings);
  const shardOf = (tenant: string, index: number): TraceShardRpc =>
    bindings.TRACE_SHARD.getByName(shardName(tenant, index));
  const maps = new ShardMapCache(limits, {
    fetch: (tenant) => bindings.TENANT.getByName(tenant).view(),
    clock: systemClock,
    keepAlive: waitUntil,
  });
  return createApp({
    limits,
    corsAllowedOrigins,
    clock: systemClock,
    objects: objectStoreFor(bindings),
    shards: new TenantShards(limits, {
      maps,
      clock: systemClock,
      shardOf,
    }),
    admin: {
      token: adminToken,
      tenantOf: (tenant) => bindings.TENANT.getByName(tenant),
      shardOf,
      compactorOf: (tenant, index) => bindings.COMPACTOR.getByName(shardName(tenant, index)),
    },
  });
}

export default {
  fetch(request, bindings): Response | Promise<Response> {
    try {
      app ??= appFor(bindings);
    } catch (error) {
      return errorResponse(error);
    }
    return app.fetch(request);
  },
} satisfies ExportedHandler<Bindings>;
