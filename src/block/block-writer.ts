// Writes a block: OTLP bytes in any order -> Parquet file in order of the trace ids.
import { TRACE_ID_BYTES } from "../model/ids.ts";
import { concatBytes, freeBytes } from "../util/bytes.ts";
import { BlockBuilder } from "./block-builder.ts";
import { planColumns } from "./column-plan.ts";
import type { WrittenBlock } from "./meta.ts";
import { OTLP_PAGE_BYTES } from "./otlp-pages.ts";
import { SpanIndex } from "./span-index.ts";
import { WORDS } from "./span-scanner.ts";
import { COST_US, Stretches } from "./stretches.ts";
import { TraceFeeder } from "./trace-feeder.ts";

export interface WriteOptions {
  /** zstd level of all pages: 3 at flush, 6 at compaction. */
  readonly zstdLevel: number;
  /** Bits per fingerprint of the trace-id filter: false positives 2^-8 or 2^-16. Default 16. */
  readonly filterBits?: 8 | 16;
  /** When the spans were flushed, in ms since the epoch. */
  readonly arrivedMs: number;
  /** Awaited every few milliseconds, so that a single-threaded caller can serve others meanwhile. */
  readonly pause?: () => Promise<void>;
}

/**
 * The columns of spans for who is about to search them: a block in memory, without otlp_span and filter, not compressed.
 * Rows are those of `writeBlock`.
 * @param source as for `writeBlock`
 * @throws as `writeBlock` does
 */
export async function writeColumns(
  source: Iterable<Uint8Array>,
  pause: () => Promise<void> = noPause,
): Promise<Uint8Array> {
  const index = new SpanIndex();
  for (const bytes of source) index.add(bytes);
  const chunks: Uint8Array[] = [];
  const stretches = new Stretches(pause);
  const plan = planColumns(index.keys, index.count);
  const builder = new BlockBuilder((bytes) => void chunks.push(bytes), plan, index.keys, {
    zstdLevel: 0,
    otlpPageBytes: OTLP_PAGE_BYTES,
    isColumnsOnly: true,
    filterBits: 16,
    arrivedMs: 0,
    replaces: [],
    stretches,
  });
  await new Feeder(index, builder, stretches).run();
  await builder.finish();
  const file = concatBytes(chunks);
  for (const chunk of chunks) freeBytes(chunk);
  return file;
}

/**
 * Writes all spans of `source` as one block. The same spans in any order give the same rows; of exact duplicates (same
 * bytes, resource and scope) one is kept.
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
  const stretches = new Stretches(options.pause ?? noPause);
  const index = new SpanIndex();
  for await (const bytes of source) {
    const before = index.count;
    index.add(bytes);
    await stretches.before((index.count - before) * COST_US.span);
  }
  const plan = planColumns(index.keys, index.count);
  const builder = new BlockBuilder(sink, plan, index.keys, {
    zstdLevel: options.zstdLevel,
    otlpPageBytes: OTLP_PAGE_BYTES,
    filterBits: options.filterBits ?? 16,
    arrivedMs: options.arrivedMs,
    replaces: [],
    stretches,
  });
  await new Feeder(index, builder, stretches).run();
  return builder.finish();
}

async function noPause(): Promise<void> {
  // Nobody waits.
}

/** Puts the spans of an index in order, trace by trace, into a builder. */
class Feeder {
  readonly #index: SpanIndex;
  readonly #traces: TraceFeeder;

  constructor(index: SpanIndex, builder: BlockBuilder, stretches: Stretches) {
    this.#index = index;
    this.#traces = new TraceFeeder(index, builder, stretches);
  }

  async run(): Promise<void> {
    const index = this.#index;
    const { spans, starts } = this.#byTrace();
    for (const trace of this.#sortedTraces()) {
      const members = spans.subarray(starts[trace] ?? 0, starts[trace + 1] ?? 0);
      await this.#traces.add(index.traceIds.value(trace), members);
    }
  }

  /** Spans grouped by trace: those of trace t are [starts[t], starts[t + 1]). */
  #byTrace(): { spans: Uint32Array; starts: Uint32Array } {
    const index = this.#index;
    const starts = new Uint32Array(index.traceIds.size + 1);
    for (let span = 0; span < index.count; span++) {
      const trace = index.word(span, WORDS.trace);
      starts[trace + 1] = (starts[trace + 1] ?? 0) + 1;
    }
    for (let trace = 0; trace < index.traceIds.size; trace++) {
      starts[trace + 1] = (starts[trace + 1] ?? 0) + (starts[trace] ?? 0);
    }
    const next = starts.slice();
    const spans = new Uint32Array(index.count);
    for (let span = 0; span < index.count; span++) {
      const trace = index.word(span, WORDS.trace);
      const at = next[trace] ?? 0;
      spans[at] = span;
      next[trace] = at + 1;
    }
    return { spans, starts };
  }

  /** Numbers of the traces, ascending by id. */
  #sortedTraces(): Uint32Array {
    const { traceIds } = this.#index;
    const count = traceIds.size;
    // Ids as big-endian words, so that a comparison is mostly one subtraction.
    const words = new Uint32Array(4 * count);
    const order = new Uint32Array(count);
    for (let trace = 0; trace < count; trace++) {
      const id = traceIds.value(trace);
      const view = new DataView(id.buffer, id.byteOffset, TRACE_ID_BYTES);
      for (let word = 0; word < 4; word++) words[4 * trace + word] = view.getUint32(4 * word);
      order[trace] = trace;
    }
    return order.sort((a, b) => {
      for (let word = 0; word < 4; word++) {
        const difference = (words[4 * a + word] ?? 0) - (words[4 * b + word] ?? 0);
        if (difference !== 0) return difference;
      }
      return 0;
    });
  }
}
