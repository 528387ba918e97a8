// A trace as JSON objects, read back from its JSON answer: for what works on a whole trace at once.
import { traceChunks } from "../../query/trace-body.ts";
import type { FoundTrace } from "../../query/find-trace.ts";
import { concatBytes } from "../../util/bytes.ts";

/** OTLP's AnyValue in JSON: one of these, or none. */
export interface JsonValue {
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly intValue?: string;
  readonly doubleValue?: number | string;
  readonly bytesValue?: string;
  readonly arrayValue?: { readonly values?: readonly JsonValue[] };
  readonly kvlistValue?: { readonly values?: readonly JsonAttribute[] };
}

export interface JsonAttribute {
  readonly key?: string;
  readonly value?: JsonValue;
}

export interface JsonEvent {
  readonly name?: string;
  readonly timeUnixNano?: string;
  readonly attributes?: readonly JsonAttribute[];
}

/** Ids are base64. What is empty or 0 is absent. */
export interface JsonSpan {
  readonly traceId?: string;
  readonly spanId?: string;
  readonly parentSpanId?: string;
  readonly name?: string;
  readonly kind?: string;
  readonly startTimeUnixNano?: string;
  readonly endTimeUnixNano?: string;
  readonly attributes?: readonly JsonAttribute[];
  readonly events?: readonly JsonEvent[];
  readonly links?: readonly {
    readonly traceId?: string;
    readonly spanId?: string;
    readonly attributes?: readonly JsonAttribute[];
  }[];
  readonly status?: { readonly code?: string; readonly message?: string };
}

export interface JsonScope {
  readonly scope?: { readonly name?: string; readonly version?: string };
  readonly spans?: readonly JsonSpan[];
}

export interface JsonTrace {
  readonly trace: {
    readonly resourceSpans?: readonly {
      readonly resource?: { readonly attributes?: readonly JsonAttribute[] };
      readonly scopeSpans?: readonly JsonScope[];
    }[];
  };
  readonly status?: string;
  readonly message?: string;
}

/** The trace that was found, which cannot be read again. @throws AppError `corrupt` */
export function traceJson(found: FoundTrace, maxValueDepth: number): JsonTrace {
  const chunks = traceChunks(found, { version: 2, encoding: "json", maxValueDepth });
  // Our own writer's output.
  const json: JsonTrace = JSON.parse(new TextDecoder().decode(concatBytes([...chunks])));
  return json;
}

/** A value as JSON has it: ints that fit are numbers, bytes stay base64. */
export function plainValue(value: JsonValue = {}): unknown {
  if (value.intValue !== undefined) {
    const int = Number(value.intValue);
    return Number.isSafeInteger(int) ? int : value.intValue;
  }
  if (value.arrayValue !== undefined) return (value.arrayValue.values ?? []).map((each) => plainValue(each));
  if (value.kvlistValue !== undefined) return plainAttributes(value.kvlistValue.values);
  return value.stringValue ?? value.boolValue ?? value.doubleValue ?? value.bytesValue ?? null;
}

export function plainAttributes(attributes: readonly JsonAttribute[] = []): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key = "", value }) => [key, plainValue(value)]));
}

/** Base64 as lower-case hex. */
export function hexOfBase64(text = ""): string {
  return Array.from(atob(text), (char) => char.charCodeAt(0).toString(16).padStart(2, "0")).join("");
}

/** The resource's `service.name`; "" without. */
export function serviceOf(attributes: readonly JsonAttribute[] = []): string {
  return attributes.find(({ key }) => key === "service.name")?.value?.stringValue ?? "";
}

export function nanosOf(text = "0"): bigint {
  return BigInt(text);
}
