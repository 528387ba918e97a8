// Reading decoded Thrift structs: a field that is absent or of another type is damage.
import { AppError } from "../util/errors.ts";
import type { ThriftStruct } from "./thrift.ts";

function missing(id: number, type: string): AppError {
  return new AppError("corrupt", `thrift: field ${id} is not ${type}`);
}

/** Field `id` as an integer that a number holds exactly; undefined when absent. */
export function optionalNumber(fields: ThriftStruct, id: number): number | undefined {
  const field = fields.get(id);
  if (field === undefined) return undefined;
  const value = field.type === "i64" ? Number(field.value) : field.value;
  if (typeof value !== "number" || !Number.isSafeInteger(value)) throw missing(id, "an integer");
  return value;
}

/** Field `id` as an integer. @throws AppError `corrupt` */
export function numberField(fields: ThriftStruct, id: number): number {
  const value = optionalNumber(fields, id);
  if (value === undefined) throw missing(id, "an integer");
  return value;
}

/** Field `id` as a size: an integer from 0. @throws AppError `corrupt` */
export function sizeField(fields: ThriftStruct, id: number): number {
  const value = numberField(fields, id);
  if (value < 0) throw missing(id, "a size");
  return value;
}

/** Field `id` as a struct; undefined when absent. @throws AppError `corrupt` */
function optionalStruct(fields: ThriftStruct, id: number): ThriftStruct | undefined {
  const field = fields.get(id);
  if (field === undefined) return undefined;
  if (field.type !== "struct") throw missing(id, "a struct");
  return field.value;
}

/** Field `id` as a struct. @throws AppError `corrupt` */
export function structField(fields: ThriftStruct, id: number): ThriftStruct {
  const value = optionalStruct(fields, id);
  if (value === undefined) throw missing(id, "a struct");
  return value;
}

/** Field `id` as a list of structs; empty when absent. @throws AppError `corrupt` */
export function structsField(fields: ThriftStruct, id: number): readonly ThriftStruct[] {
  const field = fields.get(id);
  if (field === undefined) return [];
  if (field.type !== "list") throw missing(id, "a list");
  return field.value.map((value) => {
    if (value.type !== "struct") throw missing(id, "a list of structs");
    return value.value;
  });
}

/** Field `id` as bytes (a view); undefined when absent. @throws AppError `corrupt` */
export function optionalBinary(fields: ThriftStruct, id: number): Uint8Array | undefined {
  const field = fields.get(id);
  if (field === undefined) return undefined;
  if (field.type !== "binary") throw missing(id, "bytes");
  return field.value;
}

/** Field `id` as text. @throws AppError `corrupt` */
export function textField(fields: ThriftStruct, id: number): string {
  const value = optionalBinary(fields, id);
  if (value === undefined) throw missing(id, "text");
  return new TextDecoder().decode(value);
}
