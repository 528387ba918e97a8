// What a tenant has used, put together from its shards.
import { PLATFORM } from "../model/limits.ts";
import { shardName } from "../store/keys.ts";
import type { TenantView } from "../store/tenant-rpc.ts";
import type { UsageLedger } from "../usage/ledger.ts";
import { decodeUsage, UsageDays } from "../usage/usage-days.ts";
import { AppError } from "../util/errors.ts";
import { settleAll } from "../util/parallel.ts";
import type { UsagePorts } from "./deps.ts";

/** Days since 1970, both included. */
export interface DayRange {
  readonly from: number;
  readonly to: number;
}

/**
 * The days of all shards, with what this isolate has counted itself; none of a tenant that is being deleted.
 * @throws AppError `unavailable` when a shard cannot be reached
 */
export async function tenantUsage(
  tenant: string,
  { state, shardCount }: Pick<TenantView, "state" | "shardCount">,
  { from, to }: DayRange,
  {
    ports,
    ledger,
  }: { readonly ports: Pick<UsagePorts, "shardOf">; readonly ledger: UsageLedger | undefined },
): Promise<UsageDays> {
  const usage = new UsageDays();
  if (state !== "active") return usage;
  const shards = Array.from({ length: shardCount }, (_, index) => index);
  const parts = await settleAll(shards, PLATFORM.connections, async (index) => {
    const shard = ports.shardOf(tenant, index);
    if (ledger === undefined) return shard.usage(from, to);
    return ledger.carryAll(tenant, shardName(tenant, index), (deltas) => shard.usage(from, to, deltas));
  });
  for (const part of parts) {
    if (part.status === "rejected") {
      throw new AppError("unavailable", `a shard of tenant "${tenant}" is not reachable`, {
        retryAfterMs: 1_000,
        cause: part.reason,
      });
    }
    usage.merge(decodeUsage(part.value));
  }
  return usage;
}
