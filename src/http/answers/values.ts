// Values of results as Tempo's answers have them.
import type { AnyValue } from "../../otlp/gen/opentelemetry/proto/common/v1/common_pb.ts";
import {
  AnyValueSchema,
  type KeyValue,
  KeyValueSchema,
} from "../../otlp/gen/opentelemetry/proto/common/v1/common_pb.ts";
import { create } from "@bufbuild/protobuf";
import type { ResultAttribute, ResultValue } from "../../traceql/results.ts";
import { formatGoDuration } from "../params/durations.ts";

function anyValue(value: ResultValue): AnyValue {
  return create(AnyValueSchema, { value: caseOf(value) });
}

function caseOf(value: ResultValue): NonNullable<AnyValue["value"]> {
  switch (value.type) {
    case "string":
    case "status":
    case "kind":
      return { case: "stringValue", value: value.value };
    case "duration":
      return { case: "stringValue", value: formatGoDuration(value.value) };
    case "nil":
      return { case: "stringValue", value: "nil" };
    case "int":
      return { case: "intValue", value: value.value };
    case "float":
      return { case: "doubleValue", value: value.value };
    case "bool":
      return { case: "boolValue", value: value.value };
    case "array": {
      const values = value.values.map((element) => anyValue(element));
      return { case: "arrayValue", value: { $typeName: "opentelemetry.proto.common.v1.ArrayValue", values } };
    }
  }
}

export function keyValues(attributes: readonly ResultAttribute[]): KeyValue[] {
  return attributes.map(({ name, value }) => create(KeyValueSchema, { key: name, value: anyValue(value) }));
}
