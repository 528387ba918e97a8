// The private fields at the end of each stored span: which resource and scope it belongs to.
// 100: resource index, 101: scope index, both fixed32, so that their length is known and they can be taken off exactly,
// even from a span in which the sender used these numbers itself. Any OTLP decoder passes over them.
import { FIXED32, tagOf } from "../otlp/wire.ts";
import { AppError } from "../util/errors.ts";
import { type ByteBuffer, wordAt } from "./byte-buffer.ts";

export const SUFFIX_BYTES = 12;

/** A tag of two bytes and the index. */
const FIELD_BYTES = 6;

/** The two bytes of a tag as they are on the wire. */
function tagBytes(field: number): readonly [number, number] {
  const tag = tagOf(field, FIXED32);
  return [(tag & 127) | 128, tag >>> 7];
}

const RESOURCE_TAG = tagBytes(100);
const SCOPE_TAG = tagBytes(101);

function appendField(out: ByteBuffer, [first, second]: readonly [number, number], index: number): void {
  out.reserve(FIELD_BYTES);
  out.bytes[out.length++] = first;
  out.bytes[out.length++] = second;
  out.appendUint32(index);
}

export function appendSuffix(out: ByteBuffer, resource: number, scope: number): void {
  appendField(out, RESOURCE_TAG, resource);
  appendField(out, SCOPE_TAG, scope);
}

function readField(bytes: Uint8Array, at: number, [first, second]: readonly [number, number]): number {
  if (bytes[at] !== first || bytes[at + 1] !== second)
    throw new AppError("corrupt", "span without its indexes");
  return wordAt(bytes, at + 2);
}

/**
 * The indexes of the stored span that ends at `end`; the span as it was sent ends SUFFIX_BYTES earlier.
 * @throws AppError `corrupt`
 */
export function readSuffix(bytes: Uint8Array, end: number): { resource: number; scope: number } {
  return {
    resource: readField(bytes, end - SUFFIX_BYTES, RESOURCE_TAG),
    scope: readField(bytes, end - FIELD_BYTES, SCOPE_TAG),
  };
}
