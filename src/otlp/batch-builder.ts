// TracesData from spans that come one by one in any order of resources: what the converters of other formats write to.
import type { Limits } from "../model/limits.ts";
import { AppError } from "../util/errors.ts";
import { LENGTH, RESOURCE_SPANS, SCOPE, SCOPE_SPANS, TRACES_DATA, tagOf } from "./wire.ts";
import { WireWriter, varintLength } from "./wire-writer.ts";

const SPAN_TAG = tagOf(SCOPE_SPANS.spans, LENGTH);
/** Most spans have 128 to 16,383 bytes. */
const SPAN_ROOM = 2;
const START_BYTES_MAX = 1 << 20;
const RESOURCE_BYTES = 256;
/** Resources of a batch, each some 800 bytes of heap with its scope; real batches have tens. */
const RESOURCES_MAX = 50_000;
/** Spans refused one by one; more is no batch of spans. An empty one is a byte of Thrift: 32 MiB hold 32 million. */
const REFUSED_MAX = 1_000_000;

/**
 * The buffer of the batch before. What is in it is never read, only written over. A new one for each batch of
 * 512 spans, 320 KB, took a quarter of the time of a Jaeger batch: its pages are faulted in one by one.
 */
let spare: Uint8Array | undefined;
const SPARE_BYTES_MAX = 2 * START_BYTES_MAX;

/** What a converter made of a body. */
export interface Converted {
  /** TracesData. Owns its buffer. */
  readonly traces: Uint8Array;
  /** Spans that could not be taken, one by one. */
  readonly refusedSpans: number;
  /** Where and why the first of them was refused (`[3].traceId: ...`); never a value of it. */
  readonly firstRefusal: string | undefined;
}

interface Scope {
  /** Its field of ScopeSpans. */
  readonly head: Uint8Array;
  /** Neighbouring spans, by where they begin in `out`; a run ends where the next of any scope begins. */
  readonly runs: number[];
  /** Bytes of the ScopeSpans; known in the end. */
  length: number;
}

interface Resource {
  /** Where its fields lie in `#resourceBytes`. */
  start: number;
  end: number;
  readonly scopes: Scope[];
  /** Bytes of the ResourceSpans; known in the end. */
  length: number;
}

/** Bytes of a field of `length` bytes with a tag of one byte. */
function fieldLength(length: number): number {
  return 1 + varintLength(length) + length;
}

/**
 * Collects spans. They are written to `out` as they come; `finish` puts them in order: each resource once, in order of
 * first appearance, below it each scope once.
 */
export class BatchBuilder {
  /** Throws AppError `too_large` when the spans grow beyond what a body may have. */
  readonly out: WireWriter;
  refusedSpans = 0;
  firstRefusal: string | undefined;
  /** All resources in one buffer: a hostile batch names another one in each span. */
  readonly #resourceBytes = new WireWriter(RESOURCE_BYTES);
  readonly #resources: Resource[] = [];
  readonly #scopes: Scope[] = [];
  readonly #scopeIds = new Map<string, number>();
  readonly #scopeHeads = new Map<string, Uint8Array>();
  /** Where runs begin in `out`, ascending, and the index of that run's scope. */
  readonly #runStarts: number[] = [];
  #lastScope = -1;
  #spanStart = 0;
  #spanBody = 0;

  /** @param bodyBytes length of the body that is converted, from which the size of the result is guessed */
  constructor(bodyBytes: number, limits: Limits) {
    const room = Math.min(bodyBytes, START_BYTES_MAX) + 256;
    const buffer = spare;
    if (buffer !== undefined && buffer.length >= room && buffer.length <= limits.maxBodyBytes) {
      // Ours until it is given back: a second builder gets one of its own.
      spare = undefined;
      this.out = new WireWriter(buffer, limits.maxBodyBytes);
    } else {
      this.out = new WireWriter(room, limits.maxBodyBytes);
    }
  }

  /**
   * A resource that is filled later, with `fillResource`: its spans may come first. Returns its id.
   * @throws AppError `too_large` past 50,000
   */
  reserveResource(): number {
    if (this.#resources.length === RESOURCES_MAX) {
      throw new AppError("too_large", `spans of more than ${RESOURCES_MAX} resources`);
    }
    this.#resources.push({ start: 0, end: 0, scopes: [], length: 0 });
    return this.#resources.length - 1;
  }

