// A trace's spans in the buffer, as one message or, past what fits one, as a stream.
import { filterTrace } from "../otlp/rewrite.ts";
import type { FrameRef } from "../segment/live-index.ts";
import { concatBytes, exactBytes } from "../util/bytes.ts";
import { traceHash } from "../util/hash.ts";
import type { Epochs } from "./epochs.ts";

interface Found {
  readonly epoch: number;
  readonly frame: FrameRef;
}

/**
 * The live spans of a trace as OTLP TracesData, empty when there are none. A stream keeps its epochs' tables until
 * it ends or is cancelled.
 * @param maxBytes inflated bytes of the frames up to which the answer is made at once
 */
export function findLive(
  epochs: Epochs,
  traceId: Uint8Array,
  maxBytes: number,
): Uint8Array | ReadableStream<Uint8Array> {
  const found = epochs.find(traceHash(traceId));
  const rawBytes = found.reduce((sum, { frame }) => sum + frame.rawLength, 0);
  if (rawBytes > maxBytes && found.length > 1) return streamFound(epochs, found, exactBytes(traceId));
  return concatBytes(filtered(epochs, found, traceId).toArray());
}

function* filtered(epochs: Epochs, found: readonly Found[], traceId: Uint8Array): Generator<Uint8Array> {
  for (const { epoch, frame } of found) {
    const part = filterTrace(epochs.open(epoch, frame), traceId);
    if (part !== undefined && part.length > 0) yield part;
  }
}

function streamFound(
  epochs: Epochs,
  found: readonly Found[],
  traceId: Uint8Array,
): ReadableStream<Uint8Array> {
  const release = epochs.hold(new Set(found.map(({ epoch }) => epoch)));
  const parts = filtered(epochs, found, traceId);
  return new ReadableStream({
    type: "bytes",
    pull(controller): void {
      try {
        const next = parts.next();
        if (next.done !== true) {
          controller.enqueue(exactBytes(next.value));
          return;
        }
        release();
        controller.close();
        // A reader that brought its own buffer waits until that is given back.
        controller.byobRequest?.respond(0);
      } catch (error) {
        release();
        controller.error(error);
      }
    },
    cancel(): void {
      release();
    },
  });
}
