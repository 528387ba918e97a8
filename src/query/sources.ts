// Where the pieces of a trace come from: the shard's live spans and ranges of blocks.
import { PLATFORM } from "../model/limits.ts";
import type { ObjectStore } from "../store/object-store.ts";
import type { BlockRef } from "../store/rpc.ts";
import { freeBytes } from "../util/bytes.ts";
import { AppError, type ErrorKind, isAppError, messageOf } from "../util/errors.ts";
import { RecordCutter } from "./record-cutter.ts";

/** What a lookup needs of the store. */
export type RangeReader = Pick<ObjectStore, "getRange">;

/** Takes a piece of TracesData; false when no more is wanted. */
export type TakePiece = (piece: Uint8Array) => boolean;

/** A part of the trace that could not be read to its end. */
export interface SourceFailure {
  /** `live spans` or the block's key. */
  readonly source: string;
  readonly kind: ErrorKind;
  readonly message: string;
}

/** What went wrong while reading `source`. The wire reader blames the argument: here that is stored bytes. */
export function failureOf(source: string, error: unknown): SourceFailure {
  const kind = isAppError(error) ? error.kind : "internal";
  return { source, kind: kind === "invalid_argument" ? "corrupt" : kind, message: messageOf(error) };
}

type Opened = { readonly stream: ReadableStream<Uint8Array> } | { readonly error: unknown };

/** Reads a stream chunk by chunk; each chunk is valid until the next is read. */
interface ChunkReader {
  /** Undefined at the end. */
  read(): Promise<Uint8Array | undefined>;
  cancel(): Promise<void>;
}

// Into one buffer over and over: with a new one for each chunk, dead buffers pile up as fast as the trace comes.
const READ_BYTES = 64 * 1024;

function chunkReader(stream: ReadableStream<Uint8Array>): ChunkReader {
  let reader: ReadableStreamBYOBReader;
  try {
    reader = stream.getReader({ mode: "byob" });
  } catch {
    return defaultReader(stream);
  }
  let buffer = new ArrayBuffer(READ_BYTES);
  return {
    async read() {
      const { done, value } = await reader.read(new Uint8Array(buffer, 0, READ_BYTES));
      // The memory wanders through the stream and back.
      if (value !== undefined) ({ buffer } = value);
      return done || value === undefined ? undefined : value;
    },
    cancel: () => reader.cancel(),
  };
}

/** For streams that are not of bytes. */
function defaultReader(stream: ReadableStream<Uint8Array>): ChunkReader {
  const reader = stream.getReader();
  return {
    async read() {
      const { done, value } = await reader.read();
      return done ? undefined : value;
    },
    cancel: () => reader.cancel(),
  };
}

/**
 * The chunks of `stream`, each valid until the next is asked for. However the iteration ends, the stream is then read
 * to its end or cancelled.
 * @param count is told the bytes of each chunk
 */
async function* chunksOf(
  stream: ReadableStream<Uint8Array>,
  count: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  const reader = chunkReader(stream);
  let ended = false;
  try {
    for (;;) {
      const chunk = await reader.read();
      if (chunk === undefined) break;
      count(chunk.length);
      yield chunk;
    }
    ended = true;
  } catch (error) {
    ended = true;
    throw error;
  } finally {
    // A stream that broke needs no cancelling, and what cancelling might throw is of no interest.
    if (!ended) await reader.cancel().catch(() => undefined);
  }
}

/**
 * Feeds the shard's live spans to `take`.
 * @throws AppError `corrupt` when the bytes are no records, or what the stream fails with
 */
export async function readLive(
  live: Uint8Array | ReadableStream<Uint8Array>,
  maxRecordBytes: number,
  take: TakePiece,
): Promise<number> {
  const cutter = new RecordCutter(maxRecordBytes);
  let bytes = 0;
  const chunks = live instanceof Uint8Array ? [live] : chunksOf(live, () => undefined);
  for await (const chunk of chunks) {
    bytes += chunk.length;
    for (const piece of cutter.push(chunk)) if (!take(piece)) return bytes;
  }
  cutter.end();
  return bytes;
}

/**
 * Decodes pages of a block and yields the trace's spans as TracesData: block/read-trace.ts, or a test's stand-in.
 * A chunk of `pages` is valid until the next is asked for; what is yielded owns its buffer and is freed.
 */
