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
 * @throws AppError `too_large` past `limits.maxCompressedBodyBytes`, without reading on
 */
export async function readBody(request: Request, limits: Limits): Promise<Uint8Array> {
  const maxBytes = limits.maxCompressedBodyBytes;
  const declared = request.headers.get("content-length");
  if (declared !== null && Number(declared) > maxBytes) throw tooLarge(maxBytes);
  if (request.body === null) return new Uint8Array();
  // The runtime holds a body to its declared length, so one read in one piece is bounded too.
  if (declared !== null) return new Uint8Array(await request.arrayBuffer());
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body) {
    length += chunk.byteLength;
    if (length > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  return concatBytes(chunks);
}

function tooLarge(maxBytes: number): AppError {
  return new AppError("too_large", `request body is larger than ${maxBytes} bytes`);
}
