// What a shard knows about its blocks without opening them.
import type { BlockMeta } from "../block/meta.ts";
import type { StoredObject } from "./object-store.ts";

const NS_PER_SECOND = 1_000_000_000n;

/** A committed block. */
export interface CatalogueBlock {
  /** The epoch it was flushed from, or the job that merged it. */
  readonly id: number;
  readonly key: string;
  readonly etag: string;
  readonly byteLength: number;
  readonly spanCount: number;
  readonly traceCount: number;
  /** Inflated span bytes. */
  readonly rawBytes: number;
  /** Whole seconds since 1970 around the spans' times: [minStart, maxEnd]. */
  readonly minStartSeconds: number;
  readonly maxEndSeconds: number;
  /** Version of the block format. */
  readonly version: number;
  /** When its newest spans were flushed, in ms: the greatest epoch in it. Decides its date. */
  readonly arrivedMs: number;
}

/** The large parts of a catalogue entry, formats in block/FORMAT.md. */
export interface BlockTail {
  readonly filter: Uint8Array;
  readonly traceIndex: Uint8Array;
  readonly resources: Uint8Array;
}

/** Spans' times, in whole seconds since 1970, both ends included. */
export interface TimeRange {
  /** Undefined: from the beginning. */
  readonly startSeconds?: number | undefined;
  /** Undefined: to the end. */
  readonly endSeconds?: number | undefined;
}

/** Whether spans that begin and end within these seconds may lie in the range. */
export function overlapsRange(
  spans: { readonly minStartSeconds: number; readonly maxEndSeconds: number },
  { startSeconds = -Infinity, endSeconds = Infinity }: TimeRange,
): boolean {
  return spans.maxEndSeconds >= startSeconds && spans.minStartSeconds <= endSeconds;
}

/** Whole seconds around two times in ns. */
export function wholeSeconds({
  minStartNs,
  maxEndNs,
}: {
  readonly minStartNs: bigint;
  readonly maxEndNs: bigint;
}): Pick<CatalogueBlock, "minStartSeconds" | "maxEndSeconds"> {
  return {
    minStartSeconds: Number(minStartNs / NS_PER_SECOND),
    maxEndSeconds: Number((maxEndNs + NS_PER_SECOND - 1n) / NS_PER_SECOND),
  };
}

/**
 * The entry of a block that is stored.
 * @param arrivedMs used when the block does not say, which was so in version 1
 */
export function catalogueBlock(
  id: number,
  { key, etag, byteLength }: StoredObject,
  meta: BlockMeta,
  arrivedMs: number,
): CatalogueBlock {
  return {
    id,
    key,
    etag,
    byteLength,
    spanCount: meta.spanCount,
    traceCount: meta.traceCount,
    rawBytes: meta.rawBytes,
    ...wholeSeconds(meta),
    version: meta.version,
    arrivedMs: meta.arrivedMs ?? arrivedMs,
  };
}