  /** Gives a reserved resource the attributes that `write` writes (fields of Resource). */
  fillResource(resource: number, write: (out: WireWriter) => void): void {
    const start = this.#resourceBytes.length;
    write(this.#resourceBytes);
    const reserved = this.#resources[resource];
    if (reserved === undefined) return;
    reserved.start = start;
    reserved.end = this.#resourceBytes.length;
  }

  /** A resource of the attributes that `write` writes (fields of Resource). Returns its id. Throws as `reserveResource`. */
  addResource(write: (out: WireWriter) => void): number {
    const resource = this.reserveResource();
    this.fillResource(resource, write);
    return resource;
  }

  /** The id of the scope of this name and version below `resource`. Ask when a span is about to end with it. */
  scopeOf(resource: number, name: string, version: string): number {
    const headKey = `${name.length} ${name}${version}`;
    const key = `${resource} ${headKey}`;
    const known = this.#scopeIds.get(key);
    if (known !== undefined) return known;
    let head = this.#scopeHeads.get(headKey);
    if (head === undefined) {
      head = scopeHead(name, version);
      this.#scopeHeads.set(headKey, head);
    }
    const scope: Scope = { head, runs: [], length: head.length };
    this.#scopes.push(scope);
    this.#resources[resource]?.scopes.push(scope);
    this.#scopeIds.set(key, this.#scopes.length - 1);
    return this.#scopes.length - 1;
  }

  /** Begins a span: what is written to `out` from here on is its fields. */
  begin(): void {
    this.#spanStart = this.out.length;
    this.#spanBody = this.out.open(SPAN_TAG, SPAN_ROOM);
  }

  /** Ends the span and puts it below `scope`. */
  end(scope: number): void {
    this.out.close(this.#spanBody, SPAN_ROOM);
    if (scope === this.#lastScope) return;
    this.#lastScope = scope;
    this.#scopes[scope]?.runs.push(this.#runStarts.length);
    this.#runStarts.push(this.#spanStart);
  }

  /**
   * Takes back the span that was begun and counts it as refused. `why` begins with the place within the span
   * (`.traceId: ...`) or with a colon.
   */
  refuse(index: number, why: string): void {
    this.out.rewind(this.#spanStart);
    this.refuseUnbegun(index, why);
  }

  /**
   * Counts a span that was not begun as refused.
   * @throws AppError `invalid_argument` past a million
   */
  refuseUnbegun(index: number, why: string): void {
    this.refusedSpans++;
    this.firstRefusal ??= `[${index}]${why}`;
    if (this.refusedSpans > REFUSED_MAX) {
      throw new AppError(
        "invalid_argument",
        `more than ${REFUSED_MAX} spans refused, the first: ${this.firstRefusal}`,
      );
    }
  }

  /** The builder may not be used afterwards. */
  finish(): Converted {
    const { refusedSpans, firstRefusal } = this;
    const traces = this.#assemble();
    const buffer = this.out.release();
    if (buffer.length <= SPARE_BYTES_MAX && buffer.length > (spare?.length ?? 0)) spare = buffer;
    return { traces, refusedSpans, firstRefusal };
  }

  /** All lengths are computed before a byte is written, so the result is allocated once and exactly. */
  #assemble(): Uint8Array {
    this.#runStarts.push(this.out.length);
    const out = new WireWriter(Math.max(1, this.#measure()));
    for (const resource of this.#resources) {
      if (resource.scopes.length === 0) continue;
      out.head(tagOf(TRACES_DATA.resourceSpans, LENGTH), resource.length);
      out.head(tagOf(RESOURCE_SPANS.resource, LENGTH), resource.end - resource.start);
      out.raw(this.#resourceBytes.view(resource.start, resource.end));
      for (const scope of resource.scopes) {
        out.head(tagOf(RESOURCE_SPANS.scopeSpans, LENGTH), scope.length);
        out.raw(scope.head);
        for (const run of scope.runs) out.raw(this.out.view(this.#runStart(run), this.#runStart(run + 1)));
      }
    }
    return out.takeAll();
  }

  #runStart(run: number): number {
    return this.#runStarts[run] ?? 0;
  }

  /** Sets the lengths of scopes and resources and returns that of the whole. */
  #measure(): number {
    let total = 0;
    for (const resource of this.#resources) {
      if (resource.scopes.length === 0) continue;
      resource.length = fieldLength(resource.end - resource.start);
      for (const scope of resource.scopes) {
        for (const run of scope.runs) scope.length += this.#runStart(run + 1) - this.#runStart(run);
        resource.length += fieldLength(scope.length);
      }
      total += fieldLength(resource.length);
    }
    return total;
  }
}

/** The scope field of a ScopeSpans. */
function scopeHead(name: string, version: string): Uint8Array {
  const out = new WireWriter(RESOURCE_BYTES);
  const body = out.open(tagOf(SCOPE_SPANS.scope, LENGTH), 1);
  if (name !== "") out.string(tagOf(SCOPE.name, LENGTH), name);
  if (version !== "") out.string(tagOf(SCOPE.version, LENGTH), version);
  out.close(body, 1);
  return out.take();
}
