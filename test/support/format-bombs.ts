// Small or hostile bodies that would cost a careless decoder everything, by name.
import { decodeBase64Pieces, readUnaryMessage } from "../../src/http/grpc-web.ts";
import { convertBatch } from "../../src/jaeger/batch.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { Converted } from "../../src/otlp/batch-builder.ts";
import { isAppError } from "../../src/util/errors.ts";
import { convertV1Json } from "../../src/zipkin/v1-json.ts";
import { convertV1Thrift } from "../../src/zipkin/v1-thrift.ts";
import { convertV2Json } from "../../src/zipkin/v2-json.ts";
import { convertV2Protobuf } from "../../src/zipkin/v2-protobuf.ts";

const MIB = 1024 * 1024;
export const MILLION = 1_000_000;

/** Says what becomes of a body: the kind of the error, or what was made of it. */
type Run = (body: Uint8Array) => string;

export interface Bomb {
  readonly body: () => Uint8Array;
  readonly run: Run;
  /** What `run` must say. */
  readonly outcome: string;
}

function outcomeOf(convert: (body: Uint8Array) => Converted): Run {
  return (body) => {
    try {
      const { refusedSpans, traces } = convert(body);
      return `${refusedSpans} refused, ${traces.length === 0 ? "nothing" : "some"} stored`;
    } catch (error) {
      if (!isAppError(error)) throw error;
      return error.kind;
    }
  };
}

const v2Json = outcomeOf((body) => convertV2Json(body, DEFAULT_LIMITS));
const v2Protobuf = outcomeOf((body) => convertV2Protobuf(body, DEFAULT_LIMITS));
const v1Json = outcomeOf((body) => convertV1Json(body, DEFAULT_LIMITS, 1));
const v1Thrift = outcomeOf((body) => convertV1Thrift(body, DEFAULT_LIMITS, 1));
const binary = outcomeOf((body) => convertBatch(body, DEFAULT_LIMITS, "binary"));
const compact = outcomeOf((body) => convertBatch(body, DEFAULT_LIMITS, "compact"));
const grpcWeb: Run = (body) => {
  const unary = readUnaryMessage(body, null);
  return unary.ok ? `a message of ${unary.bytes.length} bytes` : `code ${unary.status.code}`;
};

function concat(...parts: (string | Uint8Array)[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts.map((part) => Buffer.from(part))));
}

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const zeros = (n: number): Uint8Array => new Uint8Array(n);
const count = (n: number): Uint8Array => bytes(n >>> 24, n >>> 16, n >>> 8, n);
const SPANS = bytes(15, 0, 2, 12);
/** A batch of one span with a list of 32 Mi empty structs in field `id`. */
const listOfNothing = (id: number) => (): Uint8Array =>
  concat(SPANS, count(1), bytes(15, 0, id, 12), count(32 * MIB), zeros(32 * MIB + 2));

const resourceEach = (spans: number) => (): Uint8Array =>
  concat(
    `[${Array.from({ length: spans }, (_, i) => `{"traceId":"1","id":"1","localEndpoint":{"serviceName":"${i}"}}`).join()}]`,
  );

const INVALID = "invalid_argument";
const ALL_REFUSED = `${MILLION} refused, nothing stored`;
const NOTHING_BUT_ONE = "1 refused, nothing stored";

/** 10^6 empty spans: each is a few bytes, and is refused by itself. */
export const EMPTY_SPANS: Readonly<Record<string, Bomb>> = {
  "10^6 empty spans: zipkin v2 json": {
    body: () => concat(`[${"{},".repeat(MILLION - 1)}{}]`),
    run: v2Json,
    outcome: ALL_REFUSED,
  },
  "10^6 empty spans: zipkin v2 protobuf": {
    body: () => concat("\n\0".repeat(MILLION)),
    run: v2Protobuf,
    outcome: ALL_REFUSED,
  },
  "10^6 empty spans: zipkin v1 json": {
    body: () => concat(`[${"{},".repeat(MILLION - 1)}{}]`),
    run: v1Json,
    outcome: ALL_REFUSED,
  },
  "10^6 empty spans: zipkin v1 thrift": {
    body: () => concat(bytes(12), count(MILLION), zeros(MILLION)),
    run: v1Thrift,
    outcome: ALL_REFUSED,
  },
  "10^6 empty spans: jaeger binary": {
    body: () => concat(SPANS, count(MILLION), zeros(MILLION + 1)),
    run: binary,
    outcome: ALL_REFUSED,
  },
  "10^6 empty spans: jaeger compact": {
    body: () => concat(bytes(0x29, 0xfc, 0xc0, 0x84, 0x3d), zeros(MILLION + 1)),
    run: compact,
    outcome: ALL_REFUSED,
  },
};

