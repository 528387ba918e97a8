// The audit log of a tenant: who changed what, and when.
import { createRoute } from "@hono/zod-openapi";
import { type AdminApp, existing, reached, tenantAdmin } from "./request.ts";
import { answers, PROBLEMS, TENANT } from "./routes.ts";
import { AuditQuery, AuditSchema, TenantParams } from "./schemas.ts";

const auditRoute = createRoute({
  method: "get",
  path: `${TENANT}/audit`,
  middleware: [tenantAdmin, existing] as const,
  summary: "What people changed, the newest 10,000 changes",
  request: { params: TenantParams, query: AuditQuery },
  responses: { 200: answers("A page of them", AuditSchema), ...PROBLEMS },
});

/** Registers the route. */
export function auditRoutes(app: AdminApp): void {
  app.openapi(auditRoute, async (c) => {
    const { tenant } = c.req.valid("param");
    const { limit, before } = c.req.valid("query");
    // One more says whether there is a next page.
    const found = await reached(c.env.deps.admin.tenantOf(tenant).audit(limit + 1, before));
    const page = found.slice(0, limit);
    const entries = page.map(({ atMs, ...entry }) => ({ ...entry, at: new Date(atMs).toISOString() }));
    return c.json({ entries, ...(found.length > limit ? { next: page.at(-1)?.id } : {}) }, 200);
  });
}
