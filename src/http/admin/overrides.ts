// /api/overrides: what a tenant may set itself, by Tempo's API of user-configurable overrides. Errors are text, as Tempo's.
import { createRoute, OpenAPIHono } from "@hono/zod-openapi";
import { noTenant, theTenant } from "../../access/tenancy.ts";
import type { StoredOverrides, TenantRpc } from "../../store/tenant-rpc.ts";
import { AppError } from "../../util/errors.ts";
import { errorResponse } from "../errors.ts";
import { sentence } from "./misfit.ts";
import {
  mergePatch,
  NewOverridesSchema,
  type Overrides,
  shownOverrides,
  ShownOverridesSchema,
} from "./overrides-schema.ts";
import {
  type AdminApp,
  type AdminContext,
  type AdminEnv,
  etagOf,
  jsonBody,
  MAX_BODY_BYTES,
  reached,
  refused,
  refuseMisfit,
} from "./request.ts";
import { OVERRIDES_PATH } from "./paths.ts";
import { answers, jsonRequest } from "./routes.ts";
import { z } from "./schemas.ts";

/** Times that a patch is applied anew because somebody else was faster. */
const PATCH_ATTEMPTS = 3;

function problem(description: string): {
  description: string;
  content: { "text/plain": { schema: z.ZodString } };
} {
  return { description, content: { "text/plain": { schema: z.string() } } };
}

const PROBLEMS = {
  400: problem("Something in the request is not as it must be; several tenants are named"),
  401: problem("No token, one that is not known, or no tenant is named"),
  403: problem("The token lacks the scope (admin, to change), or may not act for the tenant"),
  404: problem("Nothing is set, or there is no such tenant"),
  503: problem("The tenant's object is not reachable"),
};
const CHANGE_PROBLEMS = {
  ...PROBLEMS,
  412: problem("The overrides have another version than If-Match names"),
  413: problem("The body is larger than 64 KiB"),
  428: problem("There is no If-Match"),
};
const ChangeHeaders = z.object({
  "if-match": z
    .string()
    .optional()
    .openapi({ description: "The ETag of the overrides; 0 where there are none. Needed", example: "0" }),
});
/** Nothing outside of the overrides can be in conflict with them here. */
const SkipQuery = z.object({
  "skip-conflicting-overrides-check": z.enum(["true", "false"]).optional(),
});

const getRoute = createRoute({
  method: "get",
  path: OVERRIDES_PATH,
  summary: "What the tenant has set",
  request: {
    query: z.object({
      scope: z
        .enum(["api", "merged"])
        .optional()
        .openapi({ description: "The same here: nothing is set for tenants by other means" }),
    }),
  },
  responses: { 200: answers("The overrides", ShownOverridesSchema), ...PROBLEMS },
});

const postRoute = createRoute({
  method: "post",
  path: OVERRIDES_PATH,
  middleware: [jsonBody] as const,
  summary: "Replaces what the tenant has set",
  request: { headers: ChangeHeaders, query: SkipQuery, body: jsonRequest(NewOverridesSchema) },
  responses: { 200: { description: "Stored; ETag is the new version" }, ...CHANGE_PROBLEMS },
});

const patchRoute = createRoute({
  method: "patch",
  path: OVERRIDES_PATH,
  middleware: [jsonBody] as const,
  summary: "Changes a part of it, by a merge patch (RFC 7386)",
  request: { query: SkipQuery, body: jsonRequest(z.looseObject({}).openapi("OverridesPatch")) },
  responses: {
    200: answers("The overrides after it", ShownOverridesSchema),
    ...PROBLEMS,
    413: CHANGE_PROBLEMS[413],
    500: problem("Others were faster, several times"),
  },
});

const deleteRoute = createRoute({
  method: "delete",
  path: OVERRIDES_PATH,
  summary: "Removes all that the tenant has set",
  request: { headers: ChangeHeaders },
  responses: { 200: { description: "Removed" }, ...CHANGE_PROBLEMS },
});

/** The routes, as an app with errors of its own form. */
export function overridesRoutes(): AdminApp {
  const app = new OpenAPIHono<AdminEnv>({ defaultHook: refuseMisfit });
  app.onError((error) => errorResponse(error));
  app.openapi(getRoute, async (c) => {
    const { version, json } = await reached(tenantOf(c).overrides());
    if (json === undefined) throw new AppError("not_found", "the tenant has no overrides");
    return c.json(shownOverrides(parse(json)), 200, { etag: etagOf(version) });
  });
  app.openapi(postRoute, async (c) => {
    const ifVersion = neededVersion(c);
    const { version } = await set(c, c.req.valid("json"), ifVersion);
    return c.body(null, 200, { etag: etagOf(version) });
  });
  app.openapi(patchRoute, async (c) => {
    const { overrides, version } = await patched(c, c.req.valid("json"));
    return c.json(shownOverrides(overrides), 200, { etag: etagOf(version) });
  });
  app.openapi(deleteRoute, async (c) => {
    await set(c, undefined, neededVersion(c));
    return c.body(null, 200);
  });
  return app;
}

/** @throws AppError `unauthenticated` when the request names no tenant, `invalid_argument` when it names several */
function tenantOf({ env: { caller, deps } }: AdminContext): TenantRpc {
  if (caller.tenants.length === 0) throw noTenant();
  return deps.admin.tenantOf(theTenant(caller.tenants));
}

/** @returns NaN, which no version is, for what is no number: Tempo compares texts */
function neededVersion(c: AdminContext): number {
  const header = c.req.header("if-match")?.trim() ?? "";
  if (header === "") throw new AppError("precondition_required", "must specify If-Match header");
  const [, version] = /^(?:W\/)?"?(\d{1,15})"?$/.exec(header) ?? [];
  return version === undefined ? Number.NaN : Number(version);
}

async function set(
  c: AdminContext,
  overrides: Overrides | undefined,
  ifVersion: number,
): Promise<StoredOverrides> {
  const json = overrides === undefined ? undefined : JSON.stringify(overrides);
  if (json !== undefined && json.length > MAX_BODY_BYTES) {
    throw new AppError("too_large", `the overrides are larger than ${MAX_BODY_BYTES} bytes`);
  }
  const reply = await reached(tenantOf(c).setOverrides(json, { actor: c.env.caller.actor, ifVersion }));
  if (!reply.ok) throw refused(reply);
  return reply.overrides;
}

/** @throws AppError `internal` with Tempo's text when others were faster each time */
async function patched(
  c: AdminContext,
  patch: unknown,
): Promise<{ readonly overrides: Overrides; readonly version: number }> {
  for (let attempt = 0; attempt < PATCH_ATTEMPTS; attempt++) {
    const { json, version: stored } = await reached(tenantOf(c).overrides());
    const result = NewOverridesSchema.safeParse(mergePatch(json === undefined ? {} : parse(json), patch));
    if (!result.success) throw new AppError("invalid_argument", sentence(result.error));
    try {
      const { version } = await set(c, result.data, json === undefined ? 0 : stored);
      return { overrides: result.data, version };
    } catch (error) {
      if (!(error instanceof AppError) || error.kind !== "conflict") throw error;
    }
  }
  throw new AppError("internal", "overrides have been modified during request processing, try again");
}

/** What `set` stored. */
function parse(json: string): Overrides {
  return JSON.parse(json);
}
