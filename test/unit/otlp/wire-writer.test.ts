import { fromBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { KeyValueSchema } from "../../../src/otlp/gen/opentelemetry/proto/common/v1/common_pb.ts";
import type { Span } from "../../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { SpanSchema } from "../../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { LENGTH, SPAN, tagOf } from "../../../src/otlp/wire.ts";
import { WireWriter } from "../../../src/otlp/wire-writer.ts";
import { ByteSource } from "../../../src/util/byte-source.ts";

const ATTRIBUTES_TAG = tagOf(SPAN.attributes, LENGTH);
const LENGTHS = [...Array(14).keys(), 31, 32, 33, 119, 120, 121, 122, 127, 128, 300];

/** Texts of each length: ASCII, and with one byte that is not UTF-8 or a character of two bytes in each place. */
function* texts(): Generator<Uint8Array> {
  for (const length of LENGTHS) {
    const ascii = new Uint8Array(length).map((_, i) => 0x61 + (i % 26));
    yield ascii;
    for (let at = 0; at < length; at++) {
      yield ascii.map((byte, i) => (i === at ? 0xff : byte));
      if (at + 1 < length) yield ascii.map((byte, i) => (i === at ? 0xc3 : i === at + 1 ? 0xa9 : byte));
    }
  }
}

/** What `write` wrote, when it began with a buffer of `room` bytes. */
function written(room: number, write: (out: WireWriter) => void): Span {
  const out = new WireWriter(room);
  write(out);
  return fromBinary(SpanSchema, out.take());
}

/** `bytes` somewhere in a body, with others around them. */
function inBody(bytes: Uint8Array): { source: ByteSource; start: number; end: number } {
  const source = new ByteSource(Uint8Array.of(0xff, 0xfe, 0xfd, ...bytes, 0xfc));
  return { source, start: 3, end: 3 + bytes.length };
}

describe("text from bytes: every byte as it is, or U+FFFD", () => {
  test("text", () => {
    for (const bytes of texts()) {
      const { source, start, end } = inBody(bytes);
      const span = written(1, (out) => {
        out.text(tagOf(SPAN.name, LENGTH), source, start, end);
        out.string(tagOf(SPAN.traceState, LENGTH), "behind");
      });
      expect([span.name, span.traceState]).toEqual([Buffer.from(bytes).toString(), "behind"]);
    }
  });

  test("textAttribute, namedAttribute: as key and as value", () => {
    const name = new ByteSource(new TextEncoder().encode("some.key"));
    for (const bytes of texts()) {
      const text = Buffer.from(bytes).toString();
      const { source, start, end } = inBody(Uint8Array.of(...bytes, 0x6b));
      const isText = Int32Array.of(end - 1, end, start, end - 1);
      const isKey = Int32Array.of(start, end - 1, end - 1, end);
      const span = written(1, (out) => {
        out.textAttribute(ATTRIBUTES_TAG, source, isText, 0);
        out.textAttribute(ATTRIBUTES_TAG, source, isKey, 0);
        out.namedAttribute(ATTRIBUTES_TAG, name, source, [start, end - 1]);
      });
      expect(span.attributes.map(({ key, value }) => [key, value?.value.value])).toEqual([
        ["k", text],
        [text, "k"],
        ["some.key", text],
      ]);
    }
  });

  test("a tag of two bytes", () => {
    const { source, start, end } = inBody(Uint8Array.of(0x61, 0x62));
    const out = new WireWriter(8);
    out.textAttribute(tagOf(100, LENGTH), source, Int32Array.of(start, end, start, end), 0);
    const bytes = out.take();
    expect([bytes[0], bytes[1], bytes[2]]).toEqual([0xa2, 0x06, bytes.length - 3]);
    expect(fromBinary(KeyValueSchema, bytes.subarray(3))).toMatchObject({ key: "ab" });
  });
});
