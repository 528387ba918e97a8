// The values that a field has in one source: from dictionaries, not from rows.
import type { Field, IntrinsicName } from "../../traceql/ast.ts";
import { decoderOf } from "../../traceql/engine/columns/decode.ts";
import { columnsOf, openField } from "../../traceql/engine/columns/fields.ts";
import { isList, type Scalar } from "../../traceql/engine/columns/value.ts";
import type { Condition } from "../../traceql/engine/conditions/condition.ts";
import type { SpanSource } from "../../traceql/storage.ts";
import { entriesOf } from "./entries.ts";
import type { TagValue } from "./tag.ts";
import { openTagRows, type TagRows } from "./tag-rows.ts";

export type TakeValue = (value: TagValue) => void;

/** Intrinsics whose values are looked up; `true`: they follow from whole traces. */
const LOOKED_UP: Readonly<Partial<Record<IntrinsicName, boolean>>> = {
  name: false,
  statusMessage: false,
  rootName: true,
  rootServiceName: true,
  "event:name": false,
  "instrumentation:name": false,
  "instrumentation:version": false,
};

const KEYWORDS: Readonly<Partial<Record<IntrinsicName, readonly string[]>>> = {
  status: ["error", "ok", "unset"],
  kind: ["client", "consumer", "internal", "producer", "server", "unspecified"],
};

/** The values of a field that are the same whatever spans there are; undefined: they have to be looked up. */
export function fixedValues(field: Field): readonly TagValue[] | undefined {
  if (field.kind === "attribute" || LOOKED_UP[field.name] !== undefined) return undefined;
  return (KEYWORDS[field.name] ?? []).map((value) => ({ type: "keyword", value }));
}

/** Where the values of a field are. An attribute without scope is looked for in these three, as Tempo does. */
function layersOf(field: Field): readonly Field[] {
  const own = { ...field, parent: false };
  if (own.kind !== "attribute" || own.scope !== "any") return [own];
  const { kind, name, at } = own;
  return ANY_SCOPES.map((scope): Field => ({ kind, scope, name, parent: false, at }));
}

const ANY_SCOPES = ["span", "resource", "instrumentation"] as const;

/** @throws as `openTagRows` does */
export async function readTagValues(
  source: SpanSource,
  field: Field,
  filter: Condition | undefined,
  take: TakeValue,
): Promise<void> {
  const layers = layersOf(field);
  const names = layers.flatMap((layer) => columnsOf(source, layer));
  if (names.length === 0) return;
  const needsTraces = field.kind === "intrinsic" && LOOKED_UP[field.name] === true;
  const opened = await openTagRows(source, names, filter, needsTraces);
  if (opened === undefined) return;
  for (const layer of layers) {
    for (const scalar of scalarsOf(opened, layer)) {
      // A trace whose root is not in this source has no name here.
      const value = needsTraces && scalar === "" ? undefined : tagValue(scalar);
      if (value !== undefined) take(value);
    }
  }
}

function* scalarsOf({ scan, rows }: TagRows, field: Field): Generator<Scalar | undefined> {
  for (const { column, codec } of openField(scan, field).layers) {
    for (const { values, indexes } of entriesOf(column, scan.pageCount, rows)) {
      const decode = decoderOf(codec, values);
      for (const index of indexes) {
        const value = decode(index);
        if (isList(value)) yield* value;
        else yield value;
      }
    }
  }
}

function tagValue(value: Scalar | undefined): TagValue | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "string") return { type: "string", value };
  if (typeof value === "bigint") return { type: "int", value: String(value) };
  if (typeof value === "number") return { type: "float", value: String(value) };
  if (typeof value === "boolean") return { type: "bool", value: String(value) };
  return { type: "keyword", value: value.value };
}
