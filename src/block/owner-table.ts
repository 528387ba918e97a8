// Resources and scopes: what spans of a group share. Each distinct one is kept once and named by a number.
import type { SpanGroup } from "../otlp/spans.ts";
import { concatBytes } from "../util/bytes.ts";
import { ByteDictionary } from "./dictionary.ts";
import { OWNER_TAG, SCHEMA_URL_TAG } from "./tags.ts";

/** Protobuf varint of an unsigned 32-bit number. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value >>> 0;
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

function field(tag: number, body: Uint8Array): Uint8Array {
  return concatBytes([varint(tag), varint(body.length), body]);
}

/**
 * The group's own fields in canonical form: `resource` (or `scope`) if it has one, then `schema_url` if it is not empty.
 * Put these bytes, then children, into a new ResourceSpans (or ScopeSpans). Unknown fields of the group are left out.
 */
function headOf(group: SpanGroup): Uint8Array {
  const parts: Uint8Array[] = [];
  if (group.owner !== undefined) parts.push(field(OWNER_TAG, group.owner));
  if (group.schemaUrl.length > 0) parts.push(field(SCHEMA_URL_TAG, group.schemaUrl));
  return concatBytes(parts);
}

/** Distinct heads by number, in order of first use. */
export class OwnerTable {
  readonly #heads = new ByteDictionary();
  /** Groups as they were sent, and the number of each one's head: most batches repeat those of the batches before. */
  readonly #groups = new ByteDictionary();
  readonly #numbers: number[] = [];

  /** The number of the group's head. */
  intern(group: SpanGroup): number {
    const { fields } = group;
    const code = this.#groups.intern(fields, 0, fields.length);
    let number = this.#numbers[code];
    if (number === undefined) {
      const head = headOf(group);
      number = this.#heads.intern(head, 0, head.length);
      this.#numbers[code] = number;
    }
    return number;
  }

  /** The number of a head in canonical form: one that another table gave. */
  internHead(head: Uint8Array): number {
    return this.#heads.intern(head, 0, head.length);
  }

  /** The head, a view that the next `intern` may move. */
  head(number: number): Uint8Array {
    return this.#heads.value(number);
  }
}
