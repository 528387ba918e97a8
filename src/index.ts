// Composition root: the Worker's entry and its Durable Object classes.
import type { Hono } from "hono";
import { createApp } from "./http/app.ts";
import { errorResponse } from "./http/errors.ts";
import { readConfig } from "./model/config.ts";
import type { Bindings } from "./store/bindings.ts";
import { shardName } from "./store/keys.ts";
import { objectStoreFor } from "./store/object-store-for.ts";
import { systemClock } from "./util/clock.ts";

export { Compactor, TraceShard } from "../durable-objects/index.ts";

// One app for the life of the isolate: its bindings never change, and routes cost more to build than to run.
let app: Hono | undefined;

function appFor(bindings: Bindings): Hono {
  const { limits, corsAllowedOrigins } = readConfig(bindings);
  return createApp({
    limits,
    corsAllowedOrigins,
    clock: systemClock,
    objects: objectStoreFor(bindings),
    shardOf: (tenant) => bindings.TRACE_SHARD.getByName(shardName(tenant, 0)),
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
