// What a tenant may use: shown, and changed by the operator.
import { createRoute } from "@hono/zod-openapi";
import { readNamedOverrides, resolveTenantLimits } from "../../model/tenant-limits.ts";
import type { TenantView } from "../../store/tenant-rpc.ts";
import { AppError } from "../../util/errors.ts";
import { LimitPatchSchema, LimitsSchema, namedLimits } from "./limits-schema.ts";
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
  tenantAdmin,
} from "./request.ts";
import { answers, CHANGE_PROBLEMS, jsonRequest, PROBLEMS, TENANT } from "./routes.ts";
import { ChangeHeaders, TenantParams, type z } from "./schemas.ts";

const LIMITS = `${TENANT}/limits` as const;
/** Times that a change is made anew because somebody else was faster. */
const ATTEMPTS = 3;

const showRoute = createRoute({
  method: "get",
  path: LIMITS,
  middleware: [tenantAdmin, existing] as const,
  summary: "What the tenant may use",
  request: { params: TenantParams },
  responses: { 200: answers("Its limits", LimitsSchema), ...PROBLEMS },
});

const changeRoute = createRoute({
  method: "patch",
  path: LIMITS,
  middleware: [operatorOnly, existing, jsonBody] as const,
  summary: "Changes the limits that are named; null goes back to the default (operator)",
  request: { params: TenantParams, headers: ChangeHeaders, body: jsonRequest(LimitPatchSchema) },
  responses: { 200: answers("Its limits after the change", LimitsSchema), ...CHANGE_PROBLEMS },
});

/** Registers the routes. */
export function limitRoutes(app: AdminApp): void {
  app.openapi(showRoute, async (c) => {
    const { tenant } = c.req.valid("param");
    const { deps } = c.env;
    const view = await reached(deps.admin.tenantOf(tenant).view());
    return c.json(limitsJson(tenant, view, deps), 200, { etag: etagOf(view.version) });
  });
  app.openapi(changeRoute, async (c) => {
    const { tenant } = c.req.valid("param");
    const view = await change(c, tenant, c.req.valid("json"));
    c.env.deps.admin.forget(tenant);
    return c.json(limitsJson(tenant, view, c.env.deps), 200, { etag: etagOf(view.version) });
  });
}

/** Over the version that was looked at, which is the one that If-Match names or the newest. */
async function change(
  c: AdminContext,
  tenant: string,
  patch: z.infer<typeof LimitPatchSchema>,
): Promise<TenantView> {
  const object = c.env.deps.admin.tenantOf(tenant);
  const { actor, ifVersion } = changeOf(c);
  for (let attempt = 1; ; attempt++) {
    const { limits = {}, version } = await reached(object.view());
    const named: Record<string, unknown> = { ...namedLimits(limits), ...patch };
    for (const [name, value] of Object.entries(named)) if (value === null) delete named[name];
    try {
      const over = { actor, ifVersion: ifVersion ?? version };
      return await changed(object.setLimits(readNamedOverrides(named), over));
    } catch (error) {
      const isRace = error instanceof AppError && error.kind === "conflict" && ifVersion === undefined;
      if (!isRace || attempt === ATTEMPTS) throw error;
    }
  }
}

function limitsJson(
  tenant: string,
  { limits = {} }: TenantView,
  deps: AdminDeps,
): z.infer<typeof LimitsSchema> {
  const inForce = resolveTenantLimits(limits, deps.limits.tenant);
  return { tenant, set: namedLimits(limits), limits: namedLimits(inForce) };
}
