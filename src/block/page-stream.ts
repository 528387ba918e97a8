// Pages out of a stream of bytes that is cut anywhere.
import { AppError } from "../util/errors.ts";
import { ByteBuffer } from "./byte-buffer.ts";
import { decodePageBody, decodePageHeader, type PageHeader, PAGE_HEADER_BYTES_MAX } from "./page.ts";
import type { Compression } from "./parquet-schema.ts";

export interface Page {
  readonly header: PageHeader;
  /** Inflated and checked. The reader's own; later reads do not change it. */
  readonly raw: Uint8Array;
}

/**
 * Yields each page once it is complete. Holds one page and what came with its last chunk; allocates for what
 * has arrived, never for what a header claims.
 * @throws AppError `corrupt`, also when the stream ends within a page
 */
export async function* readPages(
  chunks: AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>,
  compression: Compression,
): AsyncGenerator<Page, void, undefined> {
  const buffer = new ByteBuffer(64 * 1024);
  for await (const chunk of chunks) {
    buffer.append(chunk, 0, chunk.length);
    let at = 0;
    for (;;) {
      const found = findPage(buffer.view(), at);
      if (found === undefined) break;
      const body = buffer.bytes.slice(found.bodyAt, found.bodyAt + found.header.length);
      yield { header: found.header, raw: decodePageBody(found.header, body, compression) };
      at = found.bodyAt + found.header.length;
    }
    if (at === 0) continue;
    buffer.bytes.copyWithin(0, at, buffer.length);
    buffer.length -= at;
  }
  if (buffer.length > 0) throw new AppError("corrupt", "page: the range ends within it");
}

/** The header of the page at `at`; undefined while the page is not complete. */
function findPage(bytes: Uint8Array, at: number): { header: PageHeader; bodyAt: number } | undefined {
  const available = bytes.length - at;
  if (available === 0) return undefined;
  try {
    const found = decodePageHeader(bytes, at);
    return bytes.length - found.bodyAt < found.header.length ? undefined : found;
  } catch (error) {
    // A header that is cut short reads as corrupt. With this many bytes it is whole.
    if (available < PAGE_HEADER_BYTES_MAX) return undefined;
    throw error;
  }
}
