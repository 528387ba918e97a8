// Plain spans as a source for the engine, written straight from the port's description: no block, no OTLP.
import type {
  AttributeKey,
  AttributeType,
  Column,
  ColumnName,
  ColumnPage,
  SpanSource,
  Values,
} from "../../src/traceql/storage.ts";
import {
  durationOf,
  makeTraces,
  type Node,
  type PlainAttributes,
  type PlainSpan,
  type PlainValue,
} from "./oracle/trace.ts";

export interface PlainSourceOptions {
  /** Rows of each page; default: one page. */
  readonly pageRows?: number;
  /** Pages that hold codes, the others hold values; default: all. */
  readonly codedPages?: number;
  /** Keys of span attributes that have no column. */
  readonly rare?: readonly string[];
}

function jsonValue(value: PlainValue): string {
  if (value === null) return "null";
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint" || typeof value === "boolean") return String(value);
  if (typeof value === "number") {
    if (!Number.isFinite(value)) return `"${value}"`;
    const text = Object.is(value, -0) ? "-0" : String(value);
    return /^-?\d+$/.test(text) ? `${text}.0` : text;
  }
  return `[${value.map(jsonValue).join(",")}]`;
}

function jsonObject(members: readonly (readonly [string, string])[]): string {
  return `{${members.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(",")}}`;
}

function jsonAttributes(attributes: PlainAttributes): string {
  return jsonObject([...attributes].map(([key, value]) => [key, jsonValue(value)]));
}

function withAttributes(members: [string, string][], attributes: PlainAttributes): string {
  const own: [string, string][] = attributes.size === 0 ? [] : [["attributes", jsonAttributes(attributes)]];
  return jsonObject([...members, ...own]);
}

function typeOf(value: PlainValue): AttributeKey["type"] {
  if (typeof value === "string") return "string";
  if (typeof value === "bigint") return "int";
  if (typeof value === "number") return "double";
  return typeof value === "boolean" ? "bool" : "other";
}

function int64(value: bigint): Uint8Array {
  return new Uint8Array(BigInt64Array.of(value).buffer);
}

function int32(value: number): Uint8Array {
  return new Uint8Array(Int32Array.of(value).buffer);
}

function bytesOf(value: PlainValue): Uint8Array {
  if (typeof value === "bigint") return int64(value);
  if (typeof value === "number") return new Uint8Array(Float64Array.of(value).buffer);
  if (typeof value === "boolean") return Uint8Array.of(value ? 1 : 0);
  return Buffer.from(String(value));
}

type Kind = { readonly width: number } | "bytes" | "bits";

/** One value for each row, undefined: none. */
interface Rows {
  readonly kind: Kind;
  readonly values: readonly (Uint8Array | undefined)[];
}

/** Values at an odd offset, as they may be in a page. */
function toValues(kind: Kind, parts: readonly Uint8Array[]): Values {
  const count = parts.length;
  if (kind === "bits") {
    const bytes = new Uint8Array(Math.ceil(count / 8));
    parts.forEach(([bit = 0], i) => (bytes[i >>> 3]! |= bit << (i & 7)));
    return { kind: "bits", count, bytes };
  }
  const joined = Buffer.concat([Buffer.of(0xff), ...parts]);
  const bytes = new Uint8Array(joined).subarray(1);
  if (kind !== "bytes") return { kind: "fixed", count, bytes, width: kind.width };
  const offsets = new Uint32Array(2 * count);
  let at = 0;
  parts.forEach((part, i) => {
    offsets[2 * i] = at;
    at += part.length;
    offsets[2 * i + 1] = at;
  });
  return { kind: "bytes", count, bytes, offsets };
}

function toColumn({ kind, values }: Rows, pageRows: Uint32Array, codedPages: number): Column {
  const codes = new Map<string, number>();
  const entries: Uint8Array[] = [];
  const codeOf = (value: Uint8Array): number => {
    const key = Buffer.from(value).toString("latin1");
    const known = codes.get(key);
    if (known !== undefined) return known;
    codes.set(key, entries.length);
    return entries.push(value) - 1;
  };
  const pages = Array.from({ length: pageRows.length - 1 }, (_, index): ColumnPage => {
    const firstRow = pageRows[index]!;
    const own = values.slice(firstRow, pageRows[index + 1]);
    const there = own.filter((value) => value !== undefined);
    const present = new Uint8Array(Math.ceil(own.length / 8));
    own.forEach((value, i) => {
      if (value !== undefined) present[i >>> 3]! |= 1 << (i & 7);
    });
    return {
      firstRow,
      rowCount: own.length,
      present: there.length === own.length ? undefined : present,
      content:
        index < codedPages
          ? { kind: "codes", codes: Uint16Array.from(there, codeOf) }
          : { kind: "values", values: toValues(kind, there) },
    };
  });
  return {
    dictionary: codedPages > 0 ? toValues(kind, entries) : undefined,
    codedPageCount: Math.min(codedPages, pages.length),
    page: (index) => pages[index]!,
  };
}

function orNone(bytes: Uint8Array, isThere: boolean): Uint8Array | undefined {
  return isThere ? bytes : undefined;
}

function eventsJson({ events }: PlainSpan): string {
  const items = events.map(({ time, name, attributes }) =>
    withAttributes(
      [
        ["time_unix_nano", String(time)],
        ["name", JSON.stringify(name)],
      ],
      attributes,
    ),
  );
  return `[${items.join(",")}]`;
}

function linksJson({ links }: PlainSpan): string {
  const items = links.map(({ traceId, spanId, attributes }) =>
    withAttributes(
      [
        ["trace_id", JSON.stringify(traceId)],
        ["span_id", JSON.stringify(spanId)],
      ],
      attributes,
    ),
  );
  return `[${items.join(",")}]`;
}