export const MEMBERS: Readonly<Record<string, Bomb>> = {
  "32 MiB of empty spans, jaeger": {
    body: () => concat(SPANS, count(32 * MIB), zeros(32 * MIB + 1)),
    run: binary,
    outcome: INVALID,
  },
  "32 MiB of empty spans, zipkin v1 thrift": {
    body: () => concat(bytes(12), count(32 * MIB), zeros(32 * MIB)),
    run: v1Thrift,
    outcome: INVALID,
  },
  "32 MiB of empty tags, jaeger": { body: listOfNothing(10), run: binary, outcome: "too_large" },
  "32 MiB of empty logs, jaeger": { body: listOfNothing(11), run: binary, outcome: "too_large" },
  "32 MiB of empty references, jaeger": { body: listOfNothing(6), run: binary, outcome: INVALID },
  "32 MiB of empty process tags, jaeger": {
    body: () => concat(bytes(12, 0, 1, 15, 0, 2, 12), count(32 * MIB), zeros(32 * MIB + 2)),
    run: binary,
    outcome: INVALID,
  },
  "8 Mi tags of a span, zipkin v2 protobuf": {
    body: () => concat("\n", bytes(0x80, 0x80, 0x80, 0x08), "Z\0".repeat(8 * MIB)),
    run: v2Protobuf,
    outcome: NOTHING_BUT_ONE,
  },
  "5 Mi tags of a span, zipkin v2 json": {
    body: () => concat(`[{"traceId":"1","id":"1","tags":{${'"":"",'.repeat(5 * MIB)}"":""}}]`),
    run: v2Json,
    outcome: NOTHING_BUT_ONE,
  },
  "300,000 annotations that only look like objects, zipkin v2 json": {
    body: () =>
      concat(
        `[{"traceId":"1","id":"1","annotations":[${'{"value":"|{x}|1"},'.repeat(300_000)}{"value":""}]}]`,
      ),
    run: v2Json,
    outcome: NOTHING_BUT_ONE,
  },
  "a resource in each of 50,000 spans, zipkin v2 json": {
    body: resourceEach(50_000),
    run: v2Json,
    outcome: "0 refused, some stored",
  },
  "a resource in each of 300,000 spans, zipkin v2 json": {
    body: resourceEach(300_000),
    run: v2Json,
    outcome: "too_large",
  },
  "a resource in each of 300,000 spans, zipkin v1 json": {
    body: () =>
      concat(
        `[${Array.from({ length: 300_000 }, (_, i) => `{"traceId":"1","id":"1","annotations":[{"endpoint":{"serviceName":"${i}"}}]}`).join()}]`,
      ),
    run: v1Json,
    outcome: "too_large",
  },
  "a key of its own in each of 2,000,000 tags, zipkin v2 json": {
    body: () =>
      concat(
        `[${Array.from(
          { length: 40 },
          (_, span) =>
            `{"traceId":"1","id":"1","tags":{${Array.from({ length: 50_000 }, (__, i) => `"k8s${span * 50_000 + i}":""`).join()}}}`,
        ).join()}]`,
      ),
    run: v2Json,
    outcome: "too_large",
  },
};

