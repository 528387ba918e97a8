// Composition root: the Worker's entry and its Durable Object classes.
import { waitUntil } from "cloudflare:workers";
import type { Hono } from "hono";
import { Authenticator } from "./access/authenticator.ts";
import type { AppEnv } from "./http/deps.ts";
import { createApp } from "./http/app.ts";
import { errorResponse } from "./http/errors.ts";
import { secured } from "./http/security-headers.ts";
import { readConfig } from "./model/config.ts";
import type { Bindings } from "./store/bindings.ts";
import { DIRECTORY_NAME } from "./store/directory-rpc.ts";
import { shardName } from "./store/keys.ts";
import { objectStoreFor } from "./store/object-store-for.ts";
import type { TraceShardRpc } from "./store/rpc.ts";
import { ShardMapCache } from "./tenant/shard-map-cache.ts";
import { TenantNames } from "./tenant/tenant-names.ts";
import { TenantShards } from "./tenant/tenant-shards.ts";
import { systemClock } from "./util/clock.ts";

export { Compactor, Directory, Tenant, TraceShard } from "../durable-objects/index.ts";

// One app for the life of the isolate: its bindings never change, and routes cost more to build than to run.
let app: Hono<AppEnv> | undefined;

function appFor(bindings: Bindings): Hono<AppEnv> {
  const { limits, corsAllowedOrigins, access } = readConfig(bindings);
  const shardOf = (tenant: string, index: number): TraceShardRpc =>
    bindings.TRACE_SHARD.getByName(shardName(tenant, index));
  const maps = new ShardMapCache(limits, {
    fetch: (tenant) => bindings.TENANT.getByName(tenant).view(),
    clock: systemClock,
    keepAlive: waitUntil,
  });
  const names = new TenantNames({
    fetch: () => bindings.DIRECTORY.getByName(DIRECTORY_NAME).list(),
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
    authenticator: new Authenticator(access, { views: maps, names, clock: systemClock }),
    admin: {
      access,
      tenantOf: (tenant) => bindings.TENANT.getByName(tenant),
      shardOf,
      compactorOf: (tenant, index) => bindings.COMPACTOR.getByName(shardName(tenant, index)),
      directory: () => bindings.DIRECTORY.getByName(DIRECTORY_NAME),
      forget: (tenant) => {
        maps.forget(tenant);
        names.forget();
      },
    },
  });
}

export default {
  fetch(request, bindings): Response | Promise<Response> {
    try {
      app ??= appFor(bindings);
    } catch (error) {
      return secured(errorResponse(error));
    }
    return app.fetch(request);
  },
} satisfies ExportedHandler<Bindings>;
