// A request body, bounded before and while it is read.
import type { Limits } from "../model/limits.ts";
import { concatBytes } from "../util/bytes.ts";
import type { Codec } from "../util/codec.ts";
import { AppError } from "../util/errors.ts";

const ENCODINGS: Readonly<Record<string, Codec>> = {
  "": "raw",
  identity: "raw",
  gzip: "gzip",
  "x-gzip": "gzip",
  deflate: "deflate",
  zstd: "zstd",
};

/**
 * The codec of a Content-Encoding header. Absent is raw.
 * @throws AppError `unsupported_media`: unknown, or more than one coding
 */
export function codecOf(contentEncoding: string | null): Codec {
  const codec = ENCODINGS[(contentEncoding ?? "").trim().toLowerCase()];
  if (codec === undefined) {
    throw new AppError(
      "unsupported_media",
      `unsupported content encoding "${contentEncoding}", supported: identity, gzip, deflate, zstd`,
    );
  }
  return codec;
}

/**
 * Reads a whole body as it was sent, still compressed.
 * @throws AppError `too_large` past `limits.maxCompressedBodyBytes`; at most that much again is read and thrown away
 */
export async function readBody(request: Request, limits: Limits): Promise<Uint8Array> {
  const maxBytes = limits.maxCompressedBodyBytes;
  const declared = request.headers.get("content-length");
  // The runtime holds a body to its declared length, so one read in one piece is bounded too. Before `request.body`
  // is looked at: that alone makes a stream of it.
  if (declared !== null && Number(declared) <= maxBytes) return new Uint8Array(await request.arrayBuffer());
  if (request.body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let length = 0;
  // A sender that finds the connection closed while it writes sees a reset and not the 413: of a body that is up to
  // twice too large the rest is taken off the wire first.
  for await (const chunk of request.body) {
    length += chunk.byteLength;
    if (length > 2 * maxBytes) break;
    if (length <= maxBytes) chunks.push(chunk);
    else chunks.length = 0;
  }
  if (length > maxBytes) {
    throw new AppError("too_large", `request body is larger than ${maxBytes} bytes`);
  }
  return concatBytes(chunks);
}
