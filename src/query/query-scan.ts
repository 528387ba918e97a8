// What queries over many spans are given and what they report, whatever they ask.
import type { Limits } from "../model/limits.ts";
import type { ScanCache } from "../scan/scan-cache.ts";
import type { TraceShardRpc } from "../store/rpc.ts";
import type { ScannerRpc } from "../store/scanner-rpc.ts";
import type { RangeReader, SourceFailure } from "./sources.ts";

/** A shard that may hold spans of a tenant, and its name: of all shards, not only of the tenant's. */
export interface ScannedShard {
  readonly name: string;
  readonly shard: Pick<
    TraceShardRpc,
    "snapshot" | "readSegments" | "findBeyond" | "findTrace" | "noteFailedReads"
  >;
}

export interface ScanDeps {
  readonly limits: Limits;
  readonly objects: RangeReader;
  /** Every shard that may hold spans of the tenants. */
  readonly shards: readonly ScannedShard[];
  /** The isolate's: what it keeps from query to query. */
  readonly cache: ScanCache;
  /** Is told what a query looked at. */
  readonly noteInspected?: (inspected: InspectedBytes) => void;
  /** The scan pool; absent: there is none, and the Worker looks into all blocks by itself. */
  readonly scannerOf?: ((name: string) => ScannerRpc) | undefined;
}

export interface InspectedBytes {
  /** Wherever that was: see ScanReport. */
  readonly all: number;
  /**
   * What the CPU time of this isolate goes by: what it looked at itself, and messages to Scanners and from them. A Scanner is an
   * object, which is charged for by the time that it is asked.
   */
  readonly here: number;
}

/** Unix nanoseconds, both ends included. */
export interface ScanWindow {
  readonly startNs: bigint;
  readonly endNs: bigint;
}

/**
 * What was read for an answer. A job is a block or an epoch of a shard's buffer; fewer completed than total jobs mean that
 * the answer is partial, and `failures` says why: what could not be read, or lay beyond a limit (`too_large`).
 */
export interface ScanReport {
  /** Inflated bytes of live spans and bytes of blocks' columns, read or from a cache, here or in the scan pool. */
  readonly inspectedBytes: number;
  /** Blocks of the window, and their bytes. */
  readonly totalBlocks: number;
  readonly totalBlockBytes: number;
  readonly totalJobs: number;
  readonly completedJobs: number;
  readonly failures: readonly SourceFailure[];
}
