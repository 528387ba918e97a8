// The JSON form of OTLP's messages as tables: names, types, order. trace-json.ts prints by them.
import { ascii } from "./json-writer.ts";
import {
  ANY_VALUE,
  ARRAY_VALUE,
  ENTITY_REF,
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
  tagOf,
  VARINT,
} from "./wire.ts";

// What a field holds.
export const STRING = 0;
export const BYTES = 1;
export const UINT32 = 2;
export const ENUM = 3;
export const BOOL = 4;
export const INT64 = 5;
export const UINT64 = 6; // fixed64
export const FLAGS = 7; // fixed32
export const DOUBLE = 8;
export const MESSAGE = 9;

export const WIRE_TYPES = [LENGTH, LENGTH, VARINT, VARINT, VARINT, VARINT, FIXED64, FIXED32, FIXED64, LENGTH];

export interface Field {
  readonly type: number;
  /** `"name":` */
  readonly name: Uint8Array;
  readonly repeated: boolean;
  /** Printed as `{}` when absent: Grafana's back end dereferences it unchecked. */
  readonly always: boolean;
  readonly message: Message | undefined;
  /** Quoted enum names by number. */
  readonly enumNames: readonly Uint8Array[];
}

export interface Message {
  /** In the order of printing. */
  readonly fields: Field[];
  /** Index into `fields` by tag, -1 for unknown. No known tag is above 133 (`flags` of a span). */
  readonly indexOfTag: Int8Array;
  /** The members exclude each other and are printed even when they hold their default. */
  readonly oneof: boolean;
}

interface FieldOptions {
  readonly repeated?: boolean;
  readonly always?: boolean;
  readonly message?: Message;
  readonly enumNames?: readonly string[];
}

type FieldRow = readonly [name: string, number: number, type: number, options?: FieldOptions];

export const KNOWN_TAGS = 256;

function addFields(message: Message, rows: readonly FieldRow[]): Message {
  for (const [name, number, type, options = {}] of rows) {
    message.indexOfTag[tagOf(number, WIRE_TYPES[type] ?? 0)] = message.fields.length;
    message.fields.push({
      type,
      name: ascii(`"${name}":`),
      repeated: options.repeated ?? false,
      always: options.always ?? false,
      message: options.message,
      enumNames: (options.enumNames ?? []).map((text) => ascii(`"${text}"`)),
    });
  }
  return message;
}

function emptyMessage(oneof: boolean): Message {
  return { fields: [], indexOfTag: new Int8Array(KNOWN_TAGS).fill(-1), oneof };
}

function describe(...rows: readonly FieldRow[]): Message {
  return addFields(emptyMessage(false), rows);
}

export const ANY = emptyMessage(true);
const PAIR = describe(["key", KEY_VALUE.key, STRING], ["value", KEY_VALUE.value, MESSAGE, { message: ANY }]);
const PAIRS: FieldOptions = { repeated: true, message: PAIR };
const VALUES: FieldOptions = { repeated: true, message: ANY };
addFields(ANY, [
  ["stringValue", ANY_VALUE.stringValue, STRING],
  ["boolValue", ANY_VALUE.boolValue, BOOL],
  ["intValue", ANY_VALUE.intValue, INT64],
  ["doubleValue", ANY_VALUE.doubleValue, DOUBLE],
  [
    "arrayValue",
    ANY_VALUE.arrayValue,
    MESSAGE,
    { message: describe(["values", ARRAY_VALUE.values, MESSAGE, VALUES]) },
  ],
  [
    "kvlistValue",
    ANY_VALUE.kvlistValue,
    MESSAGE,
    { message: describe(["values", KEY_VALUE_LIST.values, MESSAGE, PAIRS]) },
  ],
  ["bytesValue", ANY_VALUE.bytesValue, BYTES],
]);