function scopeJson({ scope }: PlainSpan): string {
  const version: [string, string][] =
    scope.version === "" ? [] : [["version", JSON.stringify(scope.version)]];
  return withAttributes([["name", JSON.stringify(scope.name)], ...version], scope.attributes);
}

function fixedColumns(
  nodes: readonly Node[],
  isRare: (key: string, value: PlainValue) => boolean,
): Map<ColumnName, Rows> {
  const rows = (kind: Kind, valueOf: (node: Node) => Uint8Array | undefined): Rows => ({
    kind,
    values: nodes.map(valueOf),
  });
  const text = (valueOf: (span: PlainSpan) => string | undefined): Rows =>
    rows("bytes", ({ span }) => {
      const value = valueOf(span);
      return value === undefined ? undefined : Buffer.from(value);
    });
  const wide = { width: 8 };
  const restOf = ({ attributes }: PlainSpan): PlainAttributes =>
    new Map([...attributes].filter(([key, value]) => isRare(key, value)));
  return new Map<ColumnName, Rows>([
    ["name", text(({ name }) => name)],
    ["kind", rows({ width: 4 }, ({ span }) => int32(span.kind))],
    ["status", rows({ width: 4 }, ({ span }) => int32(span.statusCode))],
    ["statusMessage", text(({ statusMessage }) => statusMessage || undefined)],
    ["start", rows(wide, ({ span }) => int64(span.start))],
    ["duration", rows(wide, ({ span }) => int64(durationOf(span)))],
    [
      "parentDistance",
      rows({ width: 4 }, ({ parent, position }) =>
        int32(parent === undefined ? 0 : position - parent.position),
      ),
    ],
    ["spanId", rows(wide, ({ span }) => Buffer.from(span.spanId, "hex"))],
    [
      "parentSpanId",
      rows(wide, ({ span }) => orNone(Buffer.from(span.parentSpanId, "hex"), span.parentSpanId !== "")),
    ],
    ["resource", text(({ resource }) => jsonAttributes(resource))],
    ["scope", text(scopeJson)],
    ["events", text((span) => (span.events.length > 0 ? eventsJson(span) : undefined))],
    ["links", text((span) => (span.links.length > 0 ? linksJson(span) : undefined))],
    ["rest", text((span) => (restOf(span).size > 0 ? jsonAttributes(restOf(span)) : undefined))],
  ]);
}

const KINDS: Readonly<Record<AttributeType, Kind>> = {
  string: "bytes",
  int: { width: 8 },
  double: { width: 8 },
  bool: "bits",
};

function uniqueKeys(keys: readonly AttributeKey[]): AttributeKey[] {
  return [...new Map(keys.map((key) => [`${key.type}:${key.key}`, key])).values()];
}

/** A source of these spans, duplicates removed, rows in the order of the port. */
export function plainSource(
  spans: readonly PlainSpan[],
  { pageRows: perPage = Infinity, codedPages = Infinity, rare = [] }: PlainSourceOptions = {},
): SpanSource {
  const traces = makeTraces(spans);
  const nodes = traces.flatMap((trace) => trace.nodes);
  const isRare = (key: string, value: PlainValue): boolean => rare.includes(key) || typeOf(value) === "other";
  const keys = nodes.flatMap(({ span }) =>
    [...span.attributes].map(([key, value]) => ({ key, type: typeOf(value), isRare: isRare(key, value) })),
  );
  const columns = uniqueKeys(keys.filter((key) => !key.isRare)).flatMap(({ key, type }) =>
    type === "other" ? [] : [{ key, type }],
  );
  const pageRows = Uint32Array.from([
    ...nodes.flatMap((_, row) => (row % Math.min(perPage, nodes.length) === 0 ? [row] : [])),
    nodes.length,
  ]);
  const rows = fixedColumns(nodes, isRare);
  for (const { key, type } of columns) {
    const values = nodes.map(({ span }) => {
      const value = span.attributes.get(key);
      return value !== undefined && typeOf(value) === type ? bytesOf(value) : undefined;
    });
    rows.set(`${type}:${key}`, { kind: KINDS[type], values });
  }
  const starts = nodes.map(({ span }) => span.start).sort((a, b) => (a < b ? -1 : 1));
  const durations = nodes.map(({ span }) => durationOf(span)).sort((a, b) => (a < b ? -1 : 1));
  const ends = nodes.map(({ span }) => span.start + durationOf(span)).sort((a, b) => (a < b ? -1 : 1));
  return {
    rowCount: nodes.length,
    bounds: {
      minStartNs: starts[0] ?? 0n,
      maxStartNs: starts.at(-1) ?? 0n,
      maxEndNs: ends.at(-1) ?? 0n,
      minDurationNs: durations[0] ?? 0n,
      maxDurationNs: durations.at(-1) ?? 0n,
    },
    pageRows,
    columns,
    rest: uniqueKeys(keys.filter((key) => key.isRare)).map(({ key, type }) => ({ key, type })),
    traces: async () => ({
      ids: Uint8Array.from(traces.flatMap(({ id }) => [...Buffer.from(id, "hex")])),
      firstRows: Uint32Array.from([
        0,
        ...traces.map((_, i) => traces.slice(0, i + 1).flatMap((t) => t.nodes).length),
      ]),
    }),
    load: async (names) =>
      names.map((name) => {
        const own = rows.get(name);
        if (own === undefined) throw new Error(`no column ${name}`);
        return toColumn(own, pageRows, codedPages);
      }),
  };
}
