// The resource and scope of a Zipkin span: spans of one service with the same resource tags share one.
import type { BatchBuilder } from "../otlp/batch-builder.ts";
import { LENGTH, RESOURCE, tagOf } from "../otlp/wire.ts";
import type { WireWriter } from "../otlp/wire-writer.ts";
import type { ByteSource } from "../util/byte-source.ts";
import { RULE } from "./tag-rules.ts";
import type { Range } from "./v2-span.ts";
import { Offsets } from "./v2-span.ts";

const ATTRIBUTES_TAG = tagOf(RESOURCE.attributes, LENGTH);
const SERVICE_NAME = "service.name";

// What decides the resource of a span, as offsets: the service, where its name belongs, then keys and values by turns.
const SERVICE = 0;
const SOURCE = 2;
const TAGS = 4;

// An origin that was met: the number of its offsets, its resource, and the offsets.
const LENGTH_AT = 0;
const RESOURCE_AT = 1;
const OFFSETS_AT = 2;

/** Gathers one span's origin with `begin`, `take` and `takeTag`, then gives its scope with `scope`. */
export class ResourceFinder {
  readonly #builder: BatchBuilder;
  readonly #source: ByteSource;
  readonly #origin = new Offsets();
  readonly #scopeName: Range = [0, 0];
  readonly #scopeVersion: Range = [0, 0];
  readonly #met = new Offsets();
  /**
   * Where in `#met` the last origin with a hash lies. Only that one is compared: a body made so that all hashes are
   * equal gets resources that say the same, and costs no more than another.
   */
  readonly #metByHash = new Map<number, number>();
  // Of the span before.
  #last = -1;
  #lastScope = -1;
  readonly #lastName: Range = [0, 0];
  readonly #lastVersion: Range = [0, 0];

  constructor(builder: BatchBuilder, source: ByteSource) {
    this.#builder = builder;
    this.#source = source;
  }

  /** Begins a span of the service with this name; an empty one is none. */
  begin(service: Range): void {
    const origin = this.#origin;
    origin.clear();
    origin.push(service[0], service[1]);
    origin.push(0, 0);
    this.#scopeName[1] = this.#scopeName[0];
    this.#scopeVersion[1] = this.#scopeVersion[0];
  }

  /**
   * Takes the tag at `at` of `offsets` for the resource. Returns false when it stays with the span: without a service
   * there is no resource, and nothing is to be lost.
   */
  takeTag(offsets: Int32Array, at: number): boolean {
    const origin = this.#origin;
    if (!this.#hasService()) return false;
    origin.push(offsets[at] ?? 0, offsets[at + 1] ?? 0);
    origin.push(offsets[at + 2] ?? 0, offsets[at + 3] ?? 0);
    return true;
  }

  #hasService(): boolean {
    return this.#origin.at(SERVICE) !== this.#origin.at(SERVICE + 1);
  }

  /** Takes a value that names the scope or where the service's name belongs. Returns false as `takeTag`. */
  take(rule: number, value: Range): boolean {
    if (rule === RULE.scopeName) setRange(this.#scopeName, value);
    else if (rule === RULE.scopeVersion) setRange(this.#scopeVersion, value);
    else if (!this.#hasService()) return false;
    else {
      this.#origin.values[SOURCE] = value[0];
      this.#origin.values[SOURCE + 1] = value[1];
    }
    return true;
  }

  /** The scope of the span whose tags have all been taken. Most spans have that of the one before. */
  scope(): number {
    const isAsLast = this.#last >= 0 && this.#isMet(this.#last);
    if (isAsLast && this.#isSame(this.#scopeName, this.#lastName)) {
      if (this.#isSame(this.#scopeVersion, this.#lastVersion)) return this.#lastScope;
    }
    if (!isAsLast) this.#last = this.#find();
    setRange(this.#lastName, this.#scopeName);
    setRange(this.#lastVersion, this.#scopeVersion);
    const resource = this.#met.at(this.#last + RESOURCE_AT);
    this.#lastScope = this.#builder.scopeOf(
      resource,
      this.#text(this.#scopeName),
      this.#text(this.#scopeVersion),
    );
    return this.#lastScope;
  }

  #isSame(a: Range, b: Range): boolean {
    const length = a[1] - a[0];
    return b[1] - b[0] === length && this.#source.isSame(a[0], b[0], length);
  }

  #text([start, end]: Range): string {
    return this.#source.text(start, end);
  }

  /** Where in `#met` the origin at hand is, or is now. */
  #find(): number {
    const hash = this.#hash();
    const known = this.#metByHash.get(hash);
    if (known !== undefined && this.#isMet(known)) return known;
    const met = this.#met;
    const at = met.length;
    const { length } = this.#origin;
    met.push(
      length,
      this.#builder.addResource((out) => this.#write(out)),
    );
    for (let i = 0; i < length; i += 2) met.push(this.#origin.at(i), this.#origin.at(i + 1));
    this.#metByHash.set(hash, at);
    return at;
  }

  /** Whether the origin at hand is the one at `at` of `#met`. */
  #isMet(at: number): boolean {
    const { values, length } = this.#origin;
    const met = this.#met.values;
    if (met[at + LENGTH_AT] !== length) return false;
    for (let i = 0; i < length; i += 2) {
      const start = values[i] ?? 0;
      const size = (values[i + 1] ?? 0) - start;
      const metStart = met[at + OFFSETS_AT + i] ?? 0;
      if ((met[at + OFFSETS_AT + i + 1] ?? 0) - metStart !== size) return false;
      if (!this.#source.isSame(start, metStart, size)) return false;
    }
    return true;
  }

  #hash(): number {
    const { values, length } = this.#origin;
    let hash = 0;
    for (let i = 0; i < length; i += 2) hash = this.#source.hash(values[i] ?? 0, values[i + 1] ?? 0, hash);
    return hash;
  }

  #write(out: WireWriter): void {
    const source = this.#source;
    const origin = this.#origin;
    const name = source.text(origin.at(SOURCE), origin.at(SOURCE + 1)) || SERVICE_NAME;
    let isNamed = !this.#hasService();
    for (let i = TAGS; i < origin.length; i += 4) {
      // A tag of the same key was set on purpose.
      isNamed ||= source.text(origin.at(i), origin.at(i + 1)) === name;
      out.textAttribute(ATTRIBUTES_TAG, source, origin.values, i);
    }
    if (isNamed) return;
    out.stringAttribute(ATTRIBUTES_TAG, name, source.text(origin.at(SERVICE), origin.at(SERVICE + 1)));
  }
}

function setRange(range: Range, value: Range): void {
  range[0] = value[0];
  range[1] = value[1];
}
