// The fields that json-stream.ts converts: name, tag, kind.
import { MESSAGE } from "./schema.ts";
import {
  ANY_VALUE,
  ARRAY_VALUE,
  EVENT,
  FIXED32,
  FIXED64,
  KEY_VALUE,
  KEY_VALUE_LIST,
  LENGTH,
  LINK,
  RESOURCE,
  RESOURCE_SPANS,
  SCOPE,
  SCOPE_SPANS,
  SPAN,
  STATUS,
  TRACES_DATA,
  VARINT,
  tagOf,
} from "./wire.ts";

export type Kind =
  | "string"
  | "id"
  | "fixed64"
  | "fixed32"
  | "varint"
  | "int64"
  | "double"
  | "bool"
  | "message"
  | "list";

export interface Field {
  /** The name with the quote that ends it. */
  readonly name: Uint8Array;
  readonly tag: number;
  readonly kind: Kind;
  readonly child: number;
  /** Zero and empty are written: within a oneof they say which. */
  readonly explicit: boolean;
}

const WIRE_TYPES: Readonly<Record<Kind, number>> = {
  string: LENGTH,
  id: LENGTH,
  fixed64: FIXED64,
  fixed32: FIXED32,
  varint: VARINT,
  int64: VARINT,
  double: FIXED64,
  bool: VARINT,
  message: LENGTH,
  list: LENGTH,
};

/** The fields of one message, of those that this file converts, in the order in which exporters write them. */
function fieldsOf(
  numbers: Readonly<Record<string, number>>,
  kinds: Readonly<Record<string, Kind | readonly [Kind, number]>>,
): readonly Field[] {
  return Object.entries(kinds).map(([name, type]) => {
    const [kind, child] = typeof type === "string" ? [type, 0] : type;
    return {
      name: new TextEncoder().encode(`${name}"`),
      tag: tagOf(numbers[name] ?? 0, WIRE_TYPES[kind]),
      kind,
      child,
      explicit: numbers === ANY_VALUE,
    };
  });
}

const M = MESSAGE;
const ATTRIBUTES = ["list", M.keyValue] as const;

/** By message type, see schema.ts. Empty for messages that json-stream.ts leaves to json.ts. */
export const FIELDS: readonly (readonly Field[])[] = Object.values({
  [0]: [],
  [M.tracesData]: fieldsOf(TRACES_DATA, { resourceSpans: ["list", M.resourceSpans] }),
  [M.resourceSpans]: fieldsOf(RESOURCE_SPANS, {
    resource: ["message", M.resource],
    scopeSpans: ["list", M.scopeSpans],
    schemaUrl: "string",
  }),
  [M.scopeSpans]: fieldsOf(SCOPE_SPANS, {
    scope: ["message", M.scope],
    spans: ["list", M.span],
    schemaUrl: "string",
  }),
  [M.span]: fieldsOf(SPAN, {
    traceId: "id",
    spanId: "id",
    traceState: "string",
    parentSpanId: "id",
    flags: "fixed32",
    name: "string",
    kind: "varint",
    startTimeUnixNano: "fixed64",
    endTimeUnixNano: "fixed64",
    attributes: ATTRIBUTES,
    droppedAttributesCount: "varint",
    events: ["list", M.event],
    droppedEventsCount: "varint",
    links: ["list", M.link],
    droppedLinksCount: "varint",
    status: ["message", M.status],
  }),
  [M.resource]: fieldsOf(RESOURCE, { attributes: ATTRIBUTES, droppedAttributesCount: "varint" }),
  [M.entityRef]: [],
  [M.scope]: fieldsOf(SCOPE, {
    name: "string",
    version: "string",
    attributes: ATTRIBUTES,
    droppedAttributesCount: "varint",
  }),
  [M.event]: fieldsOf(EVENT, {
    timeUnixNano: "fixed64",
    name: "string",
    attributes: ATTRIBUTES,
    droppedAttributesCount: "varint",
  }),
  [M.link]: fieldsOf(LINK, {
    traceId: "id",
    spanId: "id",
    traceState: "string",
    attributes: ATTRIBUTES,
    droppedAttributesCount: "varint",
    flags: "fixed32",
  }),
  [M.status]: fieldsOf(STATUS, { message: "string", code: "varint" }),
  [M.keyValue]: fieldsOf(KEY_VALUE, { key: "string", value: ["message", M.anyValue] }),
  [M.anyValue]: fieldsOf(ANY_VALUE, {
    stringValue: "string",
    intValue: "int64",
    boolValue: "bool",
    doubleValue: "double",
    arrayValue: ["message", M.arrayValue],
    kvlistValue: ["message", M.keyValueList],
  }),
  [M.arrayValue]: fieldsOf(ARRAY_VALUE, { values: ["list", M.anyValue] }),
  [M.keyValueList]: fieldsOf(KEY_VALUE_LIST, { values: ["list", M.keyValue] }),
});
