// What wrangler.toml binds.
import type { Variables } from "../model/config.ts";
import type { S3Variables } from "../model/s3-config.ts";
import type { TraceShardRpc } from "./rpc.ts";

/** Durable Objects of one class, reached by name. */
export interface ShardNamespace {
  getByName(name: string): TraceShardRpc;
}

export interface Bindings extends Variables, S3Variables {
  readonly TRACE_SHARD: ShardNamespace;
  /** Absent only where another object store is set, see object-store-for.ts. */
  readonly BLOCKS?: R2Bucket;
}
