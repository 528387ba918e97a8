// POST /opentelemetry.proto.collector.trace.v1.TraceService/Export: OTLP over gRPC-Web.
import { type Context, Hono } from "hono";
import { ingestOtlp, isRefused, refusedCount } from "../../ingest/ingest.ts";
import { readBody } from "../../ingest/read-body.ts";
import { encodeExportResponse, encodeStatus } from "../../otlp/response.ts";
import type { Limits } from "../../model/limits.ts";
import { isAppError } from "../../util/errors.ts";
import { methodNotAllowed, plainText } from "../convert-ingest.ts";
import type { AppDeps, AppEnv } from "../deps.ts";
import { httpError } from "../errors.ts";
import type { GrpcStatus } from "../grpc-web.ts";
import type { RequestReport } from "../request-report.ts";
import {
  ACCEPTED_ENCODINGS,
  GRPC,
  decodeBase64Pieces,
  encodeAnswer,
  encodeBase64,
  readUnaryMessage,
} from "../grpc-web.ts";
import type { FindEntry, IngestEntry } from "../ingest-entry.ts";
import { mediaTypeOf } from "../media-type.ts";

export const GRPC_EXPORT_PATH = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

const BINARY_TYPES: ReadonlySet<string> = new Set(["application/grpc-web", "application/grpc-web+proto"]);
const TEXT_TYPES: ReadonlySet<string> = new Set([
  "application/grpc-web-text",
  "application/grpc-web-text+proto",
]);
const GRPC_HINT =
  "415 gRPC needs HTTP/2, which Workers do not receive. Use OTLP over HTTP (POST /v1/traces), " +
  "gRPC-Web (application/grpc-web), or a collector that takes gRPC and sends OTLP over HTTP";

/** What an answer holds: a message when the call succeeded, and a status. */
interface Outcome {
  readonly message?: Uint8Array;
  readonly status: GrpcStatus;
}

/** The route. Whatever becomes of the call, HTTP's status is 200: gRPC's is in the trailers. */
export function grpcWebRoutes(deps: AppDeps, findEntry: FindEntry): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.post(GRPC_EXPORT_PATH, (c) => post(c, deps, findEntry));
  app.all(GRPC_EXPORT_PATH, methodNotAllowed);
  return app;
}

async function post(c: Context<AppEnv>, deps: AppDeps, findEntry: FindEntry): Promise<Response> {
  const type = mediaTypeOf(c.req.raw.headers.get("content-type"));
  const isText = TEXT_TYPES.has(type);
  if (!isText && !BINARY_TYPES.has(type)) {
    if (type === "application/grpc" || type.startsWith("application/grpc+")) return plainText(415, GRPC_HINT);
    const supported = [...BINARY_TYPES, ...TEXT_TYPES].join(", ");
    return plainText(415, `415 unsupported media type, supported: [${supported}]`);
  }
  return answered(await call(c, isText, deps.limits, (body) => findEntry(c, body)), isText);
}

/** The answer to a call that is refused before it is read. */
export function grpcRefusal(request: Request, error: unknown): Response {
  const isText = TEXT_TYPES.has(mediaTypeOf(request.headers.get("content-type")));
  return answered({ status: statusOf(error) }, isText);
}

function answered({ message, status }: Outcome, isText: boolean): Response {
  const answer = encodeAnswer(message, status);
  const body = isText ? new TextEncoder().encode(encodeBase64(answer)) : answer;
  return new Response(streamOf(body), {
    headers: {
      "content-type": `application/grpc-web${isText ? "-text" : ""}+proto`,
      "grpc-accept-encoding": ACCEPTED_ENCODINGS,
    },
  });
}

/** A body without a Content-Length, which Cloudflare's conversion to native gRPC wants of an answer with trailers. */
function streamOf(body: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    start(controller): void {
      controller.enqueue(body);
      controller.close();
    },
  });
}

async function call(
  c: Context<AppEnv>,
  isText: boolean,
  limits: Limits,
  findEntry: (body: Uint8Array) => Promise<IngestEntry>,
): Promise<Outcome> {
  const request = c.req.raw;
  const report = c.get("report");
  try {
    const received = await readBody(request, limits);
    const entry = await findEntry(received);
    const body = isText ? decodeBase64Pieces(received) : received;
    if (body === undefined) return unread(report, { code: GRPC.internal, message: "body is no base64" });
    const unary = readUnaryMessage(body, request.headers.get("grpc-encoding"));
    if (!unary.ok) return unread(report, unary.status);
    const { codec, bytes } = unary;
    const sent = { codec, bytes };
    const result = await ingestOtlp(entry.target, "protobuf", sent, entry.limits);
    report.ingested("otlp/grpc-web", received, result);
    const { message } = result;
    const ok = { code: GRPC.ok, message: "" };
    if (message === "") return { message: encodeExportResponse("protobuf"), status: ok };
    const rejectedSpans = refusedCount(result);
    if (isRefused(result)) {
      return unread(report, { code: GRPC.invalidArgument, message });
    }
    return { message: encodeExportResponse("protobuf", { rejectedSpans, message }), status: ok };
  } catch (error) {
    report.failed(error);
    return { status: statusOf(error) };
  }
}

/** HTTP's status is 200 all the same: the doctor is told what it would be over HTTP. */
function unread(report: RequestReport, status: GrpcStatus): Outcome {
  report.refused({ status: 400, kind: "invalid_argument", message: status.message });
  return { status };
}

/** gRPC's mapping differs from that of OTLP over HTTP in a message too large. Without RetryInfo it is permanent. */
function statusOf(error: unknown): GrpcStatus {
  const { grpcCode, message, retryAfterMs } = httpError(error);
  const code = isAppError(error) && error.kind === "too_large" ? GRPC.resourceExhausted : grpcCode;
  if (retryAfterMs === undefined) return { code, message };
  return { code, message, details: encodeStatus("protobuf", { code, message, retryDelayMs: retryAfterMs }) };
}
