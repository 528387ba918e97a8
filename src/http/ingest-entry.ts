// Where a request's spans go, and which limits hold for them.
import type { Context } from "hono";
import type { Caller } from "../access/caller.ts";
import type { IngestTarget } from "../ingest/ingest.ts";
import { IsolateRates } from "../ingest/sender-rates.ts";
import { type Limits, limitsOfTenant } from "../model/limits.ts";
import { BROWSER_KEY_LIMITS } from "../model/tenant-limits.ts";
import type { AppendCaller } from "../store/rpc.ts";
import { freeBytes } from "../util/bytes.ts";
import { tenantOf } from "./access.ts";
import type { AppDeps, AppEnv } from "./deps.ts";

/**
 * On average; half as much more or less, so that those who came together do not come together again. Less than the least
 * Retry-After: who heeds that loses nothing.
 */
export const REFUSAL_MS = 500;
/** Steps of this share of a range never come close to one another soon. */
const GOLDEN = 0.618;
/** Refused requests that wait at once; of one some 10 KB. Those beyond are answered at once. */
export const WAITING_MAX = 500;

export interface IngestEntry {
  readonly target: IngestTarget;
  readonly limits: Limits;
}

/**
 * @param body of the request, as it was sent: what is refused is freed
 * @throws AppError `unauthenticated`, `rate_limited` for a sender over its limits, of whose body nothing must be looked at,
 * and `unavailable` and `not_found` as `ShardDirectory`
 */
export type FindEntry = (c: Context<AppEnv>, body: Uint8Array) => Promise<IngestEntry>;

/** With rates that are counted as long as the app lives. */
export function ingestEntry(deps: AppDeps): FindEntry {
  const rates = new IsolateRates(deps.clock);
  const slowly = slowRefusals(deps.wait);
  return async (c, body) => {
    const tenant = tenantOf(c);
    const shards = await deps.shards.forWriting(tenant);
    const limits = limitsOfTenant(deps.limits, shards.limits);
    const caller = appendCaller(c.get("caller"));
    const own = rates.of(tenant, limits.tenant, caller);
    await slowly(() => own.enter(), body);
    const sender = { nowMs: deps.clock.now(), caller, rates: own };
    return { target: { ...shards, sender }, limits };
  };
}

/**
 * Who is refused before anything is looked at waits for the answer: a sender that comes back at once, whatever Retry-After
 * says, would take the thread from others and be billed request by request. Waiting takes no CPU.
 */
function slowRefusals(wait: AppDeps["wait"]): (check: () => void, body: Uint8Array) => Promise<void> {
  let waiting = 0;
  let spread = 0;
  return async (check, body) => {
    try {
      check();
    } catch (error) {
      // Hundreds of them would not fit the isolate.
      freeBytes(body);
      if (wait !== undefined && waiting < WAITING_MAX) {
        waiting++;
        spread = (spread + GOLDEN) % 1;
        await wait(REFUSAL_MS * (0.5 + spread)).finally(() => waiting--);
      }
      throw error;
    }
  };
}

function appendCaller({ token }: Caller): AppendCaller | undefined {
  if (token === undefined) return undefined;
  const { id: tokenId, limits, origins } = token;
  const own = limits ?? (origins.length > 0 ? BROWSER_KEY_LIMITS : undefined);
  return own === undefined ? { tokenId } : { tokenId, limits: own };
}
