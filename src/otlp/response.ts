// What an OTLP exporter gets back, in the encoding that it sent.
import { create, createRegistry, toBinary, toJson } from "@bufbuild/protobuf";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { anyPack, durationFromMs } from "@bufbuild/protobuf/wkt";
import { RetryInfoSchema } from "./gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "./gen/google/rpc/status_pb.ts";
import {
  ExportTracePartialSuccessSchema,
  ExportTraceServiceResponseSchema,
} from "./gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.ts";
import type { RejectedSpans } from "./walk.ts";

export type ResponseFormat = "protobuf" | "json";

export interface PartialSuccess {
  /** Spans that were not stored; 0 with a message is a warning. */
  readonly rejectedSpans: number;
  /** For the operator of the exporter; see `describeRejected`. */
  readonly message: string;
}

export interface ErrorStatus {
  /** A google.rpc.Code: 3 invalid argument, 8 resource exhausted, 14 unavailable. */
  readonly code: number;
  readonly message: string;
  /** Milliseconds after which to send again. Without it exporters take code 8 for permanent. */
  readonly retryDelayMs?: number;
}

const registry = createRegistry(RetryInfoSchema);

function encode<Desc extends DescMessage>(
  format: ResponseFormat,
  schema: Desc,
  message: MessageShape<Desc>,
): Uint8Array {
  if (format === "protobuf") return toBinary(schema, message);
  return new TextEncoder().encode(JSON.stringify(toJson(schema, message, { registry })));
}

/**
 * ExportTraceServiceResponse. All accepted: no bytes in protobuf, `{"partialSuccess":{}}` in JSON.
 * The result owns its buffer.
 */
export function encodeExportResponse(format: ResponseFormat, partial?: PartialSuccess): Uint8Array {
  if (partial === undefined) {
    return format === "json" ? new TextEncoder().encode('{"partialSuccess":{}}') : new Uint8Array();
  }
  const response = create(ExportTraceServiceResponseSchema);
  response.partialSuccess = create(ExportTracePartialSuccessSchema, {
    rejectedSpans: BigInt(partial.rejectedSpans),
    errorMessage: partial.message.toWellFormed(),
  });
  return encode(format, ExportTraceServiceResponseSchema, response);
}

/** google.rpc.Status, with a RetryInfo detail when there is a delay. The result owns its buffer. */
export function encodeStatus(format: ResponseFormat, status: ErrorStatus): Uint8Array {
  const { code, retryDelayMs } = status;
  // A message may quote the request; protobuf refuses text that is not Unicode.
  const message = status.message.toWellFormed();
  const details =
    retryDelayMs === undefined
      ? []
      : [
          anyPack(
            RetryInfoSchema,
            create(RetryInfoSchema, { retryDelay: durationFromMs(Math.round(retryDelayMs)) }),
          ),
        ];
  return encode(format, StatusSchema, create(StatusSchema, { code, message, details }));
}

const REASONS: Readonly<Record<keyof RejectedSpans, string>> = {
  tooLarge: "larger than the limit",
  traceId: "with a trace id that is not 16 bytes or all zero",
  spanId: "with a span id that is not 8 bytes or all zero",
};

/** The reasons with their counts, for `PartialSuccess.message`; empty when nothing was rejected. */
export function describeRejected(rejected: RejectedSpans): string {
  const parts: string[] = [];
  for (const reason of ["tooLarge", "traceId", "spanId"] as const) {
    const count = rejected[reason];
    if (count > 0) parts.push(`${count} ${count === 1 ? "span" : "spans"} ${REASONS[reason]}`);
  }
  return parts.length === 0 ? "" : `rejected ${parts.join(", ")}`;
}
