// The HTTP surface: routes, and what happens outside them.
import { Hono } from "hono";
import { ingestCors } from "./cors.ts";
import type { AppDeps } from "./deps.ts";
import { errorResponse } from "./errors.ts";
import { adminRoutes } from "./routes/admin.ts";
import { GRPC_EXPORT_PATH, grpcWebRoutes } from "./routes/grpc-web.ts";
import { JAEGER_PATH, jaegerRoutes } from "./routes/jaeger.ts";
import { metricsRoutes } from "./routes/metrics.ts";
import { otlpRoutes } from "./routes/otlp.ts";
import { searchRoutes } from "./routes/search.ts";
import { statusRoutes } from "./routes/status.ts";
import { tagRoutes } from "./routes/tags.ts";
import { traceDiffRoutes } from "./routes/trace-diff.ts";
import { traceRoutes } from "./routes/traces.ts";
import { ZIPKIN_V1_PATH, ZIPKIN_V2_PATH, zipkinRoutes } from "./routes/zipkin.ts";
import { scanPorts } from "./scan-ports.ts";

/** Where spans come in: what pages of other origins may call. */
const INGEST_PATHS = ["/v1/traces", ZIPKIN_V1_PATH, ZIPKIN_V2_PATH, JAEGER_PATH, GRPC_EXPORT_PATH];

/** All routes over the given ports. */
export function createApp(deps: AppDeps): Hono {
  const app = new Hono();
  const cors = ingestCors(deps.corsAllowedOrigins);
  for (const path of INGEST_PATHS) app.use(path, cors);
  app.route("/", otlpRoutes(deps));
  app.route("/", zipkinRoutes(deps));
  app.route("/", jaegerRoutes(deps));
  app.route("/", grpcWebRoutes(deps));
  // Before the route of a trace by id, which would take "diff" for one.
  app.route("/", traceDiffRoutes(deps));
  app.route("/", traceRoutes(deps));
  const scan = scanPorts(deps);
  app.route("/", searchRoutes(deps, scan));
  app.route("/", tagRoutes(deps, scan));
  app.route("/", metricsRoutes(deps, scan));
  app.route("/", statusRoutes());
  if (deps.admin !== undefined) app.route("/", adminRoutes(deps, deps.admin));
  app.notFound((c) => c.text("404 page not found\n", 404));
  app.onError((error) => errorResponse(error));
  return app;
}
