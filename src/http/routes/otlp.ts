// POST /v1/traces: OTLP over HTTP.
import { type Context, Hono } from "hono";
import type { OtlpFormat } from "../../ingest/ingest.ts";
import { ingestOtlp, isRefused, refusedCount } from "../../ingest/ingest.ts";
import { codecOf, readBody } from "../../ingest/read-body.ts";
import { encodeExportResponse, encodeStatus } from "../../otlp/response.ts";
import { AppError } from "../../util/errors.ts";
import type { AppDeps, AppEnv } from "../deps.ts";
import { challengeHeader, httpError, retryAfterHeader } from "../errors.ts";
import type { FindEntry } from "../ingest-entry.ts";
import { mediaTypeOf } from "../media-type.ts";

export const OTLP_PATH = "/v1/traces";

const CONTENT_TYPES: Readonly<Record<OtlpFormat, string>> = {
  protobuf: "application/x-protobuf",
  json: "application/json",
};

/**
 * The format that a Content-Type names; undefined when it is neither. Text is taken as JSON: it is the only type with
 * which `navigator.sendBeacon` reaches another origin, since a beacon's preflight demands credentials.
 */
function formatOf(contentType: string | null): OtlpFormat | undefined {
  switch (mediaTypeOf(contentType)) {
    case "application/x-protobuf":
    case "application/protobuf":
      return "protobuf";
    case "application/json":
    case "text/plain":
      return "json";
    default:
      return undefined;
  }
}

/** The ingest route. Answers and errors are in the request's encoding. */
export function otlpRoutes(deps: AppDeps, findEntry: FindEntry): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.post(OTLP_PATH, (c) => exportTraces(c, deps, findEntry));
  app.all(OTLP_PATH, () => text(405, "405 method not allowed, supported: [POST]", { allow: "POST" }));
  return app;
}

async function exportTraces(
  c: Context<AppEnv>,
  { limits }: AppDeps,
  findEntry: FindEntry,
): Promise<Response> {
  const request = c.req.raw;
  const report = c.get("report");
  const format = formatOf(request.headers.get("content-type"));
  if (format === undefined) {
    return text(415, "415 unsupported media type, supported: [application/json, application/x-protobuf]");
  }
  try {
    const codec = codecOf(request.headers.get("content-encoding"));
    const bytes = await readBody(request, limits);
    report.body(codec, bytes);
    const entry = await findEntry(c, bytes);
    const result = await ingestOtlp(entry.target, format, { codec, bytes }, entry.limits);
    report.ingested(`otlp/http ${format}`, bytes, result);
    const { message } = result;
    if (message === "") return answer(format, 200, encodeExportResponse(format));
    const rejectedSpans = refusedCount(result);
    if (isRefused(result)) throw new AppError("invalid_argument", message);
    return answer(format, 200, encodeExportResponse(format, { rejectedSpans, message }));
  } catch (error) {
    report.failed(error);
    return refused(format, error);
  }
}

/** The answer to a request that is refused before it is read: in its encoding, protobuf if that is none. */
export function otlpRefusal(request: Request, error: unknown): Response {
  return refused(formatOf(request.headers.get("content-type")) ?? "protobuf", error);
}

function refused(format: OtlpFormat, error: unknown): Response {
  const { status, grpcCode, message, retryAfterMs } = httpError(error);
  const retry = retryAfterMs === undefined ? {} : { retryDelayMs: retryAfterMs };
  const body = encodeStatus(format, { code: grpcCode, message, ...retry });
  return answer(format, status, body, { ...retryAfterHeader(retryAfterMs), ...challengeHeader(status) });
}

function answer(
  format: OtlpFormat,
  status: number,
  body: Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(body, { status, headers: { "content-type": CONTENT_TYPES[format], ...headers } });
}

function text(status: number, message: string, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(`${message}\n`, {
    status,
    headers: { "content-type": "text/plain; charset=utf-8", ...headers },
  });
}
