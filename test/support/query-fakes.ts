// A shard and a store whose calls, open bodies and failures a test of the read side can see and set.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  type ResourceSpansSchema,
  type SpanSchema,
  TracesDataSchema,
} from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import type { RangeReader, ReadPages } from "../../src/query/sources.ts";
import type { TimeRange } from "../../src/store/catalogue.ts";
import type { ByteRange, ObjectStore, StoredObject } from "../../src/store/object-store.ts";
import type { BlockRef, FindTraceReply } from "../../src/store/rpc.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import { AppError } from "../../src/util/errors.ts";

export const TRACE_ID: Uint8Array<ArrayBuffer> = Uint8Array.from({ length: 16 }, (_, i) => 0xa0 + i);

export type SpanInit = MessageInitShape<typeof SpanSchema>;

/** The 8 bytes of a small id. */
export function id8(value: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setUint32(4, value);
  return bytes;
}

/** A span of TRACE_ID with a status, which is how SDKs send it. */
export function span(id: number, more: SpanInit = {}): SpanInit {
  const init: SpanInit = { traceId: TRACE_ID, spanId: id8(id), name: `s${id}`, kind: 1, status: {} };
  return Object.assign(init, more);
}

/** TracesData of one ResourceSpans with one ScopeSpans. */
export function batch(service: string, spans: readonly SpanInit[]): Uint8Array<ArrayBuffer> {
  const attributes = [
    { key: "service.name", value: { value: { case: "stringValue", value: service } as const } },
  ];
  return tracesData([
    { resource: { attributes }, scopeSpans: [{ scope: { name: "lib" }, spans: [...spans] }] },
  ]);
}

export function tracesData(
  resourceSpans: MessageInitShape<typeof ResourceSpansSchema>[],
): Uint8Array<ArrayBuffer> {
  return toBinary(TracesDataSchema, create(TracesDataSchema, { resourceSpans }));
}

/** A block as the fakes store it: pieces, each behind its length. `fakeReadPages` reads it back. */
export function fakeBlock(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return concatBytes(
    pieces.flatMap((piece) => {
      const head = new Uint8Array(4);
      new DataView(head.buffer).setUint32(0, piece.length);
      return [head, piece];
    }),
  );
}

/** Stands in for block/read-trace.ts: yields each piece as soon as it has arrived. */
export const fakeReadPages: ReadPages = async function* fakeReadPages(pages) {
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of pages) {
    rest = concatBytes([rest, chunk]);
    for (;;) {
      if (rest.length < 4) break;
      const length = new DataView(rest.buffer, rest.byteOffset).getUint32(0);
      if (rest.length < 4 + length) break;
      yield rest.slice(4, 4 + length);
      rest = rest.slice(4 + length);
    }
  }
  if (rest.length > 0) throw new AppError("corrupt", "page is cut short");
};

/** How a read of a block goes wrong; each entry is used up by one read. */
export type Fault = "not_found" | "unavailable" | "corrupt" | { readonly breakAfter: number };

export class FakeStore implements RangeReader {
  readonly gets: string[] = [];
  /** Bodies given out and neither read to their end, nor broken, nor cancelled. */
  open = 0;
  maxOpen = 0;
  cancelled = 0;
  /** Bytes of a chunk; the bodies make one each time they are pulled. */
  chunkBytes = 1000;
  readonly #objects = new Map<string, Uint8Array>();
  readonly #faults = new Map<string, Fault[]>();

  async put(key: string, bytes: Uint8Array): Promise<StoredObject> {
    this.#objects.set(key, bytes);
    return { key, etag: "e", byteLength: bytes.length };
  }

  fail(key: string, ...faults: Fault[]): void {
    this.#faults.set(key, faults);
  }

  async getRange(key: string, range: ByteRange, _etag: string): Promise<ReadableStream<Uint8Array>> {
    this.gets.push(key);
    this.maxOpen = Math.max(this.maxOpen, ++this.open);
    await new Promise((resolve) => setTimeout(resolve, 1));
    const fault = this.#faults.get(key)?.shift();
    const bytes = this.#objects.get(key);
    if (typeof fault === "string" || bytes === undefined) {
      this.open--;
      throw new AppError(typeof fault === "string" ? fault : "not_found", `fake: ${key}`);
    }
    const end = fault === undefined ? Infinity : fault.breakAfter;
    return this.#body(key, bytes.slice(range.offset, range.offset + range.length), end);
  }

  #body(key: string, bytes: Uint8Array, breakAfter: number): ReadableStream<Uint8Array> {
    let at = 0;
    return new ReadableStream<Uint8Array>(
      {
        pull: (controller) => {
          if (at >= breakAfter) {
            this.open--;
            throw new AppError("unavailable", `fake: ${key} broke`);
          }
          if (at < bytes.length) controller.enqueue(bytes.slice(at, at + this.chunkBytes));
          else {
            this.open--;
            controller.close();
          }
          at += this.chunkBytes;
        },
        cancel: () => {
          this.open--;
          this.cancelled++;
        },
      },
      { highWaterMark: 0 },
    );
  }
}

/** A shard that knows what it is given, and counts. */
export class FakeShard {
  calls: Uint8Array[] = [];
  readonly asked: TimeRange[] = [];
  failedReads = 0;
  live: FindTraceReply["live"] = new Uint8Array(0);
  readonly blocks: BlockRef[] = [];

  async findTrace(traceId: Uint8Array, range: TimeRange = {}): Promise<FindTraceReply> {
    this.calls.push(traceId);
    this.asked.push(range);
    return { live: this.live, blocks: this.blocks };
  }

  async noteFailedReads(count: number): Promise<void> {
    this.failedReads += count;
  }

  /** Stores a block of `pieces` and refers to it, with bytes around the range that nobody should see. */
  async addBlock(
    store: Pick<ObjectStore, "put">,
    key: string,
    pieces: readonly Uint8Array[],
    seconds: readonly [number, number] = [0, 4_000_000_000],
  ): Promise<void> {
    const bytes = fakeBlock(pieces);
    const { etag } = await store.put(key, concatBytes([new Uint8Array(7), bytes, new Uint8Array(9)]));
    this.blocks.push({
      key,
      etag,
      range: { offset: 7, length: bytes.length },
      resources: new Uint8Array(0),
      minStartSeconds: seconds[0],
      maxEndSeconds: seconds[1],
    });
  }
}

/** A live stream in chunks of `chunkBytes`; `state.cancelled` tells whether its reader gave up. */
export function liveStream(
  bytes: Uint8Array,
  chunkBytes: number,
  state: { cancelled: boolean; pulled: number } = { cancelled: false, pulled: 0 },
): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream(
    {
      type: "bytes",
      pull(controller): void {
        if (at < bytes.length) {
          controller.enqueue(bytes.slice(at, at + chunkBytes));
          at += chunkBytes;
          state.pulled++;
          return;
        }
        controller.close();
        controller.byobRequest?.respond(0);
      },
      cancel(): void {
        state.cancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
}
