// TracesData by the generated code. Apart from what makes random messages: the generator library takes 100 MB of heap, and a
// benchmark would measure how it is collected.
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type TracesData,
  TracesDataSchema,
} from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";

/** Decodes as the oracle does. Our depth limit counts values, the library's counts messages: two or three a value. */
export function decode(bytes: Uint8Array): TracesData {
  return fromBinary(TracesDataSchema, bytes, { recursionLimit: 1000 });
}

export function encode(init: MessageInitShape<typeof TracesDataSchema>): Uint8Array {
  return toBinary(TracesDataSchema, create(TracesDataSchema, init));
}
