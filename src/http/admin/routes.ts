// How routes of the admin API are described: paths, what each may answer, its errors.
import type { RouteConfig } from "@hono/zod-openapi";
import { ErrorSchema, z } from "./schemas.ts";

export const TENANTS = "/api/admin/tenants";
export const TENANT = `${TENANTS}/{tenant}` as const;

type Responses = RouteConfig["responses"];

interface JsonContent<T extends z.ZodType> {
  readonly content: { readonly "application/json": { readonly schema: T } };
}

export function json<T extends z.ZodType>(schema: T): JsonContent<T> {
  return { content: { "application/json": { schema } } };
}

export function jsonRequest<T extends z.ZodType>(schema: T): JsonContent<T> & { readonly required: true } {
  return { ...json(schema), required: true };
}

/** A 200, say, with the ETag of the tenant. */
export function answers<T extends z.ZodType>(
  description: string,
  schema: T,
): JsonContent<T> & { readonly description: string; readonly headers: z.ZodObject } {
  return { description, headers: EtagHeader, ...json(schema) };
}

const EtagHeader = z.object({
  etag: z.string().optional().openapi({ description: "Of the tenant; for If-Match", example: '"3"' }),
});

function problem(description: string): Responses[string] {
  return { description, ...json(ErrorSchema) };
}

/** What every route may answer instead. Each is thrown, and written by the one place that writes errors. */
export const PROBLEMS = {
  400: problem("Something in the request is not as it must be"),
  401: problem("No token, or one that is not known"),
  403: problem("The token may not do this, or not for this tenant"),
  404: problem("There is no such tenant or token, or it is being deleted"),
  429: problem("Too many, or a change is under way; Retry-After says when to come again"),
  503: problem("The tenant's object is not reachable, or there is no admin secret yet"),
} as const satisfies Responses;

/** Also of a change. */
export const CHANGE_PROBLEMS = {
  ...PROBLEMS,
  412: problem("The tenant has another version than If-Match names; ETag is the one it has"),
  413: problem("The body is larger than 64 KiB"),
} as const satisfies Responses;
