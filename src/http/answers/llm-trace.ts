// A trace for language models: hex ids, attributes as flat objects, and what belongs to one service in one place.
import {
  hexOfBase64,
  type JsonScope,
  type JsonSpan,
  type JsonTrace,
  nanosOf,
  plainAttributes,
  serviceOf,
} from "./trace-json.ts";

interface LlmScope {
  readonly name: string;
  readonly version: string;
  readonly spans: object[];
}

interface LlmService {
  readonly serviceName: string;
  readonly resource: object;
  readonly scopes: LlmScope[];
}

function llmSpan(span: JsonSpan): object {
  const startNs = nanosOf(span.startTimeUnixNano);
  const endNs = nanosOf(span.endTimeUnixNano);
  return {
    spanId: hexOfBase64(span.spanId),
    ...(span.parentSpanId !== undefined && { parentSpanId: hexOfBase64(span.parentSpanId) }),
    name: span.name ?? "",
    kind: span.kind ?? "SPAN_KIND_UNSPECIFIED",
    startTimeUnixNano: String(startNs),
    endTimeUnixNano: String(endNs),
    durationMs: endNs > startNs ? Number(endNs - startNs) / 1e6 : 0,
    attributes: plainAttributes(span.attributes),
    ...(span.events && {
      events: span.events.map(({ name = "", timeUnixNano = "0", attributes }) => ({
        name,
        timeUnixNano,
        attributes: plainAttributes(attributes),
      })),
    }),
    ...(span.links && {
      links: span.links.map(({ traceId, spanId, attributes }) => ({
        traceId: hexOfBase64(traceId),
        spanId: hexOfBase64(spanId),
        attributes: plainAttributes(attributes),
      })),
    }),
    status: { code: "STATUS_CODE_UNSET", ...span.status },
  };
}

function addScope(service: LlmService, { scope, spans = [] }: JsonScope): void {
  const { name = "", version = "" } = scope ?? {};
  let own = service.scopes.find((each) => each.name === name && each.version === version);
  if (own === undefined) service.scopes.push((own = { name, version, spans: [] }));
  for (const span of spans) own.spans.push(llmSpan(span));
}

/** Batches of one resource become one service again. */
function servicesOf(resourceSpans: NonNullable<JsonTrace["trace"]["resourceSpans"]>): LlmService[] {
  const services = new Map<string, LlmService>();
  for (const { resource, scopeSpans = [] } of resourceSpans) {
    const attributes = resource?.attributes ?? [];
    const key = JSON.stringify(attributes);
    const { "service.name": _, ...others } = plainAttributes(attributes);
    const service = services.get(key) ?? { serviceName: serviceOf(attributes), resource: others, scopes: [] };
    services.set(key, service);
    for (const scope of scopeSpans) addScope(service, scope);
  }
  return [...services.values()];
}

/** The body of the answer: an empty trace is `{}`. */
export function llmTrace({ trace, status = "COMPLETE", message }: JsonTrace): object {
  const { resourceSpans = [] } = trace;
  const traceId = resourceSpans[0]?.scopeSpans?.[0]?.spans?.[0]?.traceId;
  return {
    trace:
      traceId === undefined ? {} : { traceId: hexOfBase64(traceId), services: servicesOf(resourceSpans) },
    status,
    ...(message !== undefined && { message }),
  };
}
