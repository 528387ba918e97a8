// Several blocks into one: compaction's core.
import { AppError, isAppError, messageOf } from "../util/errors.ts";
import { writeBlock } from "./block-writer.ts";
import type { WrittenBlock } from "./meta.ts";
import { openBlock, type RangeSource } from "./reader.ts";
import { readAllSpans } from "./read-trace.ts";
import { TraceIndex } from "./trace-index.ts";

export interface MergeOptions {
  /** zstd level of all pages. */
  readonly zstdLevel: number;
  /** A row group ends before the trace that would take it beyond this number of spans. */
  readonly rowGroupSpans: number;
  /** When the newest of the spans were flushed, in ms since the epoch. */
  readonly arrivedMs: number;
  /** Ids of the input blocks. */
  readonly replaces: readonly number[];
  /** Awaited every few thousand spans, so that a single-threaded caller can serve others meanwhile. */
  readonly pause: () => Promise<void>;
}

/**
 * Merges blocks of any version into one of the newest. Spans of one trace come together, exact duplicates vanish.
 *
 * @param inputs at least one
 * @param sink takes the file's bytes in order and owns them; it is awaited, which holds the merge back
 * @throws AppError `corrupt` when an input is damaged, naming its position among `inputs`; whatever `sink` or an input's
 *   `read` throws
 */
export async function mergeBlocks(
  inputs: readonly RangeSource[],
  sink: (bytes: Uint8Array) => Promise<void> | void,
  options: MergeOptions,
): Promise<WrittenBlock> {
  const chunks: Uint8Array[] = [];
  const { pause, zstdLevel, arrivedMs } = options;
  const written = await writeBlock(spansOf(inputs), (bytes) => void chunks.push(bytes), {
    pause,
    zstdLevel,
    arrivedMs,
  });
  for (const chunk of chunks) await sink(chunk);
  return written;
}

async function* spansOf(inputs: readonly RangeSource[]): AsyncGenerator<Uint8Array> {
  for (const [number, input] of inputs.entries()) {
    try {
      const { traceIndex, resources } = await (await openBlock(input)).written();
      for (const page of new TraceIndex(traceIndex).pageRuns().flat()) {
        const bytes = await input.read({ offset: page.offset, length: page.byteLength });
        yield readAllSpans(bytes, resources);
      }
    } catch (error) {
      if (!isAppError(error) || error.kind !== "corrupt") throw error;
      throw new AppError("corrupt", `input ${number}: ${messageOf(error)}`, { cause: error });
    }
  }
}
