// What may stand where in an OTLP batch, as one table: the walker looks up a field in it instead of deciding by code.
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
  VARINT,
  tagOf,
} from "./wire.ts";

/** Message types. 0 is "no message": a scalar or an unknown field. */
export const MESSAGE = {
  tracesData: 1,
  resourceSpans: 2,
  scopeSpans: 3,
  span: 4,
  resource: 5,
  entityRef: 6,
  scope: 7,
  event: 8,
  link: 9,
  status: 10,
  keyValue: 11,
  anyValue: 12,
  arrayValue: 13,
  keyValueList: 14,
} as const;

/** How to treat a field: the low three bits of an action. 0, 1, 2 and 5 are wire types: pass over such a value. */
export const BAD_TAG = 3;
export const WRONG_WIRE_TYPE = 4;

/** Tags of one byte (fields 1 to 15): all that OTLP has below the span, whose `flags` is field 16. */
export const ONE_BYTE_TAGS = 128;

type FieldKind = readonly [field: number, wireType: number, message?: number];

const M = MESSAGE;

/** Known fields by message. A field that is not here is unknown: passed over by its wire type and kept. */
const KNOWN: Readonly<Record<number, readonly FieldKind[]>> = {
  [M.tracesData]: [[TRACES_DATA.resourceSpans, LENGTH, M.resourceSpans]],
  [M.resourceSpans]: [
    [RESOURCE_SPANS.resource, LENGTH, M.resource],
    [RESOURCE_SPANS.scopeSpans, LENGTH, M.scopeSpans],
    [RESOURCE_SPANS.schemaUrl, LENGTH],
  ],
  [M.scopeSpans]: [
    [SCOPE_SPANS.scope, LENGTH, M.scope],
    [SCOPE_SPANS.spans, LENGTH, M.span],
    [SCOPE_SPANS.schemaUrl, LENGTH],
  ],
  [M.span]: [
    [SPAN.traceId, LENGTH],
    [SPAN.spanId, LENGTH],
    [SPAN.traceState, LENGTH],
    [SPAN.parentSpanId, LENGTH],
    [SPAN.name, LENGTH],
    [SPAN.kind, VARINT],
    [SPAN.startTimeUnixNano, FIXED64],
    [SPAN.endTimeUnixNano, FIXED64],
    [SPAN.attributes, LENGTH, M.keyValue],
    [SPAN.droppedAttributesCount, VARINT],
    [SPAN.events, LENGTH, M.event],
    [SPAN.droppedEventsCount, VARINT],
    [SPAN.links, LENGTH, M.link],
    [SPAN.droppedLinksCount, VARINT],
    [SPAN.status, LENGTH, M.status],
  ],
  [M.resource]: [
    [RESOURCE.attributes, LENGTH, M.keyValue],
    [RESOURCE.droppedAttributesCount, VARINT],
    [RESOURCE.entityRefs, LENGTH, M.entityRef],
  ],
  [M.entityRef]: [
    [ENTITY_REF.schemaUrl, LENGTH],
    [ENTITY_REF.type, LENGTH],
    [ENTITY_REF.idKeys, LENGTH],
    [ENTITY_REF.descriptionKeys, LENGTH],
  ],
  [M.scope]: [
    [SCOPE.name, LENGTH],
    [SCOPE.version, LENGTH],
    [SCOPE.attributes, LENGTH, M.keyValue],
    [SCOPE.droppedAttributesCount, VARINT],
  ],
  [M.event]: [
    [EVENT.timeUnixNano, FIXED64],
    [EVENT.name, LENGTH],
    [EVENT.attributes, LENGTH, M.keyValue],
    [EVENT.droppedAttributesCount, VARINT],
  ],
  [M.link]: [
    [LINK.traceId, LENGTH],
    [LINK.spanId, LENGTH],
    [LINK.traceState, LENGTH],
    [LINK.attributes, LENGTH, M.keyValue],
    [LINK.droppedAttributesCount, VARINT],
    [LINK.flags, FIXED32],
  ],
  [M.status]: [
    [STATUS.message, LENGTH],
    [STATUS.code, VARINT],
  ],
  [M.keyValue]: [
    [KEY_VALUE.key, LENGTH],
    [KEY_VALUE.value, LENGTH, M.anyValue],
  ],
  [M.anyValue]: [
    [ANY_VALUE.stringValue, LENGTH],
    [ANY_VALUE.boolValue, VARINT],
    [ANY_VALUE.intValue, VARINT],
    [ANY_VALUE.doubleValue, FIXED64],
    [ANY_VALUE.arrayValue, LENGTH, M.arrayValue],
    [ANY_VALUE.kvlistValue, LENGTH, M.keyValueList],
    [ANY_VALUE.bytesValue, LENGTH],
  ],
  [M.arrayValue]: [[ARRAY_VALUE.values, LENGTH, M.anyValue]],
  [M.keyValueList]: [[KEY_VALUE_LIST.values, LENGTH, M.keyValue]],
};

function unknownAction(tag: number): number {
  const wireType = tag & 7;
  const skippable =
    wireType === VARINT || wireType === FIXED64 || wireType === LENGTH || wireType === FIXED32;
  return tag >= 8 && skippable ? wireType : BAD_TAG;
}

function buildActions(): Uint8Array {
  const actions = new Uint8Array((M.keyValueList + 1) * ONE_BYTE_TAGS);
  for (let at = 0; at < actions.length; at++) actions[at] = unknownAction(at % ONE_BYTE_TAGS);
  for (const [message, fields] of Object.entries(KNOWN)) {
    const base = Number(message) * ONE_BYTE_TAGS;
    for (const [field, wireType, child = 0] of fields) {
      for (const other of [VARINT, FIXED64, LENGTH, FIXED32])
        actions[base + tagOf(field, other)] = WRONG_WIRE_TYPE;
      actions[base + tagOf(field, wireType)] = wireType | (child << 3);
    }
  }
  return actions;
}

/** By `message * ONE_BYTE_TAGS + tag`: what to do, low three bits, and above them the message to descend into. */
export const ACTIONS: Uint8Array = buildActions();

/** What to do with `tag` (field number at least 16) in `message`. */
export function longTagAction(message: number, tag: number): number {
  if (message === MESSAGE.span && tag >>> 3 === SPAN.flags && (tag & 7) !== FIXED32) return WRONG_WIRE_TYPE;
  return unknownAction(tag);
}
