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
import type { Limits } from "../model/limits.ts";
import type { RejectedSpans } from "./walk.ts";

export type ResponseFormat = "protobuf" | "json";

export interface PartialSuccess {
  /** Spans that were not stored; 0 with a message is a warning. */
  readonly rejectedSpans: number;
  /** For the operator of the exporter; see `describeOutcome`. */
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

/** Spans that were refused, by reason: those that the walker found, and those of traces that the shard has too much of. */
export type RefusedSpans = RejectedSpans & { readonly traceTooLarge: number };

/** What was taken in, but not as it was sent. */
export interface CutCounts {
  /** Keys and values of attributes that were cut. */
  readonly truncatedAttributes: number;
  /** Attributes that were left out. */
  readonly droppedAttributes: number;
}

function counted(count: number, what: string, text: string): string[] {
  return count === 0 ? [] : [`${count} ${count === 1 ? what : `${what}s`} ${text}`];
}

/** What was refused and what was cut, with counts and limits, for `PartialSuccess.message`; empty when nothing was. */
export function describeOutcome(refused: RefusedSpans, cut: CutCounts, limits: Limits): string {
  const { maxBytesPerTrace, maxSpansPerTrace, ...tenant } = limits.tenant;
  const { maxAttributeKeyBytes, maxAttributeValueBytes, maxAttributesPerSpan } = tenant;
  const rejected = [
    ...counted(refused.tooLarge, "span", `larger than the limit of ${limits.maxSpanBytes} bytes`),
    ...counted(refused.traceId, "span", "with a trace id that is not 16 bytes or all zero"),
    ...counted(refused.spanId, "span", "with a span id that is not 8 bytes or all zero"),
    ...counted(
      refused.traceTooLarge,
      "span",
      `of traces larger than the limit of ${maxBytesPerTrace} bytes or ${maxSpansPerTrace} spans (trace_too_large)`,
    ),
  ];
  const truncated = counted(
    cut.truncatedAttributes,
    "attribute",
    `longer than the limit of ${maxAttributeKeyBytes} bytes for keys and ${maxAttributeValueBytes} bytes for values`,
  );
  const dropped = counted(
    cut.droppedAttributes,
    "attribute",
    `beyond the limit of ${maxAttributesPerSpan} for a span, event, link, scope or resource`,
  );
  return [
    ...(rejected.length === 0 ? [] : [`rejected ${rejected.join(", ")}`]),
    ...truncated.map((text) => `truncated ${text}`),
    ...dropped.map((text) => `dropped ${text}`),
  ].join("; ");
}
