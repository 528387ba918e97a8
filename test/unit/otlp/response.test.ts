import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack, durationMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { RetryInfoSchema } from "../../../src/otlp/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../../src/otlp/gen/google/rpc/status_pb.ts";
import { ExportTraceServiceResponseSchema } from "../../../src/otlp/gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.ts";
import { describeRejected, encodeExportResponse, encodeStatus } from "../../../src/otlp/response.ts";

function json(bytes: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(bytes));
}

test("encodeExportResponse: full success is 0 bytes in protobuf and an empty partialSuccess in JSON", () => {
  expect(encodeExportResponse("protobuf")).toEqual(new Uint8Array(0));
  expect(json(encodeExportResponse("json"))).toEqual({ partialSuccess: {} });
});

test("encodeExportResponse: partial success carries count and message", () => {
  const partial = { rejectedSpans: 3, message: "rejected 3 spans" };
  const decoded = fromBinary(ExportTraceServiceResponseSchema, encodeExportResponse("protobuf", partial));
  expect(decoded.partialSuccess).toMatchObject({ rejectedSpans: 3n, errorMessage: "rejected 3 spans" });
  expect(json(encodeExportResponse("json", partial))).toEqual({
    partialSuccess: { rejectedSpans: "3", errorMessage: "rejected 3 spans" },
  });
});

test("encodeStatus: code and message alone", () => {
  expect(json(encodeStatus("json", { code: 3, message: "bad" }))).toEqual({ code: 3, message: "bad" });
  const decoded = fromBinary(StatusSchema, encodeStatus("protobuf", { code: 3, message: "bad" }));
  expect(decoded).toMatchObject({ code: 3, message: "bad", details: [] });
});

test("encodeStatus: a delay becomes a RetryInfo detail", () => {
  const status = { code: 8, message: "slow down", retryDelayMs: 5000 };
  expect(json(encodeStatus("json", status))).toEqual({
    code: 8,
    message: "slow down",
    details: [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "5s" }],
  });
  const decoded = fromBinary(StatusSchema, encodeStatus("protobuf", { ...status, retryDelayMs: 1500 }));
  const retryInfo = anyUnpack(decoded.details[0]!, RetryInfoSchema)!;
  expect(durationMs(retryInfo.retryDelay!)).toBe(1500);
});

test("encodeStatus: a message that quotes a lone surrogate is made Unicode", () => {
  const decoded = fromBinary(StatusSchema, encodeStatus("protobuf", { code: 3, message: "got \ud800" }));
  expect(decoded.message).toBe("got \ufffd");
});

test("describeRejected: counts each reason that applies", () => {
  expect(describeRejected({ tooLarge: 0, traceId: 0, spanId: 0 })).toBe("");
  expect(describeRejected({ tooLarge: 0, traceId: 1, spanId: 0 })).toBe(
    "rejected 1 span with a trace id that is not 16 bytes or all zero",
  );
  expect(describeRejected({ tooLarge: 2, traceId: 0, spanId: 1 })).toBe(
    "rejected 2 spans larger than the limit, 1 span with a span id that is not 8 bytes or all zero",
  );
});
