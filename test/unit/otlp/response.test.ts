import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack, durationMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { RetryInfoSchema } from "../../../src/otlp/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../../src/otlp/gen/google/rpc/status_pb.ts";
import { ExportTraceServiceResponseSchema } from "../../../src/otlp/gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.ts";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import { describeOutcome, encodeExportResponse, encodeStatus } from "../../../src/otlp/response.ts";

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

const NOTHING = { tooLarge: 0, traceId: 0, spanId: 0, traceTooLarge: 0 };
const UNCUT = { truncatedAttributes: 0, droppedAttributes: 0 };

test("describeOutcome: counts each reason that applies, and names the limit and its value", () => {
  const text = (refused: Partial<typeof NOTHING>, cut: Partial<typeof UNCUT> = {}) =>
    describeOutcome({ ...NOTHING, ...refused }, { ...UNCUT, ...cut }, DEFAULT_LIMITS);
  expect(text({})).toBe("");
  expect(text({ traceId: 1 })).toBe("rejected 1 span with a trace id that is not 16 bytes or all zero");
  expect(text({ tooLarge: 2, spanId: 1 })).toBe(
    "rejected 2 spans larger than the limit of 16777216 bytes, 1 span with a span id that is not 8 bytes or all zero",
  );
  expect(text({ traceTooLarge: 7 })).toBe(
    "rejected 7 spans of traces larger than the limit of 134217728 bytes or 500000 spans (trace_too_large)",
  );
  expect(text({}, { truncatedAttributes: 1, droppedAttributes: 3 })).toBe(
    "truncated 1 attribute longer than the limit of 2048 bytes for keys and 65536 bytes for values; " +
      "dropped 3 attributes beyond the limit of 1024 for a span, event, link, scope or resource",
  );
});
