// Several blocks into one: compaction's core. A k-way merge by trace id over the pages of whole spans, which feeds the
// same builder as a flush.
import { toHex } from "../util/hex.ts";
import { AppError, isAppError, messageOf } from "../util/errors.ts";
import { BlockBuilder } from "./block-builder.ts";
import { grownUint32 } from "./byte-buffer.ts";
import { ATTRIBUTE_TYPES, type ColumnPlan, planColumns } from "./column-plan.ts";
import type { KeyTable } from "./key-table.ts";
import { MergeInput } from "./merge-input.ts";
import type { WrittenBlock } from "./meta.ts";
import type { RangeSource } from "./range-source.ts";
import { SpanIndex } from "./span-index.ts";
import { COST_US, Stretches } from "./stretches.ts";
import { TraceFeeder } from "./trace-feeder.ts";

export interface MergeOptions {
  /** zstd level of all pages. */
  readonly zstdLevel: number;
  /** A row group ends before the trace that would take it beyond this number of spans. */
  readonly rowGroupSpans: number;
  /** When the newest of the spans were flushed, in ms since the epoch. */
  readonly arrivedMs: number;
  /** Ids of the input blocks. */
  readonly replaces: readonly number[];
  /** Awaited every few milliseconds, so that a single-threaded caller can serve others meanwhile. */
  readonly pause: () => Promise<void>;
}

/**
 * Bytes of a trace's spans that a merge puts in order: they are in memory together. A flush has 32 MiB at most, so that
 * only parts of a trace from several blocks exceed it; these blocks stay apart, and readers merge them.
 */
export const MERGE_TRACE_BYTES_MAX: number = 40 * 1024 * 1024;

const FILTER_BITS = 16;
/** 1.2 bytes a span less than pages of 512 KB; a lookup then reads some 105 KB. Such blocks are kept for weeks. */
const OTLP_PAGE_BYTES: number = 768 * 1024;

/**
 * Merges blocks of any version into one of the newest. Spans of one trace come together, exact duplicates vanish.
 * Of each input one page is in memory at a time, and what its `read` keeps.
 *
 * @param inputs at least one
 * @param sink takes the file's bytes in order and owns them; it is awaited, which holds the merge back
 * @throws AppError `corrupt` when an input is damaged, naming its position among `inputs`; `too_large` for a trace of more
 *   than MERGE_TRACE_BYTES_MAX; whatever `sink` or an input's `read` throws
 */
export async function mergeBlocks(
  inputs: readonly RangeSource[],
  sink: (bytes: Uint8Array) => Promise<void> | void,
  options: MergeOptions,
): Promise<WrittenBlock> {
  const opened: MergeInput[] = [];
  for (const [number, input] of inputs.entries()) {
    opened.push(await ofInput(number, () => MergeInput.open(input)));
    await options.pause();
  }
  const merge = new Merge(opened, sink, options);
  return merge.run();
}

class Merge {
  readonly #inputs: readonly MergeInput[];
  readonly #sink: (bytes: Uint8Array) => Promise<void> | void;
  readonly #options: MergeOptions;
  readonly #index = new SpanIndex("given");
  readonly #builder: BlockBuilder;
  readonly #traces: TraceFeeder;
  /** By input: the index's number of each of its owners. */
  readonly #resources: number[][];
  readonly #scopes: number[][];
  /** What was written and not yet taken. */
  #pending: Uint8Array[] = [];
  /** 0, 1, 2 ... */
  #members = new Uint32Array(0);
  readonly #stretches = new Stretches(() => this.#pause());

