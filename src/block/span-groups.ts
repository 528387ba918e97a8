// Spans of one page put together again as TracesData: by resource, then by scope, in order of first appearance.
import type { ResourceTable } from "./resource-table.ts";
import { RESOURCE_SPANS_TAG, SCOPE_SPANS_TAG, SPANS_TAG } from "./tags.ts";

interface ScopeGroup {
  readonly head: Uint8Array;
  readonly spans: Uint8Array[];
  /** Bytes of the spans with tags and lengths. */
  spanBytes: number;
}

interface ResourceGroup {
  readonly head: Uint8Array;
  readonly scopes: Map<number, ScopeGroup>;
}

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) length++;
  return length;
}

/** Bytes of a field with a tag of one byte. */
function fieldLength(bodyLength: number): number {
  return 1 + varintLength(bodyLength) + bodyLength;
}

function scopeLength(scope: ScopeGroup): number {
  return scope.head.length + scope.spanBytes;
}

function resourceLength(resource: ResourceGroup): number {
  let length = resource.head.length;
  for (const scope of resource.scopes.values()) length += fieldLength(scopeLength(scope));
  return length;
}

class Output {
  readonly bytes: Uint8Array;
  #length = 0;

  constructor(length: number) {
    this.bytes = new Uint8Array(length);
  }

  begin(tag: number, bodyLength: number): void {
    this.bytes[this.#length++] = tag;
    let rest = bodyLength;
    for (; rest > 127; rest >>>= 7) this.bytes[this.#length++] = (rest & 127) | 128;
    this.bytes[this.#length++] = rest;
  }

  put(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }
}

export class SpanGroups {
  readonly #table: ResourceTable;
  readonly #resources = new Map<number, ResourceGroup>();

  constructor(table: ResourceTable) {
    this.#table = table;
  }

  /**
   * Adds a span as it was sent; the view must stay valid until `encode`.
   * @throws AppError `corrupt` when the table has no such resource or scope
   */
  add(span: Uint8Array, resource: number, scope: number): void {
    let group = this.#resources.get(resource);
    if (group === undefined) {
      group = { head: this.#table.resource(resource), scopes: new Map() };
      this.#resources.set(resource, group);
    }
    let scopeGroup = group.scopes.get(scope);
    if (scopeGroup === undefined) {
      scopeGroup = { head: this.#table.scope(scope), spans: [], spanBytes: 0 };
      group.scopes.set(scope, scopeGroup);
    }
    scopeGroup.spans.push(span);
    scopeGroup.spanBytes += fieldLength(span.length);
  }

  /** TracesData of all spans, in a buffer of its own; undefined when there are none. */
  encode(): Uint8Array | undefined {
    if (this.#resources.size === 0) return undefined;
    let length = 0;
    for (const resource of this.#resources.values()) length += fieldLength(resourceLength(resource));
    const out = new Output(length);
    for (const resource of this.#resources.values()) {
      out.begin(RESOURCE_SPANS_TAG, resourceLength(resource));
      out.put(resource.head);
      for (const scope of resource.scopes.values()) {
        out.begin(SCOPE_SPANS_TAG, scopeLength(scope));
        out.put(scope.head);
        for (const span of scope.spans) {
          out.begin(SPANS_TAG, span.length);
          out.put(span);
        }
      }
    }
    return out.bytes;
  }
}
