// Messages that have attributes.
import { MESSAGE } from "./schema.ts";
import { EVENT, LENGTH, LINK, RESOURCE, SCOPE, SPAN, VARINT, WireReader, tagOf } from "./wire.ts";

/** Tags of an owner's fields, each of one byte. */
export interface OwnerTags {
  readonly attributes: number;
  readonly droppedCount: number;
}

function tagsOf(fields: { readonly attributes: number; readonly droppedAttributesCount: number }): OwnerTags {
  return {
    attributes: tagOf(fields.attributes, LENGTH),
    droppedCount: tagOf(fields.droppedAttributesCount, VARINT),
  };
}

/** By message type. */
export const OWNERS: ReadonlyMap<number, OwnerTags> = new Map([
  [MESSAGE.resource, tagsOf(RESOURCE)],
  [MESSAGE.scope, tagsOf(SCOPE)],
  [MESSAGE.span, tagsOf(SPAN)],
  [MESSAGE.event, tagsOf(EVENT)],
  [MESSAGE.link, tagsOf(LINK)],
]);

/**
 * Attributes of the message [start, end).
 * @throws AppError `invalid_argument` when its fields are malformed
 */
export function countAttributes(bytes: Uint8Array, start: number, end: number, tags: OwnerTags): number {
  const reader = new WireReader(bytes, start);
  let count = 0;
  while (reader.pos < end) {
    const tag = reader.tag(end);
    reader.skip(tag, end);
    if (tag === tags.attributes) count++;
  }
  return count;
}
