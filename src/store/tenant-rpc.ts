// The Tenant object's methods as their callers see them. Fields may be added, never changed, as in rpc.ts.
import type { SpendCap, SpendSettings } from "../model/spend.ts";
import type { TenantLimitOverrides } from "../model/tenant-limits.ts";
import type { TokenRecord } from "../model/token.ts";
import type { InsightRpc } from "./insight-rpc.ts";

/** How many shards a tenant's spans are spread over from a time on. */
export interface ShardMapVersion {
  /** Milliseconds since 1970. */
  readonly fromMs: number;
  /** A power of 2. */
  readonly count: number;
}

/** What Workers need to know of a tenant, and keep for some seconds. */
export interface TenantView {
  /** `deleting`: nothing is taken in or found any more. */
  readonly state: "active" | "deleting";
  /** By time, ascending; one at least. Later ones may be in the future, older ones that hold no span are left out. */
  readonly versions: readonly ShardMapVersion[];
  /** Shards that may hold something: the greatest count ever. */
  readonly shardCount: number;
  /** Milliseconds that spans are kept; undefined: the installation's default. */
  readonly retentionMs?: number | undefined;
  /** What was set of its limits; the rest are the installation's defaults. */
  readonly limits?: TenantLimitOverrides;
  /** All that are not revoked, also those that have expired. */
  readonly tokens?: readonly TokenRecord[];
  /** Undefined: there is no cap. */
  readonly spend?: SpendSettings | undefined;
  /** What the object cost since somebody last took it along to a shard: usage/usage-days.ts. */
  readonly usage?: Uint8Array;
  /** Counts the changes made by people: what `Change.ifVersion` is compared with. */
  readonly version?: number;
}

/** A change made by somebody, not by the installation itself. It goes into the audit log. */
export interface Change {
  readonly actor: string;
  /** The change is refused when the tenant has another version by now. */
  readonly ifVersion?: number | undefined;
}

/** A line of the audit log. */
export interface AuditEntry {
  /** Ascending, without gaps but at the beginning: old ones are dropped. */
  readonly id: number;
  readonly atMs: number;
  readonly actor: string;
  /** A verb, like `create token`. */
  readonly action: string;
  /** What was changed to what; no secrets. */
  readonly detail: string;
}

/** What a tenant set by `/api/overrides`, as the text of a JSON object that the caller has checked. */
export interface StoredOverrides {
  /** Counts the changes, deletions too, so that none is ever repeated. */
  readonly version: number;
  /** Undefined: nothing is set. */
  readonly json: string | undefined;
}

/** Expected refusals are values. `rate_limited`: a change is under way, to be tried again later. */
export type TenantReply =
  | { readonly ok: true; readonly view: TenantView }
  | {
      readonly ok: false;
      readonly kind: "invalid_argument" | "not_found" | "conflict";
      readonly message: string;
      /** Of a conflict with `Change.ifVersion`: the version that there is. */
      readonly version?: number;
    }
  | {
      readonly ok: false;
      readonly kind: "rate_limited";
      readonly message: string;
      readonly retryAfterMs: number;
    };

export type OverridesReply =
  | { readonly ok: true; readonly overrides: StoredOverrides }
  | Extract<TenantReply, { ok: false }>;

/** What a shard measured: the reason why it asks for more shards. */
export interface ShardLoad {
  readonly appendsPerSecond: number;
  /** Inflated. */
  readonly rawBytesPerSecond: number;
}

/** What one shard has cost, today and this month, today included. */
export interface SpendReport {
  /** Which day it speaks of (since 1970, UTC). */
  readonly day: number;
  readonly dayUsd: number;
  readonly monthUsd: number;
}

export interface TenantRpc extends InsightRpc {
  /**
   * A tenant that nobody ever set anything for has one shard and the defaults; asking leaves nothing behind.
   * @param takesUsage whether the caller counts for the tenant, and takes what the object cost
   */
  view(takesUsage?: boolean): Promise<TenantView>;
  /** Spreads new spans over `count` shards, once every Worker knows. */
  setShardCount(count: number, change?: Change): Promise<TenantReply>;
  /** Doubles the shards if shard number `shard` is one of the newest version and the last change is long enough ago. */
  requestGrowth(shard: number, load: ShardLoad): Promise<TenantReply>;
  /** @param ms undefined goes back to the installation's default */
  setRetention(ms: number | undefined, change?: Change): Promise<TenantReply>;
  /** Replaces all that was set of its limits. Workers and shards know within a minute. */
  setLimits(limits: TenantLimitOverrides, change?: Change): Promise<TenantReply>;
  /** Makes a tenant that nobody ever changed one that is known. Does nothing to others. */
  create(change: Change): Promise<TenantReply>;
  /** Begins to delete everything of the tenant; goes on by itself. Also when it has begun already. Its tokens are gone at once. */
  startDeletion(change?: Change): Promise<TenantReply>;
  /** @param cap undefined removes it */
  setSpendCap(cap: SpendCap | undefined, change?: Change): Promise<TenantReply>;
  /** What a shard has cost: the tenant judges the sum of all, and tells when it is too much. */
  reportSpend(shard: number, report: SpendReport): Promise<TenantReply>;
  addToken(token: TokenRecord, change: Change): Promise<TenantReply>;
  /** @param id of the token; `not_found` when there is none */
  revokeToken(id: string, change: Change): Promise<TenantReply>;
  /** Only writes down that somebody had the catalogue rebuilt. */
  noteRebuild(change: Change): Promise<TenantReply>;
  overrides(): Promise<StoredOverrides>;
  /**
   * @param json undefined: removes them
   * @param change its `ifVersion` is that of the overrides, 0 when there are none
   */
  setOverrides(json: string | undefined, change: Change): Promise<OverridesReply>;
  /** Entries with ids below `before`, the newest first, `limit` at most. */
  audit(limit: number, before?: number): Promise<readonly AuditEntry[]>;
  /** What the alarm does at time `now` (ms). */
  tick(now: number): Promise<void>;
}
