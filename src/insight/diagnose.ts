// The fix table: from a refused request to what its sender should do, in one sentence.
import type { ErrorKind } from "../util/errors.ts";

/** What a request brings as proof of who it is from; never the proof itself. */
export type CredentialForm =
  | "none"
  /** `Bearer`, Basic or X-Api-Key with a text that has the form of a token. */
  | "token"
  /** As `token`, but the text is none of Rubato's. */
  | "foreign"
  /** An Authorization header that holds `%20` as it is. */
  | "escaped"
  /** An Authorization header without a scheme, or with an unknown one. */
  | "unknown";

/** What the first byte of a body says of it. */
export type BodyLooks = "json" | "gzip" | "zstd" | "protobuf" | "empty";

/** A refused request. */
export interface Refused {
  readonly method: string;
  /** As it came. */
  readonly path: string;
  /** Of the URL; "" is the scheme's own, and that of a server on the sender's machine. */
  readonly port: string;
  readonly status: number;
  readonly kind?: ErrorKind | undefined;
  /** What the sender was told. */
  readonly message: string;
  /** Lower case, without parameters; "" when there is none. */
  readonly mediaType: string;
  readonly contentEncoding: string;
  readonly credentials: CredentialForm;
  /** Undefined: the body was not looked at. */
  readonly looks?: BodyLooks | undefined;
}

export interface Diagnosis {
  readonly code: string;
  /** What is wrong, where the answer's text does not say it. */
  readonly reason?: string;
  readonly fix: string;
}

interface Row extends Diagnosis {
  readonly when: (refused: Refused) => boolean;
}

const TRACES_PATH =
  "the path is /v1/traces: set OTEL_EXPORTER_OTLP_ENDPOINT to the address alone (the SDK adds /v1/traces), " +
  "or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT to <address>/v1/traces";
const HTTP_ONLY =
  "gRPC does not reach a Worker: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, or send gRPC to a collector that exports with otlphttp";
const BEARER =
  "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20<token>, or in a collector headers: {authorization: Bearer <token>}";
const INGEST_PATH =
  /^\/(v1\/traces|api\/v[12]\/spans|api\/traces|opentelemetry\.proto\.collector\.trace\.v1\.TraceService\/Export)$/;

function isGrpc({ mediaType }: Refused): boolean {
  return mediaType === "application/grpc" || mediaType.startsWith("application/grpc+");
}

/** Whether there is no such route: it is not found, or nobody looked because the caller may not. */
function isElsewhere({ path, status }: Refused): boolean {
  return !INGEST_PATH.test(path) && (status === 404 || status === 401 || status === 403);
}

function elsewhere(pattern: RegExp): Row["when"] {
  return (refused) => isElsewhere(refused) && pattern.test(refused.path);
}

function posted(pattern: RegExp): Row["when"] {
  return (refused) => refused.method === "POST" && elsewhere(pattern)(refused);
}

function says(text: RegExp, kind?: ErrorKind): Row["when"] {
  return ({ message, kind: its }) => text.test(message) && (kind === undefined || kind === its);
}

