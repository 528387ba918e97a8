// What a tenant has used, as it is answered.
import { Time, z } from "./schemas.ts";

const Usd = z.number();
const Count = z.number().int().min(0);
const Day = z.string().openapi({ format: "date", example: "2026-11-30" });

const ServiceSchema = z.object({ service: z.string(), spans: Count, bytes: Count });

const SpendCapStateSchema = z.object({
  dayUsd: Usd.nullable(),
  monthUsd: Usd.nullable(),
  action: z.enum(["reject", "sample"]),
  keepShare: z.number().nullable(),
  warnAt: z.number(),
  state: z.enum(["ok", "warning", "capped"]),
  until: Time.nullable(),
  todayUsd: Usd,
  monthToDateUsd: Usd,
  atTheCap: z.string().openapi({ description: "What happens at the cap, in words" }),
});

const TenantUsageSchema = z.object({
  tenant: z.string(),
  usd: Usd,
  units: z.record(z.string(), z.object({ units: z.number(), unit: z.string(), usd: Usd })),
  spans: Count,
  spanBytes: Count,
  bytesIn: Count,
  refusedSpans: z.record(z.string(), Count).openapi({ description: "By reason" }),
  usdPer1e9Spans: Usd.nullable(),
  monthToDate: z.object({ usd: Usd }),
  forecast: z.object({ usd: Usd, how: z.string() }),
  spendCap: SpendCapStateSchema.nullable(),
  topServices: z.object({ bySpans: z.array(ServiceSchema), byBytes: z.array(ServiceSchema) }),
  tokens: z.array(
    z.object({
      id: z.string(),
      name: z.string().nullable(),
      requests: Count,
      spans: Count,
      bytes: Count,
      lastUsed: Time,
    }),
  ),
  days: z.array(z.object({ day: Day, usd: Usd, spans: Count })),
});

export const UsageSchema = z
  .object({
    from: Day,
    to: Day,
    priceTable: z.object({
      date: Day,
      note: z.string(),
      prices: z.record(
        z.string(),
        z.object({ unit: z.string(), usdPerMillion: Usd, includedPerMonth: z.number() }),
      ),
    }),
    tenants: z.array(TenantUsageSchema),
  })
  .openapi("Usage");

export const UsageQuery = z.object({
  from: Day.optional().openapi({ description: "UTC; absent: the first of the month" }),
  to: Day.optional().openapi({ description: "UTC; absent: today" }),
});
