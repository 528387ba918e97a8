// Writes a block: OTLP bytes in any order -> Parquet file in order of the trace ids.
import type { WrittenBlock } from "./meta.ts";

export interface WriteOptions {
  /** zstd level of all pages: 3 at flush, 6 at compaction. */
  readonly zstdLevel: number;
  /** Bits per fingerprint of the trace-id filter: false positives 2^-8 or 2^-16. Default 16. */
  readonly filterBits?: 8 | 16;
  /** Awaited every few thousand spans, so that a single-threaded caller can serve others meanwhile. */
  readonly pause?: () => Promise<void>;
}

/**
 * Writes all spans of `source` as one block.
 *
 * @param source raw OTLP `TracesData` messages, validated (ids of 16 and 8 bytes). The arrays are referenced, not
 *   copied, until the promise settles: they must not change meanwhile.
 * @param sink takes the file's bytes in order; each array is handed over (the writer does not touch it again).
 * @throws AppError `invalid_argument` when a message is not valid OTLP. What the sink got by then is to be discarded.
 */
export async function writeBlock(
  source: AsyncIterable<Uint8Array>,
  sink: (bytes: Uint8Array) => void,
  options: WriteOptions,
): Promise<WrittenBlock> {
  void [source, sink, options];
  throw new Error("not implemented yet");
}