export const LIES: Readonly<Record<string, Bomb>> = {
  "a count of 2^31 - 1, jaeger binary": {
    body: () => concat(SPANS, count(2 ** 31 - 1), zeros(100)),
    run: binary,
    outcome: INVALID,
  },
  "a negative count, jaeger binary": {
    body: () => concat(SPANS, count(-1), zeros(100)),
    run: binary,
    outcome: INVALID,
  },
  "a text of 2^31 - 1 bytes, jaeger binary": {
    body: () => concat(bytes(11, 0, 9), count(2 ** 31 - 1)),
    run: binary,
    outcome: INVALID,
  },
  "a text of negative length, jaeger binary": {
    body: () => concat(bytes(11, 0, 9), count(-5), zeros(9)),
    run: binary,
    outcome: INVALID,
  },
  "a tag's text of 2^31 - 1 bytes, jaeger binary": {
    body: () =>
      concat(
        SPANS,
        count(1),
        bytes(15, 0, 10, 12),
        count(1),
        bytes(11, 0, 1),
        count(1),
        "k",
        bytes(8, 0, 2),
        count(0),
        bytes(11, 0, 3),
        count(2 ** 31 - 1),
        zeros(20),
      ),
    run: binary,
    outcome: INVALID,
  },
  "a tag's key of negative length, jaeger binary": {
    body: () =>
      concat(SPANS, count(1), bytes(15, 0, 10, 12), count(1), bytes(11, 0, 1), count(-8), zeros(40)),
    run: binary,
    outcome: INVALID,
  },
  "a list of 2^32 - 1, jaeger compact": {
    body: () => bytes(0x29, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f),
    run: compact,
    outcome: INVALID,
  },
  "a text of 2^32 - 1 bytes, jaeger compact": {
    body: () => bytes(0x98, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0),
    run: compact,
    outcome: INVALID,
  },
  "a count of 2^31 - 1, zipkin v1 thrift": {
    body: () => concat(bytes(12), count(2 ** 31 - 1), zeros(100)),
    run: v1Thrift,
    outcome: INVALID,
  },
  "a text of 2^31 - 1 bytes, zipkin v1 thrift": {
    body: () => concat(bytes(12), count(1), bytes(11, 0, 3), count(2 ** 31 - 1), zeros(100)),
    run: v1Thrift,
    outcome: INVALID,
  },
  "a span of 2^32 - 1 bytes, zipkin v2 protobuf": {
    body: () => bytes(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0),
    run: v2Protobuf,
    outcome: INVALID,
  },
  "a tag longer than its span, zipkin v2 protobuf": {
    body: () => bytes(0x0a, 4, 0x5a, 0x7f, 0x0a, 0),
    run: v2Protobuf,
    outcome: INVALID,
  },
  "a message of 2^32 - 1 bytes, gRPC-Web": {
    body: () => concat(bytes(0), count(-1), zeros(100)),
    run: grpcWeb,
    outcome: "code 13",
  },
  "10^6 empty messages, gRPC-Web": { body: () => zeros(5 * MILLION), run: grpcWeb, outcome: "code 12" },
  "10^6 padded pieces, gRPC-Web text": {
    body: () => concat("AA==".repeat(MILLION)),
    run: (body) => `${decodeBase64Pieces(body)?.length} bytes`,
    outcome: `${MILLION} bytes`,
  },
};

export const DEPTH: Readonly<Record<string, Bomb>> = {
  "structs in structs, 10^6 deep, jaeger binary": {
    body: () => zeros(3 * MILLION).map((_, i) => (i % 3 === 0 ? 12 : 9)),
    run: binary,
    outcome: INVALID,
  },
  "structs in structs, 10^6 deep, jaeger compact": {
    body: () => zeros(MILLION).fill(0x9c),
    run: compact,
    outcome: INVALID,
  },
  "lists in lists, 10^6 deep, jaeger compact": {
    body: () => concat(bytes(0x99), zeros(MILLION).fill(0x19)),
    run: compact,
    outcome: INVALID,
  },
  "structs in structs, 10^6 deep, zipkin v1 thrift": {
    body: () =>
      concat(
        bytes(12),
        count(1),
        zeros(3 * MILLION).map((_, i) => (i % 3 === 0 ? 12 : 99)),
      ),
    run: v1Thrift,
    outcome: INVALID,
  },
  "lists in lists, 10^6 deep, zipkin v1 thrift": {
    body: () =>
      concat(
        bytes(12),
        count(1),
        bytes(15, 0, 99),
        zeros(5 * MILLION).map((_, i) => (i % 5 === 0 ? 15 : i % 5 === 4 ? 1 : 0)),
      ),
    run: v1Thrift,
    outcome: INVALID,
  },
  "groups in groups, 10^6 deep, zipkin v2 protobuf": {
    body: () => concat("\n", bytes(0xc0, 0x84, 0x3d), zeros(MILLION).fill(0x7b)),
    run: v2Protobuf,
    outcome: INVALID,
  },
  "10^6 deep, zipkin v2 json": {
    body: () => concat(`[{"x":${'{"a":['.repeat(MILLION / 2)}`),
    run: v2Json,
    outcome: INVALID,
  },
  "10^6 deep and closed, zipkin v2 json": {
    body: () => concat(`[{"x":${'{"a":['.repeat(MILLION / 2)}${"]}".repeat(MILLION / 2)}}]`),
    run: v2Json,
    outcome: INVALID,
  },
  "10^6 deep, zipkin v1 json": {
    body: () => concat(`[{"x":${'{"a":['.repeat(MILLION / 2)}`),
    run: v1Json,
    outcome: INVALID,
  },
  "a number of 10^6 digits, zipkin v2 json": {
    body: () => concat(`[{"traceId":"1","id":"1","timestamp":${"9".repeat(MILLION)}}]`),
    run: v2Json,
    outcome: NOTHING_BUT_ONE,
  },
  "an id of 10^6 digits, zipkin v1 json": {
    body: () => concat(`[{"traceId":"${"1".repeat(MILLION)}","id":"1"}]`),
    run: v1Json,
    outcome: NOTHING_BUT_ONE,
  },
};

export const BOMBS: Readonly<Record<string, Bomb>> = { ...EMPTY_SPANS, ...MEMBERS, ...LIES, ...DEPTH };
