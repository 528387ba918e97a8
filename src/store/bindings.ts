// What wrangler.toml binds.
import type { Variables } from "../model/config.ts";
import type { S3Variables } from "../model/s3-config.ts";
import type { CompactorRpc } from "./compactor-rpc.ts";
import type { DirectoryRpc } from "./directory-rpc.ts";
import type { TraceShardRpc } from "./rpc.ts";
import type { ScannerRpc } from "./scanner-rpc.ts";
import type { TenantRpc } from "./tenant-rpc.ts";

/** Durable Objects of one class, reached by name. */
export interface ShardNamespace {
  getByName(name: string): TraceShardRpc;
}

export interface CompactorNamespace {
  getByName(name: string): CompactorRpc;
}

export interface TenantNamespace {
  /** @param name the tenant's id */
  getByName(name: string): TenantRpc;
}

export interface DirectoryNamespace {
  /** @param name DIRECTORY_NAME */
  getByName(name: string): DirectoryRpc;
}

export interface ScannerNamespace {
  /** @param name `scannerName` */
  getByName(name: string): ScannerRpc;
}

export interface Bindings extends Variables, S3Variables {
  readonly TRACE_SHARD: ShardNamespace;
  readonly TENANT: TenantNamespace;
  readonly DIRECTORY: DirectoryNamespace;
  /** Each has the name of its shard. */
  readonly COMPACTOR: CompactorNamespace;
  readonly SCANNER: ScannerNamespace;
  /** Absent only where another object store is set, see object-store-for.ts. */
  readonly BLOCKS?: R2Bucket;
}
