// /api/admin, /api/overrides and what describes them. Most isolates never see such a request, so the rest is loaded by
// the first one: the schemas take longer to make than all other modules together.
import { type Context, Hono } from "hono";
import { ADMIN_PATHS, OPENAPI_PATH, OVERRIDES_PATH } from "../admin/paths.ts";
import type { AdminApp } from "../admin/request.ts";
import type { AdminPorts, AppDeps, AppEnv } from "../deps.ts";

/** The routes. They rely on the caller having the scope of their area. */
export function adminRoutes(deps: AppDeps, admin: AdminPorts): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  let loaded: Promise<AdminApp> | undefined;
  const forward = async (c: Context<AppEnv>): Promise<Response> => {
    loaded ??= import("../admin/app.ts").then(({ createAdminApp }) => createAdminApp());
    const adminApp = await loaded;
    return adminApp.fetch(c.req.raw, { caller: c.get("caller"), deps: { ...deps, admin } });
  };
  for (const path of [ADMIN_PATHS, OVERRIDES_PATH, OPENAPI_PATH]) app.all(path, forward);
  return app;
}
