// Values as results have them.
import type { ResultValue } from "../../results.ts";
import { isList, type Value } from "./value.ts";

/** @param isDuration whether ints are nanoseconds */
export function toResult(value: Value, isDuration: boolean): ResultValue {
  if (value === undefined) return { type: "nil" };
  if (isList(value)) {
    const values = value.filter((element) => element !== undefined);
    return { type: "array", values: values.map((element) => toResult(element, isDuration)) };
  }
  if (typeof value === "string") return { type: "string", value };
  if (typeof value === "bigint") return { type: isDuration ? "duration" : "int", value };
  if (typeof value === "number") return { type: "float", value };
  return typeof value === "boolean" ? { type: "bool", value } : value;
}
