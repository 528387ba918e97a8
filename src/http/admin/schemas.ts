// What the admin API takes and answers. The OpenAPI document is made of the same schemas that check requests.
import { z } from "@hono/zod-openapi";
import { parseTenantId } from "../../model/ids.ts";
import { messageOf } from "../../util/errors.ts";

export { z };

/** Checked by the same function as everywhere; the document says it in its own words. */
export const TenantIdSchema = z
  .string()
  .superRefine((text, context) => {
    try {
      parseTenantId(text);
    } catch (error) {
      context.addIssue({ code: "custom", message: messageOf(error) });
    }
  })
  .openapi("TenantId", {
    description: "1 to 150 letters, digits and ! - _ . * ' ( ); not . or ..",
    pattern: "^[A-Za-z0-9!\\-_.*'()]{1,150}$",
    example: "acme",
  });

export const Time = z.iso
  .datetime()
  .openapi({ description: "RFC 3339, UTC", example: "2026-11-23T00:00:00.000Z" });
const Version = z
  .int()
  .min(0)
  .openapi({ description: "Counts the changes made by people; the ETag's number" });

export const TenantParams = z.object({
  tenant: TenantIdSchema.openapi({ param: { name: "tenant", in: "path" } }),
});

export const ChangeHeaders = z.object({
  "if-match": z.string().optional().openapi({
    description: "The change is made only while the tenant has this ETag; otherwise 412 with the one it has",
    example: '"3"',
  }),
});

export const ErrorSchema = z
  .object({
    error: z.object({
      kind: z.string().openapi({ example: "invalid_argument" }),
      message: z.string(),
    }),
  })
  .openapi("Error");

export const TenantSchema = z
  .object({
    tenant: TenantIdSchema,
    state: z.enum(["active", "deleting"]),
    version: Version,
    shards: z.int().openapi({ description: "Shards that spans are written to now" }),
    shardMap: z.array(z.object({ from: Time, shards: z.int() })),
    retentionHours: z.number(),
    retentionIsDefault: z.boolean(),
  })
  .openapi("Tenant");

export const TenantStatsSchema = TenantSchema.extend({
  stats: z.array(
    z
      .looseObject({ shard: z.int(), error: z.string().optional() })
      .openapi({ description: "What the shard holds and does, or why it did not say" }),
  ),
}).openapi("TenantWithStats");

export const TenantListSchema = z
  .object({
    tenants: z.array(z.object({ tenant: TenantIdSchema })),
    next: TenantIdSchema.optional().openapi({
      description: "There are more: what `after` is for the next page",
    }),
  })
  .openapi("TenantList");

export const NewTenantSchema = z.strictObject({ tenant: TenantIdSchema }).openapi("NewTenant");
export const ShardCountSchema = z
  .strictObject({ count: z.number().openapi({ description: "A power of 2 from 1 to 64" }) })
  .openapi("ShardCount");
export const RetentionSchema = z
  .strictObject({ hours: z.number().nullable().openapi({ description: "null: the installation's default" }) })
  .openapi("Retention");
const Usd = z.number().nullable().optional();
export const SpendCapSchema = z
  .strictObject({
    dayUsd: Usd.openapi({ description: "USD a day (UTC); null: no limit", example: 2 }),
    monthUsd: Usd.openapi({ description: "USD a month (UTC); null: no limit", example: 40 }),
    action: z.enum(["reject", "sample"]).optional().openapi({
      description: "At the cap: refuse spans with 429, or keep traces with errors and a share of the others",
      default: "reject",
    }),
    keepShare: z.number().optional().openapi({ description: "Of `sample`, from 0 to 1", default: 0.1 }),
  })
  .openapi("SpendCap");
export const RebuildSchema = z.object({ tenant: TenantIdSchema, shards: z.int() }).openapi("Rebuild");

/** A page: numbers in a query are text. */
export function limitParam(max: number, fallback: number): z.ZodType<number, string | undefined> {
  return z
    .string()
    .regex(/^\d{1,6}$/, "must be a whole number")
    .optional()
    .transform((text) => (text === undefined ? fallback : Number(text)))
    .pipe(z.int().min(1).max(max))
    .openapi({ type: "integer", minimum: 1, maximum: max, default: fallback });
}

export const AuditQuery = z.object({
  limit: limitParam(1_000, 100),
  before: z
    .string()
    .regex(/^\d{1,15}$/, "must be a whole number")
    .optional()
    .transform((text) => (text === undefined ? undefined : Number(text)))
    .openapi({ type: "integer", description: "Only entries with smaller ids: `next` of the page before" }),
});
export const AuditSchema = z
  .object({
    entries: z
      .array(z.object({ id: z.int(), at: Time, actor: z.string(), action: z.string(), detail: z.string() }))
      .openapi({ description: "The newest first" }),
    next: z.int().optional().openapi({ description: "There are older ones: what `before` is for them" }),
  })
  .openapi("AuditLog");