  constructor(
    inputs: readonly MergeInput[],
    sink: (bytes: Uint8Array) => Promise<void> | void,
    options: MergeOptions,
  ) {
    this.#inputs = inputs;
    this.#sink = sink;
    this.#options = options;
    this.#resources = inputs.map(() => []);
    this.#scopes = inputs.map(() => []);
    const { zstdLevel, arrivedMs, replaces } = options;
    const plan = planOf(inputs, this.#index.keys);
    this.#builder = new BlockBuilder((bytes) => void this.#pending.push(bytes), plan, this.#index.keys, {
      zstdLevel,
      otlpPageBytes: OTLP_PAGE_BYTES,
      filterBits: FILTER_BITS,
      arrivedMs,
      replaces,
      stretches: this.#stretches,
    });
    this.#traces = new TraceFeeder(this.#index, this.#builder, this.#stretches);
  }

  async run(): Promise<WrittenBlock> {
    for (;;) {
      const first = this.#least();
      if (first === undefined) break;
      await this.#addTrace(first.traceId());
    }
    const written = await this.#builder.finish();
    await this.#drain();
    return written;
  }

  /** The input whose current span has the least trace id. */
  #least(): MergeInput | undefined {
    let least: MergeInput | undefined;
    for (const input of this.#inputs) {
      if (input.isAtSpan && (least === undefined || input.compare(least) < 0)) least = input;
    }
    return least;
  }

  async #addTrace(traceId: Uint8Array): Promise<void> {
    const index = this.#index;
    index.clearSpans();
    let bytes = 0;
    const from: number[] = [];
    for (const [number, input] of this.#inputs.entries()) {
      if (!input.isOf(traceId)) continue;
      from.push(number);
      bytes = await this.#collect(number, input, traceId, bytes);
    }
    const { count } = index;
    const builder = this.#builder;
    if (builder.groupSpans > 0 && builder.groupSpans + count > this.#options.rowGroupSpans) {
      await builder.endGroup();
    }
    try {
      await this.#traces.add(traceId, this.#firstMembers(count));
    } catch (error) {
      throw asDamage(error, `input ${from.join(" or ")}`);
    }
  }

  /** Puts the input's spans of the trace into the index. Returns the bytes of all spans there. */
  async #collect(number: number, input: MergeInput, traceId: Uint8Array, before: number): Promise<number> {
    const index = this.#index;
    let bytes = before;
    let source = -1;
    while (input.isOf(traceId)) {
      const { start, end } = input;
      bytes += end - start;
      if (bytes > MERGE_TRACE_BYTES_MAX) {
        throw new AppError(
          "too_large",
          `trace ${toHex(traceId)} has more than ${MERGE_TRACE_BYTES_MAX} bytes`,
        );
      }
      if (source < 0) source = index.sources.push(input.page) - 1;
      try {
        index.addRead(source, input.entry, this.#resourceOf(number, input), this.#scopeOf(number, input));
      } catch (error) {
        throw asDamage(error, `input ${number}`);
      }
      if (isNextInPage(number, input)) continue;
      await this.#stretches.before(input.page.length * COST_US.inflatePerByte);
      await ofInput(number, () => input.advance());
      source = -1;
    }
    return bytes;
  }

  #resourceOf(number: number, { owners, resource }: MergeInput): number {
    const known = (this.#resources[number] ??= []);
    return (known[resource] ??= this.#index.resources.internHead(owners.resource(resource)));
  }

  #scopeOf(number: number, { owners, scope }: MergeInput): number {
    const known = (this.#scopes[number] ??= []);
    return (known[scope] ??= this.#index.scopes.internHead(owners.scope(scope)));
  }

  #firstMembers(count: number): Uint32Array {
    if (this.#members.length < count) {
      this.#members = grownUint32(this.#members, count);
    }
    const members = this.#members.subarray(0, count);
    for (let span = 0; span < count; span++) members[span] = span;
    return members;
  }

  async #pause(): Promise<void> {
    await this.#drain();
    await this.#options.pause();
  }

  async #drain(): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    for (const bytes of pending) await this.#sink(bytes);
  }
}

/** Which attributes the output has columns for. Fills `keys` with what occurs in the inputs. */
function planOf(inputs: readonly MergeInput[], keys: KeyTable): ColumnPlan {
  const encoder = new TextEncoder();
  let spanCount = 0;
  for (const { attributes, spanCount: spans } of inputs) {
    spanCount += spans;
    for (const { key, type, count } of attributes) {
      const bytes = encoder.encode(key);
      keys.count(keys.find(bytes, 0, bytes.length), ATTRIBUTE_TYPES.indexOf(type), count);
    }
  }
  return planColumns(keys, spanCount);
}

/** Steps to the next span without waiting, if it is in the same page. */
function isNextInPage(number: number, input: MergeInput): boolean {
  try {
    return input.step();
  } catch (error) {
    throw asDamage(error, `input ${number}`);
  }
}

/** Damage found by `work` as that of the input. */
async function ofInput<T>(number: number, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asDamage(error, `input ${number}`);
  }
}

/** Malformed spans are the input's fault, not a caller's. Other errors stay what they are. */
function asDamage(error: unknown, place: string): unknown {
  if (!isAppError(error) || (error.kind !== "corrupt" && error.kind !== "invalid_argument")) return error;
  return new AppError("corrupt", `${place}: ${messageOf(error)}`, { cause: error });
}
