// Text columns of Parquet hold valid UTF-8; what spans hold is up to their senders.
import { sequenceLength } from "../otlp/json-writer.ts";
import type { ByteBuffer } from "./byte-buffer.ts";

const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });
const encoder = new TextEncoder();

function isValid(bytes: Uint8Array, start: number, end: number): boolean {
  let or = 0;
  for (let i = start; i < end; i++) or |= bytes[i] ?? 0;
  if (or < 128) return true;
  // To decode and encode what is valid as it is would take ten times as long.
  for (let at = start; at < end;) {
    const length = (bytes[at] ?? 0) < 128 ? 1 : sequenceLength(bytes, at, end);
    if (length < 0) return false;
    at += length;
  }
  return true;
}

/** What stands for an ill-formed part. */
export const REPLACEMENT = "\ufffd";

/** `bytes` when they are valid UTF-8, otherwise a copy with U+FFFD for each ill-formed part. */
export function validUtf8(bytes: Uint8Array): Uint8Array {
  if (isValid(bytes, 0, bytes.length)) return bytes;
  return encoder.encode(decoder.decode(bytes));
}

/** Appends the text [start, end) of `bytes` as Parquet's PLAIN encoding has it: its length, then valid UTF-8. */
export function appendText(out: ByteBuffer, bytes: Uint8Array, start: number, end: number): void {
  if (isValid(bytes, start, end)) {
    out.appendUint32(end - start);
    out.append(bytes, start, end);
    return;
  }
  const text = encoder.encode(decoder.decode(bytes.subarray(start, end)));
  out.appendUint32(text.length);
  out.append(text, 0, text.length);
}

/** The text of UTF-8 bytes, U+FFFD for each ill-formed part. */
export function decodeUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}
