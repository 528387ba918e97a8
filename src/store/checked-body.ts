// The body of a range request: exactly as long as asked for, or an error.
import { AppError, isAppError, messageOf } from "../util/errors.ts";

// Native bodies come in chunks of 4 KiB unless more is asked for; with 64 KiB it takes a sixteenth of the reads.
const READ_BYTES = 64 * 1024;

/** What Node and workerd have, and the types of the latter lack: `min`, the bytes to wait for. */
interface MinReader {
  read(view: Uint8Array<ArrayBuffer>, options: { readonly min: number }): Promise<Read>;
  cancel(reason: unknown): Promise<void>;
}

type Read = ReadableStreamReadResult<Uint8Array>;

/** How to wait for the next piece of a body; it may give up with an AppError. */
export type WaitForRead = (read: Promise<Read>) => Promise<Read>;

/**
 * Passes `body`, a byte stream, on. It fails as `corrupt` when it is not of `length` bytes, as `unavailable` when
 * it breaks. Takes `body` over: whoever gives up the result, or fails, cancels it.
 * @param key only for the errors' text
 */
export function checkedBody(
  key: string,
  body: ReadableStream,
  length: number,
  wait: WaitForRead = (read) => read,
): ReadableStream<Uint8Array> {
  const reader: MinReader = body.getReader({ mode: "byob" });
  let left = length;

  async function next(): Promise<Read> {
    try {
      return await wait(
        reader.read(new Uint8Array(READ_BYTES), { min: Math.max(1, Math.min(left, READ_BYTES)) }),
      );
    } catch (error) {
      // Not awaited: a body that hangs may hang here, too.
      void reader.cancel(error).catch(() => undefined);
      if (isAppError(error)) throw error;
      throw new AppError("unavailable", `read of ${key}: ${messageOf(error)}`, { cause: error });
    }
  }

  return new ReadableStream(
    {
      type: "bytes",
      // For readers without a buffer; workerd's own choice would cut each chunk into pieces of 4 KiB again.
      autoAllocateChunkSize: READ_BYTES,
      async pull(controller): Promise<void> {
        const chunk = await next();
        left -= chunk.value?.length ?? 0;
        if (left < 0 || (chunk.done && left > 0)) {
          const error = new AppError(
            "corrupt",
            `object ${key} gave ${left < 0 ? "more than " : ""}${length - Math.max(left, 0)} bytes for a range of ${length}`,
          );
          void reader.cancel(error).catch(() => undefined);
          throw error;
        }
        if (chunk.value !== undefined && chunk.value.length > 0) controller.enqueue(chunk.value);
        if (!chunk.done) return;
        controller.close();
        controller.byobRequest?.respond(0);
      },
      async cancel(reason: unknown): Promise<void> {
        await reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}
