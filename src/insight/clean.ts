// Texts that others sent, made fit to be kept and shown: short, printable, without what may be a secret.
import { cutText, masked } from "../util/clean-text.ts";

const MAX_CHARS = 100;
const MAX_SEGMENTS = 8;
/** Longer than names of products and versions are. */
const LONG_WORD = /[A-Za-z0-9+=_-]{41,}/g;

/**
 * Words of a path that are shown. What else stands in one may be an id, a name or a secret that somebody put there.
 * Those of routes, and those that exporters and proxies use.
 */
const PATH_WORDS: ReadonlySet<string> = new Set(
  (
    "api v1 v2 v3 v1development traces trace spans span logs log metrics metric profiles search tags tag values query " +
    "query_range query_instant echo ready status buildinfo admin doctor usage tenants tokens overrides openapi.json " +
    "health healthz otlp otlphttp tempo jaeger zipkin loki prom prometheus push write ingest collector receiver " +
    "services operations dependencies diff favicon.ico robots.txt Export " +
    "opentelemetry.proto.collector.trace.v1.TraceService opentelemetry.proto.collector.logs.v1.LogsService " +
    "opentelemetry.proto.collector.metrics.v1.MetricsService jaeger.api_v2.CollectorService PostSpans"
  ).split(" "),
);
const KNOWN_LOWER: ReadonlySet<string> = new Set([...PATH_WORDS].map((word) => word.toLowerCase()));

/** A path with `*` for every segment that is no known word; empty segments, which are mistakes, stay. */
export function cleanPath(path: string): string {
  const segments = path.split("/", MAX_SEGMENTS + 2);
  const shown = segments.slice(1, MAX_SEGMENTS + 1).map((segment) => {
    return segment === "" || KNOWN_LOWER.has(segment.toLowerCase()) ? segment : "*";
  });
  return `/${shown.join("/")}${segments.length > MAX_SEGMENTS + 1 ? "/..." : ""}`;
}

/** A header's value: printable ASCII without quotes and what looks like a token; undefined when there is none. */
export function cleanHeader(value: string | null): string | undefined {
  if (value === null || value === "") return undefined;
  const printable = value.slice(0, 4 * MAX_CHARS).replace(/[^ !#-&(-;=?-_a-z|~]/g, "?");
  return cutText(masked(printable).replaceAll(LONG_WORD, "*"), MAX_CHARS);
}
