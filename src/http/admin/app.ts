// The admin API as one app, and its description. Loaded with the first request for it: see RATIONALE.md.
import { OpenAPIHono } from "@hono/zod-openapi";
import { VERSION } from "../../model/version.ts";
import { AppError } from "../../util/errors.ts";
import { jsonErrorResponse } from "../errors.ts";
import { routedPath } from "../routed-path.ts";
import { auditRoutes } from "./audit.ts";
import { limitRoutes } from "./limits.ts";
import { overridesRoutes } from "./overrides.ts";
import { OPENAPI_PATH } from "./paths.ts";
import { type AdminApp, type AdminEnv, refuseMisfit } from "./request.ts";
import { tenantRoutes } from "./tenants.ts";
import { tokenRoutes } from "./tokens.ts";
import { adminUsageRoutes } from "./usage.ts";

const INFO = {
  openapi: "3.1.0",
  info: {
    title: "Rubato admin API",
    version: VERSION,
    license: { name: "Apache 2.0", identifier: "Apache-2.0" },
    description:
      "Looks after tenants and their tokens. The admin secret may do everything; a token with the scope admin looks after the tokens of the tenants that it may act for.",
  },
  servers: [{ url: "/" }],
  security: [{ bearer: [] }, { basic: [] }, { apiKey: [] }],
};

/** All routes, and the document that describes them. */
export function createAdminApp(): AdminApp {
  const app = new OpenAPIHono<AdminEnv>({ defaultHook: refuseMisfit, getPath: routedPath });
  app.onError((error) => jsonErrorResponse(error));
  tenantRoutes(app);
  tokenRoutes(app);
  limitRoutes(app);
  adminUsageRoutes(app);
  auditRoutes(app);
  app.route("/", overridesRoutes());
  const registry = app.openAPIRegistry;
  registry.registerComponent("securitySchemes", "bearer", { type: "http", scheme: "bearer" });
  registry.registerComponent("securitySchemes", "basic", {
    type: "http",
    scheme: "basic",
    description: "Any user, the token as password",
  });
  registry.registerComponent("securitySchemes", "apiKey", {
    type: "apiKey",
    in: "header",
    name: "X-Api-Key",
  });
  let document: string | undefined;
  app.get(OPENAPI_PATH, (c) => {
    document ??= JSON.stringify(app.getOpenAPI31Document(INFO));
    return c.body(document, 200, { "content-type": "application/json" });
  });
  app.all("*", (c) => {
    throw new AppError("not_found", `there is no ${c.req.method} ${c.req.path}`);
  });
  return app;
}
