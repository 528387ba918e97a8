// The Tenant object's methods as their callers see them. Fields may be added, never changed, as in rpc.ts.

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
}

/** Expected refusals are values. `rate_limited`: a change is under way, to be tried again later. */
export type TenantReply =
  | { readonly ok: true; readonly view: TenantView }
  | { readonly ok: false; readonly kind: "invalid_argument" | "not_found"; readonly message: string }
  | {
      readonly ok: false;
      readonly kind: "rate_limited";
      readonly message: string;
      readonly retryAfterMs: number;
    };

/** What a shard measured: the reason why it asks for more shards. */
export interface ShardLoad {
  readonly appendsPerSecond: number;
  /** Inflated. */
  readonly rawBytesPerSecond: number;
}

export interface TenantRpc {
  /** A tenant that nobody ever set anything for has one shard and the defaults; asking leaves nothing behind. */
  view(): Promise<TenantView>;
  /** Spreads new spans over `count` shards, once every Worker knows. */
  setShardCount(count: number): Promise<TenantReply>;
  /** Doubles the shards if shard number `shard` is one of the newest version and the last change is long enough ago. */
  requestGrowth(shard: number, load: ShardLoad): Promise<TenantReply>;
  /** @param ms undefined goes back to the installation's default */
  setRetention(ms: number | undefined): Promise<TenantReply>;
  /** Begins to delete everything of the tenant; goes on by itself. Also when it has begun already. */
  startDeletion(): Promise<TenantReply>;
  /** What the alarm does at time `now` (ms). */
  tick(now: number): Promise<void>;
}
