// Composition root: the Worker's entry and its Durable Object classes.
import { waitUntil } from "cloudflare:workers";
import type { Hono } from "hono";
import { Authenticator } from "./access/authenticator.ts";
import type { AppEnv } from "./http/deps.ts";
import { createApp } from "./http/app.ts";
import { errorResponse } from "./http/errors.ts";
import { secured } from "./http/security-headers.ts";
import { InsightReporter } from "./insight/reporter.ts";
import { readConfig } from "./model/config.ts";
import { SINGLE_TENANT } from "./model/ids.ts";
import type { Bindings } from "./store/bindings.ts";
import type { CompactorRpc } from "./store/compactor-rpc.ts";
import { DIRECTORY_NAME, type DirectoryRpc } from "./store/directory-rpc.ts";
import { shardName, tenantOfKey } from "./store/keys.ts";
import { objectStoreFor } from "./store/object-store-for.ts";
import type { TraceShardRpc } from "./store/rpc.ts";
import type { TenantRpc } from "./store/tenant-rpc.ts";
import { ShardMapCache } from "./tenant/shard-map-cache.ts";
import { TenantNames } from "./tenant/tenant-names.ts";
import { TenantShards } from "./tenant/tenant-shards.ts";
import { countedStore } from "./usage/counted-store.ts";
import { UsageLedger } from "./usage/ledger.ts";
import { decodeUsage } from "./usage/usage-days.ts";
import { systemClock } from "./util/clock.ts";

export { Compactor, Directory, Scanner, Tenant, TraceShard } from "../durable-objects/index.ts";

// One app for the life of the isolate: its bindings never change, and routes cost more to build than to run.
let app: Hono<AppEnv> | undefined;

interface Objects {
  readonly shardOf: (tenant: string, index: number) => TraceShardRpc;
  readonly compactorOf: (tenant: string, index: number) => CompactorRpc;
  readonly tenantOf: (tenant: string) => TenantRpc;
  readonly directory: () => DirectoryRpc;
}

/** The objects by what they are for. Each call is by a stub of its own, since one that failed stays broken. */
function objectsOf({ TRACE_SHARD, COMPACTOR, TENANT, DIRECTORY }: Bindings): Objects {
  return {
    shardOf: (tenant, index) => TRACE_SHARD.getByName(shardName(tenant, index)),
    compactorOf: (tenant, index) => COMPACTOR.getByName(shardName(tenant, index)),
    tenantOf: (tenant) => TENANT.getByName(tenant),
    directory: () => DIRECTORY.getByName(DIRECTORY_NAME),
  };
}

function appFor(bindings: Bindings): Hono<AppEnv> {
  const { limits, corsAllowedOrigins, access } = readConfig(bindings);
  const { shardOf, compactorOf, tenantOf, directory } = objectsOf(bindings);
  const ledger = new UsageLedger(systemClock, crypto.randomUUID().slice(0, 13));
  const objects = countedStore(objectStoreFor(bindings), (operation, key) => {
    const tenant = tenantOfKey(key);
    if (tenant !== undefined) ledger.meter(tenant).add(operation, 1);
  });
  const maps = new ShardMapCache(limits, {
    fetch: async (tenant) => {
      const { usage, ...view } = await tenantOf(tenant).view(true);
      if (usage !== undefined) ledger.add(tenant, decodeUsage(usage));
      return view;
    },
    clock: systemClock,
    keepAlive: waitUntil,
  });
  const names = new TenantNames({
    fetch: () => directory().list(),
    clock: systemClock,
    keepAlive: waitUntil,
  });
  const insight = new InsightReporter({
    send: async (tenant, note) => {
      const usage = await (tenant === undefined ? directory() : tenantOf(tenant)).note(note);
      if (tenant !== undefined && usage !== undefined) ledger.add(tenant, decodeUsage(usage));
    },
    clock: systemClock,
    keepAlive: waitUntil,
    sleep: (ms) => scheduler.wait(ms),
  });
  return createApp({
    limits,
    corsAllowedOrigins,
    clock: systemClock,
    wait: (ms) => scheduler.wait(ms),
    objects,
    ledger,
    insight,
    inspect: { tenantOf, shardOf, directory, views: maps },
    shards: new TenantShards(limits, {
      maps,
      clock: systemClock,
      shardOf,
      ledger,
    }),
    usage: {
      viewOf: (tenant) => maps.forReading(tenant),
      shardOf,
      tenantNames: async () => [SINGLE_TENANT, ...(await directory().list())],
    },
    authenticator: new Authenticator(access, { views: maps, names, clock: systemClock }),
    scannerOf: (name) => bindings.SCANNER.getByName(name),
    admin: {
      access,
      tenantOf,
      shardOf,
      compactorOf,
      directory,
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
