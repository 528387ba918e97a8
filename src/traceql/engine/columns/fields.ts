// Where a source has the values of a field.
import type { Attribute, Field, Intrinsic, IntrinsicName } from "../../ast.ts";
import { attributeColumn, ATTRIBUTE_TYPES, type ColumnName, type SpanSource } from "../../storage.ts";
import type { Codec } from "./decode.ts";
import { deriveColumn, type DerivedColumn, derivedFrom } from "./derived.ts";
import { MemberName } from "./json.ts";
import type { Layer } from "./row-decoder.ts";
import type { Scan } from "./scan.ts";
import type { Value } from "./value.ts";

/** One of the columns that a field's values are in. */
interface LayerPlan {
  readonly column: ColumnName | DerivedColumn;
  readonly codec: Codec;
}

/** The columns of a field: a row's value is that of the first one that has one. */
interface FieldPlan {
  readonly layers: readonly LayerPlan[];
  /** When no column has a value. */
  readonly absent: Value;
}

const ATTRIBUTES = new MemberName("attributes");

function json(path: readonly MemberName[], many?: "all" | "there"): Codec {
  return { kind: "json", path, absent: undefined, ...(many && { many }) };
}

function spanLayers(source: SpanSource, name: string): LayerPlan[] {
  const layers: LayerPlan[] = ATTRIBUTE_TYPES.filter((type) =>
    source.columns.some((column) => column.key === name && column.type === type),
  ).map((type) => ({
    column: attributeColumn(name, type),
    codec: { kind: type === "string" ? "text" : type },
  }));
  if (source.rest.some(({ key }) => key === name)) {
    layers.push({ column: "rest", codec: json([new MemberName(name)]) });
  }
  return layers;
}

function attributeLayers(
  source: SpanSource,
  { scope, name }: Pick<Attribute, "scope" | "name">,
  many: "all" | "there",
): LayerPlan[] {
  const member = new MemberName(name);
  switch (scope) {
    case "span":
      return spanLayers(source, name);
    case "resource":
      return [{ column: "resource", codec: json([member]) }];
    case "instrumentation":
      return [{ column: "scope", codec: json([ATTRIBUTES, member]) }];
    case "event":
      return [{ column: "events", codec: json([ATTRIBUTES, member], many) }];
    case "link":
      return [{ column: "links", codec: json([ATTRIBUTES, member], many) }];
    case "any":
      return (["span", "resource", "event", "link", "instrumentation"] as const).flatMap((each) =>
        attributeLayers(source, { scope: each, name }, "there"),
      );
  }
}

/** A field with one column. */
function single(column: ColumnName | DerivedColumn, codec: Codec, absent?: Value): FieldPlan {
  return { layers: [{ column, codec }], absent };
}

function ofMembers(column: "events" | "links", name: string): FieldPlan {
  return single(column, json([new MemberName(name)], "all"));
}

function ofScope(name: string): FieldPlan {
  return single("scope", { kind: "json", path: [new MemberName(name)], absent: "" }, "");
}

const INTRINSIC_PLANS: Readonly<Record<IntrinsicName, FieldPlan>> = {
  duration: single("duration", { kind: "int" }),
  name: single("name", { kind: "text" }),
  status: single("status", { kind: "status" }),
  statusMessage: single("statusMessage", { kind: "text" }, ""),
  kind: single("kind", { kind: "kind" }),
  "span:id": single("spanId", { kind: "hex" }),
  "span:parentID": single("parentSpanId", { kind: "hex" }, ""),
  "span:childCount": single("childCount", { kind: "int" }),
  traceDuration: single("traceDuration", { kind: "int" }),
  rootName: single("rootName", { kind: "text" }),
  rootServiceName: single("rootServiceName", { kind: "text" }),
  "trace:id": single("traceId", { kind: "hex" }),
  "event:name": ofMembers("events", "name"),
  "event:timeSinceStart": single("timeSinceStart", { kind: "ints" }),
  "link:traceID": ofMembers("links", "trace_id"),
  "link:spanID": ofMembers("links", "span_id"),
  "instrumentation:name": ofScope("name"),
  "instrumentation:version": ofScope("version"),
  nestedSetLeft: single("nestedSetLeft", { kind: "int" }),
  nestedSetRight: single("nestedSetRight", { kind: "int" }),
  nestedSetParent: single("nestedSetParent", { kind: "int" }),
};

function planField(source: SpanSource, field: Field): FieldPlan {
  if (field.kind === "intrinsic") return INTRINSIC_PLANS[field.name];
  return { layers: attributeLayers(source, field, "all"), absent: undefined };
}

/** Whether the field's values are lists over events or links. Those of an attribute without scope count as one value. */
export function isOfMany(field: Field): boolean {
  if (field.kind === "attribute") return field.scope === "event" || field.scope === "link";
  return /^(event|link):/.test(field.name);
}

/** Whether no span of the source can have the field, as far as is known without reading. */
export function isAbsent(source: SpanSource, field: Field): boolean {
  return planField(source, field).layers.length === 0;
}

/** The columns to load before `openField`. */
export function columnsOf(source: SpanSource, field: Field): ColumnName[] {
  const names = planField(source, field).layers.flatMap(({ column }) => derivedFrom(column));
  return field.parent ? [...names, "parentDistance"] : names;
}

export interface OpenField {
  readonly layers: readonly Layer[];
  readonly absent: Value;
}

/** The columns of the field, `parent.` left aside. */
export function openField(scan: Scan, field: Field): OpenField {
  const { layers, absent } = planField(scan.source, field);
  return {
    layers: layers.map(({ column, codec }) => ({ column: deriveColumn(scan, column), codec })),
    absent,
  };
}

/** Two fields are the same when they have the same key. */
export function fieldKey(field: Field): string {
  const parent = field.parent ? "parent." : "";
  return field.kind === "intrinsic" ? `${parent}${field.name}` : `${parent}${field.scope}.${field.name}`;
}

export const SERVICE_NAME: Attribute = {
  kind: "attribute",
  scope: "resource",
  name: "service.name",
  parent: false,
  at: 0,
};

/** An intrinsic by name. */
export function intrinsic(name: IntrinsicName): Intrinsic {
  return { kind: "intrinsic", name, parent: false, at: 0 };
}
