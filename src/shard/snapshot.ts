// What whoever scans the shard is given: where all spans are, and the buffer's frames as they are stored.
import { frameBytes } from "../segment/frame-stream.ts";
import type { TimeRange } from "../store/catalogue.ts";
import type { SegmentsReply, ShardSnapshot } from "../store/rpc.ts";
import type { Epochs } from "./epochs.ts";
import type { ShardStorage } from "./storage.ts";

/** A shard that is being deleted. */
export const NO_SPANS: ShardSnapshot = { epochs: [], blocks: [], hasAllBlocks: true };

/** See TraceShardRpc. Nothing is awaited, so it is of one moment. */
export function takeSnapshot(
  {
    epochs,
    storage,
    blockCount,
  }: { readonly epochs: Epochs; readonly storage: ShardStorage; readonly blockCount: number },
  range: TimeRange,
): ShardSnapshot {
  const blocks = storage.blocksBetween(range);
  return { epochs: epochs.live(), blocks, hasAllBlocks: blocks.length === blockCount };
}

/** See TraceShardRpc. The stream keeps the epoch's table until it ends or is cancelled. */
export function readSegments(epochs: Epochs, epoch: number, fromRow: number): SegmentsReply {
  if (!epochs.has(epoch)) return { kind: "gone" };
  const release = epochs.hold(new Set([epoch]));
  const pieces = piecesOf(epochs, epoch, fromRow);
  const frames: ReadableStream<Uint8Array> = new ReadableStream({
    type: "bytes",
    pull(controller): void {
      try {
        const next = pieces.next();
        if (next.done !== true) {
          controller.enqueue(next.value);
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
  return { kind: "segments", frames };
}

function* piecesOf(epochs: Epochs, epoch: number, fromRow: number): Generator<Uint8Array> {
  for (const frame of epochs.frames(epoch, fromRow)) yield* frameBytes(frame);
}
