// The HTTP surface: routes, and what happens outside them.
import { Hono } from "hono";
import type { AppDeps } from "./deps.ts";
import { errorResponse } from "./errors.ts";
import { otlpRoutes } from "./routes/otlp.ts";
import { statusRoutes } from "./routes/status.ts";
import { traceRoutes } from "./routes/traces.ts";

/** All routes over the given ports. */
export function createApp(deps: AppDeps): Hono {
  const app = new Hono();
  app.route("/", otlpRoutes(deps));
  app.route("/", traceRoutes(deps));
  app.route("/", statusRoutes());
  app.notFound((c) => c.text("404 page not found\n", 404));
  app.onError((error) => errorResponse(error));
  return app;
}
