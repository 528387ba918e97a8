// Zipkin v1 JSON. A format of the past: its bodies are parsed as a whole.
import type { Limits } from "../model/limits.ts";
import type { Converted } from "../otlp/batch-builder.ts";
import { BatchBuilder } from "../otlp/batch-builder.ts";
import type { JsonObject } from "../otlp/json-scalars.ts";
import { isObject, nameOf } from "../otlp/json-scalars.ts";
import { base64Digits, base64Length, decodeBase64, parseInteger } from "../otlp/json-values.ts";
import { parseJson } from "../otlp/json.ts";
import { AppError } from "../util/errors.ts";
import { clearWords, parseHexText } from "./hex-ids.ts";
import type { V1Annotation, V1BinaryAnnotation, V1Endpoint, V1Span, V1Value } from "./v1-span.ts";
import { V1Writer } from "./v1-writer.ts";
import { SPAN_ID_WORDS, TRACE_ID_WORDS } from "./v2-span.ts";

const PORT_MAX = 65_535;

/** Where a value lies in its span, for the text of a refusal. */
type Place = string;

/** Reads one span; notes the first thing that does not fit instead of throwing: a body may have a million bad spans. */
class Reader {
  refusal = "";
  // Of the span at hand. New ones for each of a million spans would be most of what the whole takes.
  readonly #traceId = new Uint32Array(TRACE_ID_WORDS);
  readonly #spanId = new Uint32Array(SPAN_ID_WORDS);
  readonly #parentId = new Uint32Array(SPAN_ID_WORDS);

  #refuse(place: Place, expected: string, value: unknown): void {
    if (this.refusal !== "") return;
    this.refusal =
      value === undefined ? `${place}: missing` : `${place}: expected ${expected}, got ${nameOf(value)}`;
  }

  /** The span, until the next is read; undefined, and `refusal` says why, when it cannot be taken. */
  span(value: unknown): V1Span | undefined {
    this.refusal = "";
    if (!isObject(value)) {
      this.#refuse("", "an object", value);
      return undefined;
    }
    const duration = value["duration"] ?? undefined;
    const span: V1Span = {
      traceId: this.#id(".traceId", value["traceId"], this.#traceId),
      id: this.#id(".id", value["id"], this.#spanId),
      parentId: this.#id(".parentId", value["parentId"] ?? "", this.#parentId),
      name: this.#text(".name", value["name"]),
      timestamp: this.#micros(".timestamp", value["timestamp"]),
      duration: duration === undefined ? undefined : this.#micros(".duration", duration),
      annotations: this.#list(".annotations", value["annotations"], (item, place) =>
        this.#annotation(item, place),
      ),
      binaryAnnotations: this.#list(".binaryAnnotations", value["binaryAnnotations"], (item, place) =>
        this.#binaryAnnotation(item, place),
      ),
    };
    return this.refusal === "" ? span : undefined;
  }

  #id(place: Place, value: unknown, id: Uint32Array): Uint32Array {
    clearWords(id);
    if (typeof value !== "string") this.#refuse(place, "a string", value);
    else if (value === "" && place === ".parentId") return id;
    else if (!parseHexText(value, id)) this.#refuse(place, `up to ${8 * id.length} hex digits`, value);
    return id;
  }

  #text(place: Place, value: unknown): string {
    if (value === undefined || value === null) return "";
    if (typeof value === "string") return value;
    this.#refuse(place, "a string", value);
    return "";
  }

  /** Microseconds: a number, or digits in a string. */
  #micros(place: Place, value: unknown): number {
    if (value === undefined || value === null) return 0;
    const micros = typeof value === "string" && /^\d{1,16}$/.test(value) ? Number(value) : value;
    if (typeof micros === "number" && micros >= 0 && micros <= Number.MAX_SAFE_INTEGER) return micros;
    this.#refuse(place, "microseconds, an unsigned integer", value);
    return 0;
  }

  #list<Item>(place: Place, value: unknown, read: (item: JsonObject, place: Place) => Item): Item[] {
    if (value === undefined || value === null) return [];
    if (!Array.isArray(value)) {
      this.#refuse(place, "an array", value);
      return [];
    }
    const items: Item[] = [];
    for (let i = 0; i < value.length && this.refusal === ""; i++) {
      const item: unknown = value[i];
      if (isObject(item)) items.push(read(item, `${place}[${i}]`));
      else if (item !== null) this.#refuse(`${place}[${i}]`, "an object", item);
    }
    return items;
  }

  #endpoint(value: unknown, place: Place): V1Endpoint | undefined {
    if (value === undefined || value === null) return undefined;
    if (!isObject(value)) {
      this.#refuse(place, "an object", value);
      return undefined;
    }
    const port = value["port"] ?? 0;
    const number = typeof port === "string" && /^\d{1,5}$/.test(port) ? Number(port) : port;
    const isPort =
      typeof number === "number" && Number.isInteger(number) && number >= 0 && number <= PORT_MAX;
    if (!isPort) this.#refuse(`${place}.port`, `a number from 0 to ${PORT_MAX}`, port);
    return {
      serviceName: this.#text(`${place}.serviceName`, value["serviceName"]),
      ipv4: this.#text(`${place}.ipv4`, value["ipv4"]),
      ipv6: this.#text(`${place}.ipv6`, value["ipv6"]),
      port: isPort ? number : 0,
    };
  }

  #annotation(item: JsonObject, place: Place): V1Annotation {
    return {
      timestamp: this.#micros(`${place}.timestamp`, item["timestamp"]),
      value: this.#text(`${place}.value`, item["value"]),
      endpoint: this.#endpoint(item["endpoint"], `${place}.endpoint`),
    };
  }

  #binaryAnnotation(item: JsonObject, place: Place): V1BinaryAnnotation {
    return {
      key: this.#text(`${place}.key`, item["key"]),
      value: this.#value(item["value"], item["type"], `${place}.value`),
      endpoint: this.#endpoint(item["endpoint"], `${place}.endpoint`),
    };
  }

  /** A value is text, or what its `type` says, or, without one, what it is in JSON. */
  #value(value: unknown, type: unknown, place: Place): V1Value {
    if (typeof value === "boolean") return { type: "bool", value };
    if (typeof value === "number") return type === "DOUBLE" ? { type: "double", value } : numberValue(value);
    if (typeof value === "string") return typedValue(value, type);
    this.#refuse(place, "a string, number or boolean", value);
    return { type: "string", value: "" };
  }
}

