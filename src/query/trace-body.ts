// The answer's body: the trace and what is said about it, in both encodings and both versions of the API.
import { ascii, JsonWriter } from "../otlp/json-writer.ts";
import { LENGTH, tagOf, VARINT } from "../otlp/wire.ts";
import { concatBytes } from "../util/bytes.ts";
import { AppError, isAppError } from "../util/errors.ts";
import { ChunkWriter } from "./chunk-writer.ts";
import type { FoundTrace } from "./find-trace.ts";
import { varintBytes } from "./record-layout.ts";
import { writeJson } from "./write-json.ts";
import { copied, writeProtobuf } from "./write-protobuf.ts";

export interface BodyFormat {
  /** 1: the Trace itself. 2: TraceByIDResponse. */
  readonly version: 1 | 2;
  readonly encoding: "json" | "protobuf";
  readonly maxValueDepth: number;
}

/** Parts of a body, made one at a time; each owns its buffer, which is the receiver's. */
export type Chunks = Generator<Uint8Array<ArrayBuffer>>;

/** Sources named in a message; with hundreds of blocks the rest is only counted. */
const MAX_NAMED = 3;

/** What is missing, for people; undefined when everything was read. */
export function failureText({ failures }: FoundTrace): string | undefined {
  if (failures.length === 0) return undefined;
  const named = failures.slice(0, MAX_NAMED).map(({ source, kind }) => `${source} (${kind})`);
  const more = failures.length > MAX_NAMED ? ` and ${failures.length - MAX_NAMED} more` : "";
  return `Trace may be incomplete, could not read ${named.join(", ")}${more}`;
}

/** Why the answer is partial; empty when it is complete. */
export function partialMessage(found: FoundTrace): string {
  const { exceededBytes } = found.trace;
  const messages: string[] = [];
  if (exceededBytes !== undefined) {
    messages.push(`Trace exceeds maximum size of ${exceededBytes} bytes, a partial trace is returned`);
  }
  if (found.isFiltered === true) {
    messages.push("Trace filtered, only a subset of spans matching the filter is returned");
  }
  const failed = failureText(found);
  if (failed !== undefined) messages.push(failed);
  return messages.join("; ");
}

function* jsonChunks(found: FoundTrace, format: BodyFormat): Chunks {
  const out = new JsonWriter();
  const { trace } = found;
  if (format.version === 1) out.text(ascii('{"batches":'));
  else out.text(ascii(trace.spanCount === 0 ? '{"trace":{' : '{"trace":{"resourceSpans":'));
  if (trace.spanCount > 0) yield* writeJson(trace, out, format.maxValueDepth);
  else if (format.version === 1) out.text(ascii("[]"));
  if (format.version === 2) {
    out.text(ascii('},"metrics":{'));
    if (found.inspectedBytes > 0) out.text(ascii(`"inspectedBytes":"${found.inspectedBytes}"`));
    out.text(ascii("}"));
    const message = new TextEncoder().encode(partialMessage(found));
    if (message.length > 0) {
      out.text(ascii(',"status":"PARTIAL","message":'));
      out.string(message, 0, message.length);
    }
  }
  out.text(ascii("}"));
  yield out.take();
}

/**
 *     message TraceByIDResponse {
 *       Trace trace = 1;
 *       TraceByIDMetrics metrics = 2;    // uint64 inspected_bytes = 1
 *       PartialStatus status = 3;        // COMPLETE = 0, PARTIAL = 1
 *       string message = 4;
 *     }
 */
const TRACE_TAG = tagOf(1, LENGTH);
const METRICS_TAG = tagOf(2, LENGTH);
const INSPECTED_BYTES_TAG = tagOf(1, VARINT);
const STATUS_TAG = tagOf(3, VARINT);
const PARTIAL = 1;
const MESSAGE_TAG = tagOf(4, LENGTH);

function* writeTail(found: FoundTrace, out: ChunkWriter): Chunks {
  const { inspectedBytes } = found;
  out.byte(METRICS_TAG);
  out.varint(inspectedBytes === 0 ? 0 : 1 + varintLength(inspectedBytes));
  if (inspectedBytes > 0) {
    out.byte(INSPECTED_BYTES_TAG);
    out.varint(inspectedBytes);
  }
  const message = new TextEncoder().encode(partialMessage(found));
  if (message.length === 0) return;
  out.byte(STATUS_TAG);
  out.byte(PARTIAL);
  out.byte(MESSAGE_TAG);
  out.varint(message.length);
  yield* copied(out, message, 0, message.length);
}

function varintLength(value: number): number {
  return value > 0xffffffff ? 5 + varintBytes(Math.floor(value / 2 ** 35)) : varintBytes(value);
}

function* protobufChunks(found: FoundTrace, format: BodyFormat): Chunks {
  const out = new ChunkWriter();
  if (format.version === 2) {
    out.byte(TRACE_TAG);
    out.varint(found.trace.protobufBytes());
  }
  yield* writeProtobuf(found.trace, out);
  if (format.version === 2) yield* writeTail(found, out);
  if (out.length > 0) yield out.take();
}

/** Makes stored bytes that do not hold what they should the fault of the store, not of the request. */
function* asStored(chunks: Chunks): Chunks {
  try {
    yield* chunks;
  } catch (error) {
    if (!isAppError(error) || error.kind !== "invalid_argument") throw error;
    throw new AppError("corrupt", error.message, { cause: error });
  }
}

/** A stream that makes each chunk when it is asked for; cancelling lets go of what is left. */
export function pulled(chunks: Chunks): ReadableStream<Uint8Array> {
  return new ReadableStream(
    {
      type: "bytes",
      pull(controller): void {
        const next = chunks.next();
        if (next.done !== true) return controller.enqueue(next.value);
        controller.close();
        controller.byobRequest?.respond(0);
      },
      cancel(): void {
        chunks.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
}

/**
 * The answer, made while it is read. Once only: the trace's parts are let go on the way.
 * @throws while it is read: AppError `corrupt` where the stored bytes are wrong
 */
export function traceChunks(found: FoundTrace, format: BodyFormat): Chunks {
  return asStored(format.encoding === "json" ? jsonChunks(found, format) : protobufChunks(found, format));
}

/**
 * The answer: whole when the trace is small, otherwise as a stream that is made while it is read; see `traceChunks`.
 * @param stream makes the stream of the chunks; it returns them when the reader gives up
 */
export function traceBody(
  found: FoundTrace,
  format: BodyFormat,
  stream: (chunks: Chunks) => ReadableStream<Uint8Array> = pulled,
): Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> {
  const chunks = traceChunks(found, format);
  return found.trace.isSmall ? concatBytes([...chunks]) : stream(chunks);
}
