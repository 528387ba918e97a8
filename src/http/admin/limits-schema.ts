// Limits by the names of Tempo's overrides, as the specs in the model say.
import {
  TENANT_LIMIT_FIELDS,
  TENANT_LIMIT_SPECS,
  type TenantLimitOverrides,
  type TenantLimits,
  TOKEN_LIMIT_FIELDS,
} from "../../model/tenant-limits.ts";
import { z } from "./schemas.ts";

type Field = keyof TenantLimits;

function limitSchema(field: Field): z.ZodNumber {
  const { unit, min, max } = TENANT_LIMIT_SPECS[field];
  return z
    .int()
    .min(min)
    .max(max)
    .openapi({ description: `In ${unit}` });
}

/** A part of them. */
function someOf(fields: readonly Field[]): z.ZodObject<Record<string, z.ZodOptional<z.ZodNumber>>> {
  return z.strictObject(
    Object.fromEntries(
      fields.map((field) => [TENANT_LIMIT_SPECS[field].override, limitSchema(field).optional()]),
    ),
  );
}

/** What a change names; `null` goes back to the installation's default. */
export const LimitPatchSchema: z.ZodObject<Record<string, z.ZodOptional<z.ZodNullable<z.ZodNumber>>>> = z
  .strictObject(
    Object.fromEntries(
      TENANT_LIMIT_FIELDS.map((field) => [
        TENANT_LIMIT_SPECS[field].override,
        limitSchema(field).nullable().optional(),
      ]),
    ),
  )
  .openapi("LimitPatch");

export const LimitsSchema = z
  .object({
    tenant: z.string(),
    set: someOf(TENANT_LIMIT_FIELDS).openapi({ description: "What was set for the tenant" }),
    limits: z
      .strictObject(
        Object.fromEntries(
          TENANT_LIMIT_FIELDS.map((field) => [TENANT_LIMIT_SPECS[field].override, limitSchema(field)]),
        ),
      )
      .openapi({ description: "What holds: the rest are the installation's defaults" }),
  })
  .openapi("Limits");

/** A token's own, within its tenant's. */
export const TokenLimitsSchema = someOf(TOKEN_LIMIT_FIELDS).openapi("TokenLimits");

/** By Tempo's names. */
export function namedLimits(limits: TenantLimitOverrides): Record<string, number> {
  return Object.fromEntries(
    TENANT_LIMIT_FIELDS.flatMap((field) => {
      const value = limits[field];
      return value === undefined ? [] : [[TENANT_LIMIT_SPECS[field].override, value]];
    }),
  );
}
