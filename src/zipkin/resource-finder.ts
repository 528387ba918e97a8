// The resource and scope of a Zipkin span: spans of one service with the same resource tags share one.
import type { BatchBuilder } from "../otlp/batch-builder.ts";
import { LENGTH, RESOURCE, tagOf } from "../otlp/wire.ts";
import { RULE } from "./tag-rules.ts";
import type { Range } from "./v2-span.ts";
import { Offsets } from "./v2-span.ts";

const ATTRIBUTES_TAG = tagOf(RESOURCE.attributes, LENGTH);
const SERVICE_NAME = "service.name";

// What decides the resource and scope of a span, as offsets: four texts, then keys and values by turns.
const SERVICE = 0;
const SOURCE = 2;
const SCOPE_NAME = 4;
const SCOPE_VERSION = 6;
const TAGS = 8;

const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

/** Gathers one span's origin with `begin`, `take` and `takeTag`, then gives its scope with `scope`. */
export class ResourceFinder {
  readonly #builder: BatchBuilder;
  readonly #bytes: Uint8Array;
  readonly #resources = new Map<string, number>();
  #current = new Offsets();
  #last = new Offsets();
  #lastScope = -1;

  constructor(builder: BatchBuilder, bytes: Uint8Array) {
    this.#builder = builder;
    this.#bytes = bytes;
  }

  /** Begins a span of the service with this name; an empty one is none. */
  begin(service: Range): void {
    const current = this.#current;
    current.clear();
    current.push(service[0], service[1]);
    for (let i = SOURCE; i < TAGS; i += 2) current.push(0, 0);
  }

  /**
   * Takes the tag at `at` of `offsets` for the resource. Returns false when it stays with the span: without a service
   * there is no resource, and nothing is to be lost.
   */
  takeTag(offsets: Int32Array, at: number): boolean {
    const current = this.#current;
    if (current.at(SERVICE) === current.at(SERVICE + 1)) return false;
    current.push(offsets[at] ?? 0, offsets[at + 1] ?? 0);
    current.push(offsets[at + 2] ?? 0, offsets[at + 3] ?? 0);
    return true;
  }

  /** Takes a value that names the scope or where the service's name belongs. Returns false as `takeTag`. */
  take(rule: number, value: Range): boolean {
    const current = this.#current;
    if (rule === RULE.scopeName) this.#set(SCOPE_NAME, value);
    else if (rule === RULE.scopeVersion) this.#set(SCOPE_VERSION, value);
    else if (current.at(SERVICE) === current.at(SERVICE + 1)) return false;
    else this.#set(SOURCE, value);
    return true;
  }

  #set(at: number, [start, end]: Range): void {
    this.#current.values[at] = start;
    this.#current.values[at + 1] = end;
  }

  /** The scope of the span whose tags have all been taken. Most spans have that of the one before. */
  scope(): number {
    if (this.#lastScope >= 0 && this.#isAsLast()) return this.#lastScope;
    const name = this.#text(SCOPE_NAME);
    this.#lastScope = this.#builder.scopeOf(this.#resource(), name, this.#text(SCOPE_VERSION));
    [this.#current, this.#last] = [this.#last, this.#current];
    return this.#lastScope;
  }

  #isAsLast(): boolean {
    const { values, length } = this.#current;
    const last = this.#last.values;
    if (length !== this.#last.length) return false;
    const bytes = this.#bytes;
    for (let i = 0; i < length; i += 2) {
      const start = values[i] ?? 0;
      const size = (values[i + 1] ?? 0) - start;
      const lastStart = last[i] ?? 0;
      if ((last[i + 1] ?? 0) - lastStart !== size) return false;
      for (let k = 0; k < size; k++) if (bytes[start + k] !== bytes[lastStart + k]) return false;
    }
    return true;
  }

  #text(at: number): string {
    const start = this.#current.at(at);
    const end = this.#current.at(at + 1);
    return start === end ? "" : decoder.decode(this.#bytes.subarray(start, end));
  }

  #resource(): number {
    const service = this.#text(SERVICE);
    const source = this.#text(SOURCE) || SERVICE_NAME;
    const tags: string[] = [];
    for (let i = TAGS; i < this.#current.length; i += 2) tags.push(this.#text(i));
    // Texts with their lengths: no two origins have one key.
    const key = [service, source, ...tags].map((text) => `${text.length} ${text}`).join(" ");
    const known = this.#resources.get(key);
    if (known !== undefined) return known;
    const id = this.#builder.addResource((out) => {
      let named = service === "";
      for (let i = 0; i < tags.length; i += 2) {
        named ||= tags[i] === source;
        out.stringAttribute(ATTRIBUTES_TAG, tags[i] ?? "", tags[i + 1] ?? "");
      }
      // A tag of the same key was set on purpose.
      if (!named) out.stringAttribute(ATTRIBUTES_TAG, source, service);
    });
    this.#resources.set(key, id);
    return id;
  }
}