function numberValue(value: number): V1Value {
  const halves = { low: 0, high: 0 };
  if (!Number.isSafeInteger(value) || !parseInteger(value, true, halves)) return { type: "double", value };
  return { type: "int", low: halves.low, high: halves.high };
}

/** A text that its sender typed; one that does not fit its type stays text. */
function typedValue(value: string, type: unknown): V1Value {
  const halves = { low: 0, high: 0 };
  switch (type) {
    case "I16":
    case "I32":
    case "I64":
      return parseInteger(value, true, halves) ? { type: "int", ...halves } : { type: "string", value };
    case "DOUBLE": {
      const number = value.trim() === "" ? Number.NaN : Number(value);
      return Number.isNaN(number) ? { type: "string", value } : { type: "double", value: number };
    }
    case "BOOL":
      return value === "true" || value === "false"
        ? { type: "bool", value: value === "true" }
        : { type: "string", value };
    case "BYTES": {
      const digits = base64Digits(value);
      const bytes = new Uint8Array(Math.max(0, base64Length(digits)));
      const isBase64 = base64Length(digits) >= 0 && decodeBase64(value, digits, bytes);
      return isBase64 ? { type: "bytes", value: bytes } : { type: "string", value };
    }
    default:
      return { type: "string", value };
  }
}

/**
 * Converts a Zipkin v1 JSON body. Spans that cannot be taken are counted, with the place in the first of them.
 * @param body UTF-8; neither changed nor retained
 * @param nowMs milliseconds since the Unix epoch, for spans without any time
 * @throws AppError `invalid_argument` when the body is no list or no JSON, naming the byte; `too_large`
 */
export function convertV1Json(body: Uint8Array, limits: Limits, nowMs: number): Converted {
  const document = parseJson(body, limits);
  if (!Array.isArray(document)) {
    throw new AppError("invalid_argument", `expected a list of spans, got ${nameOf(document)}`);
  }
  const builder = new BatchBuilder(body.length, limits);
  const writer = new V1Writer(builder, nowMs);
  const reader = new Reader();
  for (let i = 0; i < document.length; i++) {
    const span = reader.span(document[i]);
    if (span === undefined) builder.refuseUnbegun(i, reader.refusal);
    else writer.write(span, i);
  }
  return builder.finish();
}
