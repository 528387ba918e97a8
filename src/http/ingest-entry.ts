// Where a request's spans go, and which limits hold for them.
import type { Context } from "hono";
import type { Caller } from "../access/caller.ts";
import type { IngestTarget } from "../ingest/ingest.ts";
import { IsolateRates, type SenderRates } from "../ingest/sender-rates.ts";
import { type Limits, limitsOfTenant } from "../model/limits.ts";
import { BROWSER_KEY_LIMITS } from "../model/tenant-limits.ts";
import type { AppendCaller } from "../store/rpc.ts";
import { tenantOf } from "./access.ts";
import type { AppDeps, AppEnv } from "./deps.ts";

export interface IngestEntry {
  readonly target: IngestTarget;
  readonly limits: Limits;
  readonly rates: SenderRates;
}

/** @throws AppError `unauthenticated`, and `unavailable` and `not_found` as `ShardDirectory` */
export type FindEntry = (c: Context<AppEnv>) => Promise<IngestEntry>;

/** With rates that are counted as long as the app lives. */
export function ingestEntry(deps: AppDeps): FindEntry {
  const rates = new IsolateRates(deps.clock);
  return async (c) => {
    const tenant = tenantOf(c);
    const shards = await deps.shards.forWriting(tenant);
    const limits = limitsOfTenant(deps.limits, shards.limits);
    const caller = appendCaller(c.get("caller"));
    const own = rates.of(tenant, limits.tenant, caller);
    const sender = { nowMs: deps.clock.now(), caller, rates: own };
    return { target: { ...shards, sender }, limits, rates: own };
  };
}

function appendCaller({ token }: Caller): AppendCaller | undefined {
  if (token === undefined) return undefined;
  const { id: tokenId, limits, origins } = token;
  const own = limits ?? (origins.length > 0 ? BROWSER_KEY_LIMITS : undefined);
  return own === undefined ? { tokenId } : { tokenId, limits: own };
}
