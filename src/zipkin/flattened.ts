// Events and links that an OpenTelemetry exporter flattened into text, because Zipkin has no place for them.
//
//     event = name "|" object "|" dropped
//     link  = traceId "|" spanId "|" traceState "|" object "|" dropped
//
// The object is JSON, dropped a number of attributes. What is not of this form is kept as the text that it is.
import { isWithinDepth, jsonAttributes } from "../otlp/attributes.ts";
import type { JsonObject } from "../otlp/json-scalars.ts";
import { isObject } from "../otlp/json-scalars.ts";
import { EVENT, LENGTH, LINK, VARINT, tagOf } from "../otlp/wire.ts";
import type { WireWriter } from "../otlp/wire-writer.ts";
import { isZero, parseHexText } from "./hex-ids.ts";

/**
 * Malformed objects of one batch after which no more are tried: each costs a thrown error, 3 us, and a hostile batch
 * has a million.
 */
const MALFORMED_MAX = 1000;

interface Tail {
  readonly attributes: JsonObject;
  readonly dropped: number;
}

export class Flattened {
  readonly #out: WireWriter;
  readonly #maxValueDepth: number;
  readonly #traceId = new Uint32Array(4);
  readonly #spanId = new Uint32Array(2);
  #malformed = 0;

  constructor(out: WireWriter, maxValueDepth: number) {
    this.#out = out;
    this.#maxValueDepth = maxValueDepth;
  }

  /** Writes name, attributes and dropped count of the event message that is open. */
  event(text: string): void {
    const bar = text.indexOf("|");
    const tail = bar < 0 ? undefined : this.#tail(text, bar + 1);
    const name = tail === undefined ? text : text.slice(0, bar);
    if (name !== "") this.#out.string(tagOf(EVENT.name, LENGTH), name);
    if (tail === undefined) return;
    jsonAttributes(this.#out, tagOf(EVENT.attributes, LENGTH), tail.attributes);
    if (tail.dropped > 0) this.#out.varint64(tagOf(EVENT.droppedAttributesCount, VARINT), tail.dropped, 0);
  }

  /** Writes a link as the repeated field `tag`. Returns false, and writes nothing, when `text` is none. */
  link(tag: number, text: string): boolean {
    const [traceId = "", spanId = "", traceState = ""] = text.split("|", 3);
    const head = traceId.length + spanId.length + traceState.length + 3;
    if (!parseHexText(unquoted(traceId), this.#traceId) || isZero(this.#traceId)) return false;
    if (!parseHexText(unquoted(spanId), this.#spanId) || isZero(this.#spanId)) return false;
    const tail = this.#tail(text, head);
    if (tail === undefined) return false;
    const out = this.#out;
    const body = out.open(tag, 1);
    out.words(tagOf(LINK.traceId, LENGTH), this.#traceId, 4);
    out.words(tagOf(LINK.spanId, LENGTH), this.#spanId, 2);
    if (traceState !== "") out.string(tagOf(LINK.traceState, LENGTH), traceState);
    jsonAttributes(out, tagOf(LINK.attributes, LENGTH), tail.attributes);
    if (tail.dropped > 0) out.varint64(tagOf(LINK.droppedAttributesCount, VARINT), tail.dropped, 0);
    out.close(body, 1);
    return true;
  }

  /** The object and the number behind it, from `start` to the end. */
  #tail(text: string, start: number): Tail | undefined {
    const bar = text.lastIndexOf("|");
    if (bar <= start || text[start] !== "{" || text[bar - 1] !== "}") return undefined;
    const digits = text.slice(bar + 1);
    const dropped = /^\d{1,10}$/.test(digits) ? Number(digits) : Infinity;
    if (dropped > 0xffffffff) return undefined;
    const attributes = this.#parse(text.slice(start, bar));
    return attributes === undefined ? undefined : { attributes, dropped };
  }

  #parse(json: string): JsonObject | undefined {
    if (this.#malformed >= MALFORMED_MAX) return undefined;
    try {
      const value: unknown = JSON.parse(json);
      if (isObject(value) && isWithinDepth(value, this.#maxValueDepth + 1)) return value;
    } catch {
      // Not JSON, then: text that happens to hold bars.
    }
    this.#malformed++;
    return undefined;
  }
}

function unquoted(id: string): string {
  return id.length > 2 && id.startsWith('"') && id.endsWith('"') ? id.slice(1, -1) : id;
}