export type ReadPages = (
  pages: AsyncIterable<Uint8Array>,
  resources: Uint8Array,
  traceId: Uint8Array,
) => AsyncIterable<Uint8Array>;

export interface BlockReading {
  readonly failures: readonly SourceFailure[];
  /** Blocks read to their end. */
  readonly blocks: number;
  readonly bytes: number;
}

/**
 * Reads blocks in their order, one range each, the next ones being opened meanwhile. A block that fails does not stop
 * the others; one that is unavailable is tried a second time.
 */
export class BlockReader {
  readonly #objects: RangeReader;
  readonly #readPages: ReadPages;
  readonly #traceId: Uint8Array;
  readonly #refs: readonly BlockRef[];
  /** By index in `#refs`: being opened or open, not yet read. */
  readonly #opened = new Map<number, Promise<Opened>>();
  #next = 0;
  #bytes = 0;

  constructor(
    ports: { readonly objects: RangeReader; readonly readPages: ReadPages },
    traceId: Uint8Array,
    refs: readonly BlockRef[],
  ) {
    this.#objects = ports.objects;
    this.#readPages = ports.readPages;
    this.#traceId = traceId;
    this.#refs = refs;
  }

  /** Begins to open blocks, so that they are at hand when `read` comes to them. */
  prefetch(connections: number): void {
    while (this.#opened.size < connections && this.#next < this.#refs.length) {
      const index = this.#next++;
      const ref = this.#refs[index];
      if (ref !== undefined) this.#opened.set(index, this.#open(ref));
    }
  }

  /** Feeds all blocks to `take`. Nothing is left open afterwards. */
  async read(take: TakePiece): Promise<BlockReading> {
    const failures: SourceFailure[] = [];
    let blocks = 0;
    try {
      for (const [index, ref] of this.#refs.entries()) {
        this.prefetch(PLATFORM.connections);
        const opened = this.#opened.get(index) ?? this.#open(ref);
        const error = await this.#readOne(ref, await opened, take);
        this.#opened.delete(index);
        if (error === "enough") break;
        if (error === undefined) blocks++;
        else failures.push(failureOf(ref.key, error.error));
      }
    } finally {
      await this.close();
    }
    return { failures, blocks, bytes: this.#bytes };
  }

  /** Cancels what is open and not read. */
  async close(): Promise<void> {
    this.#next = this.#refs.length;
    const opened = [...this.#opened.values()];
    this.#opened.clear();
    await Promise.all(
      opened.map(async (promise) => {
        const result = await promise;
        // A stream that is being read is locked; its reader cancels it.
        if ("stream" in result && !result.stream.locked) await result.stream.cancel().catch(() => undefined);
      }),
    );
  }

  async #readOne(
    ref: BlockRef,
    first: Opened,
    take: TakePiece,
  ): Promise<"enough" | { readonly error: unknown } | undefined> {
    let opened = first;
    for (let attempt = 1; ; attempt++) {
      try {
        if ("error" in opened) throw opened.error;
        return (await this.#takePages(ref, opened.stream, take)) ? undefined : "enough";
      } catch (error) {
        // What was taken before it broke is taken again, and dropped as duplicate.
        if (attempt === 2 || !isAppError(error) || error.kind !== "unavailable") return { error };
        opened = await this.#open(ref);
      }
    }
  }

  /** False when no more is wanted. The stream is then cancelled, as it is when it proves corrupt. */
  async #takePages(ref: BlockRef, stream: ReadableStream<Uint8Array>, take: TakePiece): Promise<boolean> {
    const pages = chunksOf(stream, (bytes) => {
      this.#bytes += bytes;
    });
    try {
      for await (const piece of this.#readPages(pages, ref.resources, this.#traceId)) {
        const wanted = take(piece);
        freeBytes(piece);
        if (!wanted) return false;
      }
      return true;
    } finally {
      // Whether the page reader closes its source in every case is not its contract. A generator that was never
      // started has no lock on the stream and does not cancel it.
      await pages.return(undefined);
      if (!stream.locked) await stream.cancel().catch(() => undefined);
    }
  }

  /** Never rejects: it may be long until anyone looks at the result. */
  async #open(ref: BlockRef): Promise<Opened> {
    try {
      return { stream: await this.#objects.getRange(ref.key, ref.range, ref.etag) };
    } catch (error) {
      return { error };
    }
  }
}

/** The error for a request whose sender went away. */
export function cancelled(): AppError {
  return new AppError("unavailable", "context canceled");
}