/** Wrong addresses. They come first: whoever may not see that there is nothing gets 401 or 403 for it. */
const ADDRESSES: readonly Row[] = [
  { code: "grpc", reason: "gRPC was sent where only HTTP arrives", when: isGrpc, fix: HTTP_ONLY },
  {
    code: "logs",
    reason: "logs were sent; traces only are taken",
    when: elsewhere(/\/v1\/logs\/?$|LogsService|\/loki\//i),
    fix: "Rubato takes traces only: set OTEL_LOGS_EXPORTER=none, or send logs somewhere else",
  },
  {
    code: "metrics",
    reason: "metrics were sent; traces only are taken",
    when: posted(/\/v1\/metrics\/?$|MetricsService|\/api\/v1\/(write|push)$/i),
    fix: "Rubato takes traces only: set OTEL_METRICS_EXPORTER=none, or send metrics somewhere else",
  },
  {
    code: "profiles",
    reason: "profiles were sent; traces only are taken",
    when: posted(/\/v1(development)?\/profiles\/?$|ProfilesService/i),
    fix: "Rubato takes traces only: take the profiles out of the exporter or the collector's pipeline",
  },
  {
    code: "path_doubled",
    reason: "/v1/traces stands in the path twice",
    when: posted(/\/v1(\/traces?)?\/+v1\/traces?\/?$/i),
    fix: "the exporter adds /v1/traces itself: leave it out of OTEL_EXPORTER_OTLP_ENDPOINT",
  },
  {
    code: "path_slash",
    reason: "there is a slash behind /v1/traces",
    when: posted(/^\/+v1\/traces\/+$/i),
    fix: "the path is /v1/traces, without a slash at its end",
  },
  {
    code: "path_port",
    reason: "a collector's port was used",
    when: (refused) => isElsewhere(refused) && (refused.port === "4317" || refused.port === "4318"),
    fix: "ports 4317 and 4318 are a collector's: leave the port out of the endpoint, https:// has its own",
  },
  {
    code: "path_zipkin",
    reason: "spans were sent to no path of Zipkin's",
    when: posted(/\/api\/v[12]\/spans?\/?$|\/spans\/?$|^\/zipkin/i),
    fix: "Zipkin's path is /api/v2/spans, without anything before or behind it",
  },
  {
    code: "path_jaeger",
    reason: "spans were sent to no path of Jaeger's",
    when: posted(/\/api\/traces?\/?$|jaeger/i),
    fix: "Jaeger's path is /api/traces, without anything before or behind it",
  },
  {
    code: "path_traces",
    reason: "spans were sent to a path where nothing is",
    when: (refused) =>
      posted(/^\/$|traces?\/*$|\/otlp\/?$|^\/+v1\/*$/i)(refused) ||
      (refused.method === "POST" && isOtlp(refused)),
    fix: TRACES_PATH,
  },
  {
    code: "path_tempo",
    reason: "a query was sent to a path where nothing is",
    when: elsewhere(/^\/(tempo|prometheus|prom)\//i),
    fix: "the URL of the Grafana data source is the address alone, without /tempo behind it",
  },
  {
    code: "method",
    reason: "spans are sent with POST",
    when: ({ status, path }) => status === 405 && INGEST_PATH.test(path),
    fix: "this address takes POST from exporters; there is nothing to see for a browser or a health check: use /ready",
  },
];

function isOtlp(refused: Refused): boolean {
  return isElsewhere(refused) && /^application\/(x-)?protobuf$/.test(refused.mediaType);
}

const ACCESS: readonly Row[] = [
  {
    code: "closed",
    when: says(/closed until it has an admin secret/),
    fix: 'set the admin secret: "npx wrangler secret put ADMIN_TOKEN"',
  },
  {
    code: "no_tenant",
    reason: "no tenant is named",
    when: says(/^no org id$/, "unauthenticated"),
    fix: "name the tenant with the header X-Scope-OrgID: OTEL_EXPORTER_OTLP_HEADERS=x-scope-orgid=<tenant>",
  },
  {
    code: "token_escaped",
    reason: "the Authorization header holds %20 as it is",
    when: ({ status, credentials }) => status === 401 && credentials === "escaped",
    fix: "this exporter does not decode %20: write a space, authorization=Bearer <token>",
  },
  {
    code: "token_missing",
    reason: "there is no token",
    when: ({ status, credentials }) => status === 401 && credentials === "none",
    fix: `send a token: ${BEARER}`,
  },
  {
    code: "token_two",
    when: says(/two different tokens/, "unauthenticated"),
    fix: "send the token in one header: take X-Api-Key or Authorization away",
  },
  {
    code: "token_form",
    reason: "the Authorization header is none that is known",
    when: ({ status, credentials }) => status === 401 && credentials === "unknown",
    fix: `the header is "Bearer <token>": ${BEARER}`,
  },
  {
    code: "token_expired",
    when: says(/^this token expired/, "unauthenticated"),
    fix: "make a new token for the sender, npm run admin -- create-token, and revoke this one",
  },
  {
    code: "token_foreign",
    reason: "what was sent as token is none of Rubato's",
    when: ({ status, credentials }) => status === 401 && credentials === "foreign",
    fix: `a token begins with rbt_ and ends with 40 hex digits: ${BEARER}`,
  },
  {
    code: "token_unknown",
    when: ({ status }) => status === 401,
    fix: "the token is mistyped, revoked or another installation's: make a new one for the sender, npm run admin -- create-token",
  },
  {
    code: "scope",
    when: says(/^this token lacks the scope/, "forbidden"),
    fix: "use a token with that scope: ingest sends spans, read queries (Grafana), admin administers, metrics scrapes",
  },
  {
    code: "origin",
    when: says(/bound to the origins/, "forbidden"),
    fix: "a browser key is for pages of its own origins: add this page's origin to a new key, or use a token on servers",
  },
  {
    code: "tenant_forbidden",
    reason: "the token may not act for the tenant of X-Scope-OrgID",
    when: says(/^this token may not act for tenant/, "forbidden"),
    fix: "leave X-Scope-OrgID out, the token names its tenant, or use a token that lists this one",
  },
  {
    code: "forbidden",
    when: ({ status }) => status === 403,
    fix: "use the admin secret, or a token that may do this",
  },
  {
    code: "tenant_unknown",
    reason: "there is no such tenant",
    when: says(/^there is no tenant/, "not_found"),
    fix: "make the tenant first, npm run admin -- create-tenant <name>, or put X-Scope-OrgID right",
  },
  {
    code: "tenant_deleting",
    reason: "the tenant is being deleted",
    when: says(/is being deleted$/, "not_found"),
    fix: "stop the sender, or wait some 20 minutes and make the tenant anew",
  },
  {
    code: "tenant_several",
    when: says(/^multiple org IDs present$/),
    fix: "spans are one tenant's: put one id into X-Scope-OrgID, a|b is for queries",
  },
  {
    code: "tenant_id",
    when: says(/org id|tenant id|^more than \d+ tenants/i, "invalid_argument"),
    fix: "a tenant's id has 1 to 150 letters, digits and !-_.*'(); put X-Scope-OrgID right",
  },
];

const BODIES: readonly Row[] = [
  {
    code: "partial",
    when: ({ status }) => status < 300,
    fix: "the rest was stored; the reason says what was not: ids have 16 and 8 bytes, not all zero, and limits are the tenant's",
  },
  {
    code: "encoding",
    reason: "the body has a Content-Encoding that is not supported",
    when: says(/^unsupported content encoding/, "unsupported_media"),
    fix: "compress with gzip or zstd, or not at all: OTEL_EXPORTER_OTLP_COMPRESSION=gzip",
  },
  {
    code: "content_type",
    reason: "the Content-Type is none that this path takes",
    when: ({ status }) => status === 415,
    fix: "send Content-Type: application/x-protobuf, or application/json for OTLP in JSON",
  },
  {
    code: "gzip_unnamed",
    reason: "the body is compressed, no Content-Encoding says so",
    when: ({ status, looks, contentEncoding }) =>
      status === 400 && contentEncoding === "" && (looks === "gzip" || looks === "zstd"),
    fix: "name what the body is compressed with: Content-Encoding: gzip",
  },
  {
    code: "json_as_protobuf",
    reason: "JSON was sent as protobuf",
    when: ({ status, looks, mediaType }) =>
      status === 400 && looks === "json" && mediaType.endsWith("protobuf"),
    fix: "the body is JSON: send it with Content-Type: application/json, or use the exporter for protobuf",
  },
  {
    code: "protobuf_as_json",
    reason: "protobuf was sent as JSON",
    when: ({ status, looks, mediaType }) =>
      status === 400 && looks === "protobuf" && mediaType === "application/json",
    fix: "the body is protobuf: send it with Content-Type: application/x-protobuf",
  },
  {
    code: "not_compressed",
    reason: "the body is not what its Content-Encoding says",
    when: says(/^malformed (gzip|zstd|deflate) body/),
    fix: "compress the body as Content-Encoding says, or leave that header out; a proxy on the way may have inflated it",
  },
  {
    code: "span_ids",
    reason: "spans without valid ids",
    when: says(/trace id|span id/i, "invalid_argument"),
    fix: "a trace id has 16 bytes and a span id 8, not all zero; in JSON they are hex, not base64",
  },
  {
    code: "malformed",
    when: ({ status, path }) => status === 400 && INGEST_PATH.test(path),
    fix: "the sender made a body that cannot be read: update it, or switch to http/protobuf of an OpenTelemetry SDK",
  },
  {
    code: "query",
    // What exactly is in the answer: here it would show what somebody searched for.
    reason: "a query or one of its parameters is not valid",
    when: ({ status }) => status === 400,
    fix: "the answer says what is wrong and where; TraceQL and all parameters are as Tempo's",
  },
  {
    code: "too_large",
    when: ({ status }) => status === 413,
    fix: "send fewer spans at a time: OTEL_BSP_MAX_EXPORT_BATCH_SIZE=512, send_batch_max_size in a collector; shorten attributes",
  },
];

const LATER: readonly Row[] = [
  {
    code: "spend_cap",
    when: says(/spend|USD/, "rate_limited"),
    fix: "raise the spend cap of the tenant, or wait until the day or month is over",
  },
  {
    code: "over_limit",
    when: ({ status }) => status === 429,
    fix: "send less or sample, or have the operator raise the limit that the reason names; exporters try again by themselves",
  },
  {
    code: "not_now",
    when: ({ status }) => status === 503,
    fix: "nothing, if it was once: exporters send again by themselves; if it stays, look at the Worker's logs",
  },
  {
    code: "no_path",
    reason: "there is nothing at this path",
    when: ({ status }) => status === 404,
    fix: "spans go to POST /v1/traces, queries begin with /api/; the README lists all paths",
  },
  {
    code: "fault",
    when: ({ status }) => status >= 500,
    fix: "this is Rubato's fault: look at the Worker's logs, and report it with what they say",
  },
];

/** Whatever is in no other row. */
const OTHER: Diagnosis = { code: "other", fix: "do what the reason says" };

/** In the order in which they are looked through: the first that applies counts. */
export const FIXES: readonly Row[] = [...ADDRESSES, ...ACCESS, ...BODIES, ...LATER];

/** What is wrong with a request that was refused, and what to do. */
export function diagnose(refused: Refused): Diagnosis {
  return FIXES.find(({ when }) => when(refused)) ?? OTHER;
}

/** What a body looks like, by its first bytes as sent. */
export function looksOf(bytes: Uint8Array): BodyLooks {
  const [a = 0, b = 0, c = 0, d = 0] = bytes;
  if (bytes.length === 0) return "empty";
  if (a === 0x1f && b === 0x8b) return "gzip";
  if (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) return "zstd";
  return a === 0x7b || a === 0x5b ? "json" : "protobuf";
}
