// What is known about a block once it is written. See FORMAT.md.

/** Half-open byte range [offset, offset + length) of a block's file. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** Facts about a block that a query plan needs without opening the file. */
export interface BlockMeta {
  /** Version of the format; see FORMAT.md. */
  readonly version: 1 | 2;
  /** Rows of the file: spans after exact duplicates were removed. */
  readonly spanCount: number;
  readonly traceCount: number;
  /** Earliest start of a span, in ns since the epoch, as sent (unsigned 64 bit). */
  readonly minStartNs: bigint;
  /** Latest moment of a span: the maximum of all starts and ends, in ns since the epoch (unsigned 64 bit). */
  readonly maxEndNs: bigint;
  /** Smallest trace id of the block, 16 bytes; zeros when the block is empty. */
  readonly firstTraceId: Uint8Array;
  /** Greatest trace id of the block, 16 bytes; zeros when the block is empty. */
  readonly lastTraceId: Uint8Array;
  /** Bytes of the file. */
  readonly byteLength: number;
  /** Bytes of the spans as sent, without resources and scopes. */
  readonly rawBytes: number;
  /**
   * When the newest of its spans were flushed: ms since the epoch. Undefined in version 1: there it is the id in the
   * object's key.
   */
  readonly arrivedMs: number | undefined;
  /** Ids of the blocks that it was merged from; of a flush none. */
  readonly replaces: readonly number[];
}

/**
 * What the catalogue keeps, so that a lookup is one range read. The three parts are also in the file's tail.
 * Each array owns its buffer.
 */
export interface WrittenBlock {
  readonly meta: BlockMeta;
  /** For `tracePages`: where each page of `otlp_span` lies and which trace it begins with. */
  readonly traceIndex: Uint8Array;
  /** For `mayHoldTrace`: binary fuse filter over the trace ids. */
  readonly filter: Uint8Array;
  /** For `readTracePages`: resources and scopes by index. */
  readonly resources: Uint8Array;
}
