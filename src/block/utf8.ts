// Text columns of Parquet hold valid UTF-8; what spans hold is up to their senders.

const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });
const encoder = new TextEncoder();

function isAscii(bytes: Uint8Array): boolean {
  let or = 0;
  for (let i = 0; i < bytes.length; i++) or |= bytes[i] ?? 0;
  return or < 128;
}

/** What stands for an ill-formed part. */
export const REPLACEMENT = "\ufffd";

/** `bytes` when they are valid UTF-8, otherwise a copy with U+FFFD for each ill-formed part. */
export function validUtf8(bytes: Uint8Array): Uint8Array {
  if (isAscii(bytes)) return bytes;
  return encoder.encode(decoder.decode(bytes));
}

/** The text of UTF-8 bytes, U+FFFD for each ill-formed part. */
export function decodeUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}
