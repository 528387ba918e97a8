// The HTTP surface: routes, and what happens outside them.
import { Hono } from "hono";
import { ingestCors } from "./cors.ts";
import { access, type Area } from "./access.ts";
import type { AppDeps, AppEnv } from "./deps.ts";
import { errorResponse, jsonErrorResponse } from "./errors.ts";
import { ADMIN_PATHS, OPENAPI_PATH, OVERRIDES_PATH } from "./admin/paths.ts";
import { meterRequests } from "./meter-requests.ts";
import { observe } from "./observe.ts";
import { adminRoutes } from "./routes/admin.ts";
import { DOCTOR_PATH, doctorRoutes } from "./routes/doctor.ts";
import { GRPC_EXPORT_PATH, grpcRefusal, grpcWebRoutes } from "./routes/grpc-web.ts";
import { JAEGER_PATH, jaegerRoutes } from "./routes/jaeger.ts";
import { metricsRoutes } from "./routes/metrics.ts";
import { OTLP_PATH, otlpRefusal, otlpRoutes } from "./routes/otlp.ts";
import { METRICS_PATH, prometheusRoutes } from "./routes/prometheus.ts";
import { searchRoutes } from "./routes/search.ts";
import { statusRoutes } from "./routes/status.ts";
import { tagRoutes } from "./routes/tags.ts";
import { traceDiffRoutes } from "./routes/trace-diff.ts";
import { traceRoutes } from "./routes/traces.ts";
import { USAGE_PATH, usageRoutes } from "./routes/usage.ts";
import { ZIPKIN_V1_PATH, ZIPKIN_V2_PATH, zipkinRoutes } from "./routes/zipkin.ts";
import { ingestEntry } from "./ingest-entry.ts";
import { QUERY_PATHS, queryLimits } from "./query-limits.ts";
import { routedPath } from "./routed-path.ts";
import { scanPorts } from "./scan-ports.ts";
import { securityHeaders } from "./security-headers.ts";

/** Where spans come in: what pages of other origins may call. */
const INGEST: readonly Area[] = [
  { path: OTLP_PATH, scope: "ingest", refuse: otlpRefusal },
  { path: GRPC_EXPORT_PATH, scope: "ingest", refuse: grpcRefusal },
  ...[ZIPKIN_V1_PATH, ZIPKIN_V2_PATH, JAEGER_PATH].map((path): Area => ({
    path,
    scope: "ingest",
    refuse: plainRefusal,
  })),
];
const AREAS: readonly Area[] = [
  ...INGEST,
  { path: "/ready", scope: "public", refuse: plainRefusal },
  { path: USAGE_PATH, scope: "any", refuse: jsonRefusal },
  { path: ADMIN_PATHS, scope: "admin", refuse: jsonRefusal },
  { path: OPENAPI_PATH, scope: "any", refuse: jsonRefusal },
  { path: OVERRIDES_PATH, methods: ["GET", "HEAD"], scope: "read", refuse: plainRefusal },
  { path: OVERRIDES_PATH, scope: "admin", refuse: plainRefusal },
  { path: DOCTOR_PATH, scope: "admin", refuse: jsonRefusal },
  { path: METRICS_PATH, scope: "metrics", refuse: plainRefusal },
];

/** Tempo's way: a line of text. */
function plainRefusal(_: Request, error: unknown): Response {
  return errorResponse(error);
}

function jsonRefusal(_: Request, error: unknown): Response {
  return jsonErrorResponse(error);
}

/** All routes over the given ports. */
export function createApp(deps: AppDeps): Hono<AppEnv> {
  const app = new Hono<AppEnv>({ getPath: routedPath });
  app.use("*", observe(deps.clock, deps.insight));
  app.use("*", securityHeaders());
  const cors = ingestCors(deps.corsAllowedOrigins);
  for (const { path } of INGEST) app.use(path, cors);
  app.use("*", access(deps.authenticator, AREAS, { scope: "read", refuse: plainRefusal }));
  if (deps.ledger !== undefined) app.use("*", meterRequests(deps.ledger, deps.clock));
  const findEntry = ingestEntry(deps);
  app.route("/", otlpRoutes(deps, findEntry));
  app.route("/", zipkinRoutes(deps, findEntry));
  app.route("/", jaegerRoutes(deps, findEntry));
  app.route("/", grpcWebRoutes(deps, findEntry));
  const limited = queryLimits(deps);
  for (const path of QUERY_PATHS) app.use(path, limited);
  // Before the route of a trace by id, which would take "diff" for one.
  app.route("/", traceDiffRoutes(deps));
  app.route("/", traceRoutes(deps));
  const scan = scanPorts(deps);
  app.route("/", searchRoutes(deps, scan));
  app.route("/", tagRoutes(deps, scan));
  app.route("/", metricsRoutes(deps, scan));
  app.route("/", statusRoutes());
  if (deps.usage !== undefined) app.route("/", usageRoutes(deps, deps.usage));
  if (deps.admin !== undefined) app.route("/", adminRoutes(deps, deps.admin));
  if (deps.inspect !== undefined) {
    app.route("/", doctorRoutes(deps, deps.inspect));
    app.route("/", prometheusRoutes(deps.inspect));
  }
  app.notFound((c) => c.text("404 page not found\n", 404));
  app.onError((error, c) => {
    c.get("report").failed(error);
    return errorResponse(error);
  });
  return app;
}
