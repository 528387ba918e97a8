// Sending a body that is made while it is sent.
import { type Chunks, pulled } from "../query/trace-body.ts";
import { messageOf } from "../util/errors.ts";
import { logError } from "../util/log.ts";

/** Writes the chunks in step with the reader, giving each one's memory back when it is sent. */
async function pump(chunks: Chunks, writable: WritableStream<Uint8Array>): Promise<void> {
  const writer = writable.getWriter();
  try {
    for (const chunk of logged(chunks)) {
      await writer.write(chunk);
      // The chunk may be shorter than its buffer, which is ours all the same.
      chunk.buffer.transfer(0);
    }
    await writer.close();
  } catch (error) {
    // Either the reader has gone, and nobody hears this, or making a chunk failed: then the body must not seem whole.
    await writer.abort(error).catch(() => undefined);
  }
}

/** The status has been sent: the log is the only place left that can say why the body broke off. */
function* logged(chunks: Chunks): Chunks {
  try {
    yield* chunks;
  } catch (error) {
    logError("an answer broke off", { error: messageOf(error) });
    throw error;
  }
}

/**
 * The chunks as a stream that is made as fast as it is read. In workerd through its native pipe: a chunk handed to a
 * stream made in JavaScript stays until a collection, and a large answer would add tens of megabytes of them.
 */
export function streamChunks(chunks: Chunks): ReadableStream<Uint8Array> {
  if (typeof IdentityTransformStream === "undefined") return pulled(logged(chunks));
  const { readable, writable } = new IdentityTransformStream();
  void pump(chunks, writable);
  return readable;
}