const ENTITY = describe(
  ["schemaUrl", ENTITY_REF.schemaUrl, STRING],
  ["type", ENTITY_REF.type, STRING],
  ["idKeys", ENTITY_REF.idKeys, STRING, { repeated: true }],
  ["descriptionKeys", ENTITY_REF.descriptionKeys, STRING, { repeated: true }],
);
const RESOURCE_FIELD: FieldRow = [
  "resource",
  RESOURCE_SPANS.resource,
  MESSAGE,
  {
    always: true,
    message: describe(
      ["attributes", RESOURCE.attributes, MESSAGE, PAIRS],
      ["droppedAttributesCount", RESOURCE.droppedAttributesCount, UINT32],
      ["entityRefs", RESOURCE.entityRefs, MESSAGE, { repeated: true, message: ENTITY }],
    ),
  },
];
const SCOPE_FIELD: FieldRow = [
  "scope",
  SCOPE_SPANS.scope,
  MESSAGE,
  {
    always: true,
    message: describe(
      ["name", SCOPE.name, STRING],
      ["version", SCOPE.version, STRING],
      ["attributes", SCOPE.attributes, MESSAGE, PAIRS],
      ["droppedAttributesCount", SCOPE.droppedAttributesCount, UINT32],
    ),
  },
];
const EVENT_MESSAGE = describe(
  ["timeUnixNano", EVENT.timeUnixNano, UINT64],
  ["name", EVENT.name, STRING],
  ["attributes", EVENT.attributes, MESSAGE, PAIRS],
  ["droppedAttributesCount", EVENT.droppedAttributesCount, UINT32],
);
const LINK_MESSAGE = describe(
  ["traceId", LINK.traceId, BYTES],
  ["spanId", LINK.spanId, BYTES],
  ["traceState", LINK.traceState, STRING],
  ["attributes", LINK.attributes, MESSAGE, PAIRS],
  ["droppedAttributesCount", LINK.droppedAttributesCount, UINT32],
  ["flags", LINK.flags, FLAGS],
);
const KINDS = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"].map(
  (kind) => `SPAN_KIND_${kind}`,
);
const CODES = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];
const STATUS_MESSAGE = describe(
  ["message", STATUS.message, STRING],
  ["code", STATUS.code, ENUM, { enumNames: CODES }],
);
export const SPAN_MESSAGE = describe(
  ["traceId", SPAN.traceId, BYTES],
  ["spanId", SPAN.spanId, BYTES],
  ["traceState", SPAN.traceState, STRING],
  ["parentSpanId", SPAN.parentSpanId, BYTES],
  ["flags", SPAN.flags, FLAGS],
  ["name", SPAN.name, STRING],
  ["kind", SPAN.kind, ENUM, { enumNames: KINDS }],
  ["startTimeUnixNano", SPAN.startTimeUnixNano, UINT64],
  ["endTimeUnixNano", SPAN.endTimeUnixNano, UINT64],
  ["attributes", SPAN.attributes, MESSAGE, PAIRS],
  ["droppedAttributesCount", SPAN.droppedAttributesCount, UINT32],
  ["events", SPAN.events, MESSAGE, { repeated: true, message: EVENT_MESSAGE }],
  ["droppedEventsCount", SPAN.droppedEventsCount, UINT32],
  ["links", SPAN.links, MESSAGE, { repeated: true, message: LINK_MESSAGE }],
  ["droppedLinksCount", SPAN.droppedLinksCount, UINT32],
  ["status", SPAN.status, MESSAGE, { always: true, message: STATUS_MESSAGE }],
);
// The containers without their lists, for callers that choose the members themselves; and whole.
const SCHEMA_FIELD: FieldRow = ["schemaUrl", RESOURCE_SPANS.schemaUrl, STRING];
export const RESOURCE_SPANS_HEAD = describe(RESOURCE_FIELD, SCHEMA_FIELD);
export const SCOPE_SPANS_HEAD = describe(SCOPE_FIELD, ["schemaUrl", SCOPE_SPANS.schemaUrl, STRING]);
const SCOPE_SPANS_MESSAGE = describe(
  SCOPE_FIELD,
  ["schemaUrl", SCOPE_SPANS.schemaUrl, STRING],
  ["spans", SCOPE_SPANS.spans, MESSAGE, { repeated: true, message: SPAN_MESSAGE }],
);
const RESOURCE_SPANS_MESSAGE = describe(RESOURCE_FIELD, SCHEMA_FIELD, [
  "scopeSpans",
  RESOURCE_SPANS.scopeSpans,
  MESSAGE,
  { repeated: true, message: SCOPE_SPANS_MESSAGE },
]);
export const TRACES_MESSAGE = describe([
  "resourceSpans",
  TRACES_DATA.resourceSpans,
  MESSAGE,
  { repeated: true, message: RESOURCE_SPANS_MESSAGE },
]);
