// What a tenant has used and what it costs: as GET /api/usage, for one tenant.
import { createRoute } from "@hono/zod-openapi";
import { AppError } from "../../util/errors.ts";
import { usageJson } from "../answers/usage-answer.ts";
import { readUsageRange, usageOf } from "../tenant-usage.ts";
import { type AdminApp, existing, tenantAdmin } from "./request.ts";
import { answers, PROBLEMS, TENANT } from "./routes.ts";
import { TenantParams } from "./schemas.ts";
import { UsageQuery, UsageSchema } from "./usage-schema.ts";

const usageRoute = createRoute({
  method: "get",
  path: `${TENANT}/usage`,
  middleware: [tenantAdmin, existing] as const,
  summary: "What the tenant has used and what it costs",
  request: { params: TenantParams, query: UsageQuery },
  responses: { 200: answers("Units, USD, forecast", UsageSchema), ...PROBLEMS },
});

/** Registers the route. */
export function adminUsageRoutes(app: AdminApp): void {
  app.openapi(usageRoute, async (c) => {
    const { tenant } = c.req.valid("param");
    const { clock, usage: ports, ledger } = c.env.deps;
    if (ports === undefined) throw new AppError("not_found", "usage is not counted here");
    const range = readUsageRange(c.req.valid("query"), clock.now());
    const used = await usageOf(tenant, range, ports, ledger);
    return c.json(UsageSchema.parse(usageJson([used], range)), 200);
  });
}
