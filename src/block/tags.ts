// Tags of the OTLP fields that a block is made of.
import {
  ANY_VALUE,
  ARRAY_VALUE,
  EVENT,
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
  tagOf,
  TRACES_DATA,
  VARINT,
} from "../otlp/wire.ts";

export const RESOURCE_SPANS_TAG: number = tagOf(TRACES_DATA.resourceSpans, LENGTH);
export const SCOPE_SPANS_TAG: number = tagOf(RESOURCE_SPANS.scopeSpans, LENGTH);
export const SPANS_TAG: number = tagOf(SCOPE_SPANS.spans, LENGTH);
/** Of a ResourceSpans the resource, of a ScopeSpans the scope. */
export const OWNER_TAG: number = tagOf(RESOURCE_SPANS.resource, LENGTH);
/** Of a ResourceSpans and of a ScopeSpans. */
export const SCHEMA_URL_TAG: number = tagOf(RESOURCE_SPANS.schemaUrl, LENGTH);

export const RESOURCE_ATTRIBUTES_TAG: number = tagOf(RESOURCE.attributes, LENGTH);
export const SCOPE_NAME_TAG: number = tagOf(SCOPE.name, LENGTH);
export const SCOPE_VERSION_TAG: number = tagOf(SCOPE.version, LENGTH);
export const SCOPE_ATTRIBUTES_TAG: number = tagOf(SCOPE.attributes, LENGTH);

export const TRACE_ID_TAG: number = tagOf(SPAN.traceId, LENGTH);
export const SPAN_ID_TAG: number = tagOf(SPAN.spanId, LENGTH);
export const TRACE_STATE_TAG: number = tagOf(SPAN.traceState, LENGTH);
export const PARENT_SPAN_ID_TAG: number = tagOf(SPAN.parentSpanId, LENGTH);
export const NAME_TAG: number = tagOf(SPAN.name, LENGTH);
export const KIND_TAG: number = tagOf(SPAN.kind, VARINT);
export const START_TAG: number = tagOf(SPAN.startTimeUnixNano, FIXED64);
export const END_TAG: number = tagOf(SPAN.endTimeUnixNano, FIXED64);
export const ATTRIBUTES_TAG: number = tagOf(SPAN.attributes, LENGTH);
export const EVENTS_TAG: number = tagOf(SPAN.events, LENGTH);
export const LINKS_TAG: number = tagOf(SPAN.links, LENGTH);
export const STATUS_TAG: number = tagOf(SPAN.status, LENGTH);

export const STATUS_MESSAGE_TAG: number = tagOf(STATUS.message, LENGTH);
export const STATUS_CODE_TAG: number = tagOf(STATUS.code, VARINT);

export const EVENT_TIME_TAG: number = tagOf(EVENT.timeUnixNano, FIXED64);
export const EVENT_NAME_TAG: number = tagOf(EVENT.name, LENGTH);
export const EVENT_ATTRIBUTES_TAG: number = tagOf(EVENT.attributes, LENGTH);

export const LINK_TRACE_ID_TAG: number = tagOf(LINK.traceId, LENGTH);
export const LINK_SPAN_ID_TAG: number = tagOf(LINK.spanId, LENGTH);
export const LINK_TRACE_STATE_TAG: number = tagOf(LINK.traceState, LENGTH);
export const LINK_ATTRIBUTES_TAG: number = tagOf(LINK.attributes, LENGTH);

export const KEY_TAG: number = tagOf(KEY_VALUE.key, LENGTH);
export const VALUE_TAG: number = tagOf(KEY_VALUE.value, LENGTH);
export const STRING_TAG: number = tagOf(ANY_VALUE.stringValue, LENGTH);
export const BOOL_TAG: number = tagOf(ANY_VALUE.boolValue, VARINT);
export const INT_TAG: number = tagOf(ANY_VALUE.intValue, VARINT);
export const DOUBLE_TAG: number = tagOf(ANY_VALUE.doubleValue, FIXED64);
export const ARRAY_TAG: number = tagOf(ANY_VALUE.arrayValue, LENGTH);
export const MAP_TAG: number = tagOf(ANY_VALUE.kvlistValue, LENGTH);
export const BYTES_TAG: number = tagOf(ANY_VALUE.bytesValue, LENGTH);
export const ARRAY_VALUES_TAG: number = tagOf(ARRAY_VALUE.values, LENGTH);
export const MAP_VALUES_TAG: number = tagOf(KEY_VALUE_LIST.values, LENGTH);
