// What wrangler.toml binds.
import type { Variables } from "../model/config.ts";
import type { TraceShardRpc } from "./rpc.ts";

/** Durable Objects of one class, reached by name. */
export interface ShardNamespace {
  getByName(name: string): TraceShardRpc;
}

export interface Bindings extends Variables {
  readonly TRACE_SHARD: ShardNamespace;
  readonly BLOCKS: R2Bucket;
}
