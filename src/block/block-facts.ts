// The block's own facts: JSON under one key of the footer's key-value metadata, and in the part "attributes".
import { toHex } from "../util/hex.ts";
import { AppError } from "../util/errors.ts";
import { parseTraceId } from "../model/ids.ts";
import { ATTRIBUTE_TYPES, type AttributeType, type ColumnPlan } from "./column-plan.ts";
import type { BlockMeta, ByteRange } from "./meta.ts";

/** Key of the facts in the footer's key-value metadata. */
export const FACTS_KEY = "rubato";

/** The version that is written; readers know all versions up to it. */
const FORMAT_VERSION = 2;

/** Parts of the tail; each is framed as part.ts has it. */
export type PartName = "traceIndex" | "resources" | "filter" | "attributes";
export type PartRanges = Readonly<Record<PartName, ByteRange>>;

/** One row group. */
export interface RowGroupFacts {
  readonly spanCount: number;
  readonly traceCount: number;
  /** Rows of each column page; the same for all columns but otlp_span. */
  readonly pageRows: readonly number[];
}

export type BlockFacts = Omit<BlockMeta, "byteLength"> & { readonly rowGroups: readonly RowGroupFacts[] };

/** The facts of a block that is being written: always in the newest version. */
export type NewBlockFacts = Omit<BlockFacts, "version" | "arrivedMs"> & { readonly arrivedMs: number };

export function encodeFacts(facts: NewBlockFacts, parts: PartRanges): string {
  return JSON.stringify({
    version: FORMAT_VERSION,
    spanCount: facts.spanCount,
    traceCount: facts.traceCount,
    rawBytes: facts.rawBytes,
    minStartNs: String(facts.minStartNs),
    maxEndNs: String(facts.maxEndNs),
    firstTraceId: toHex(facts.firstTraceId),
    lastTraceId: toHex(facts.lastTraceId),
    arrivedMs: facts.arrivedMs,
    replaces: facts.replaces,
    rowGroups: facts.rowGroups,
    parts,
  });
}

/** The facts as a reader of the file has them. */
export function metaOf(facts: NewBlockFacts, byteLength: number): BlockMeta {
  const { rowGroups: _, ...known } = facts;
  return { version: FORMAT_VERSION, ...known, byteLength };
}

function corrupt(what: string): AppError {
  return new AppError("corrupt", `block facts: ${what}`);
}

type JsonObject = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new AppError("corrupt", "block facts: no JSON", { cause: error });
  }
}

function sizeOf(object: JsonObject, key: string): number {
  const value = object[key];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw corrupt(key);
  return value;
}

function stringOf(object: JsonObject, key: string, pattern: RegExp): string {
  const value = object[key];
  if (typeof value !== "string" || !pattern.test(value)) throw corrupt(key);
  return value;
}

function rangeOf(parts: JsonObject, name: PartName): ByteRange {
  const part = parts[name];
  if (!isObject(part)) throw corrupt(name);
  return { offset: sizeOf(part, "offset"), length: sizeOf(part, "length") };
}

/** A list of sizes. */
function sizesOf(object: JsonObject, key: string): number[] {
  const value = object[key];
  if (!Array.isArray(value)) throw corrupt(key);
  return value.map((_, index) => sizeOf({ [key]: value[index] }, key));
}

function rowGroupOf(group: JsonObject): RowGroupFacts {
  const pageRows = sizesOf(group, "pageRows");
  const spanCount = sizeOf(group, "spanCount");
  const traceCount = sizeOf(group, "traceCount");
  const rows = pageRows.reduce((sum, count) => sum + count, 0);
  if (rows !== spanCount || traceCount > spanCount || pageRows.includes(0)) throw corrupt("pageRows");
  return { spanCount, traceCount, pageRows };
}

/** Version 1 had one row group, or none, and its facts among the block's. */
function rowGroupsOf(json: JsonObject): RowGroupFacts[] {
  if (json["version"] !== 1) return objectsOf(json, "rowGroups").map(rowGroupOf);
  return json["spanCount"] === 0 ? [] : [rowGroupOf(json)];
}

const HEX_ID = /^[0-9a-f]{32}$/;
const UINT64 = /^\d{1,20}$/;

/** @throws AppError `corrupt`, also for a version that this program does not know */
export function decodeFacts(text: string): { facts: BlockFacts; parts: PartRanges } {
  const json = parseJson(text);
  if (!isObject(json)) throw corrupt("no object");
  const { version, parts } = json;
  if (version !== 1 && version !== FORMAT_VERSION) throw corrupt(`version ${String(version)}`);
  if (!isObject(parts)) throw corrupt("parts");
  const facts: BlockFacts = {
    version,
    spanCount: sizeOf(json, "spanCount"),
    traceCount: sizeOf(json, "traceCount"),
    rawBytes: sizeOf(json, "rawBytes"),
    minStartNs: BigInt(stringOf(json, "minStartNs", UINT64)),
    maxEndNs: BigInt(stringOf(json, "maxEndNs", UINT64)),
    firstTraceId: parseTraceId(stringOf(json, "firstTraceId", HEX_ID)),
    lastTraceId: parseTraceId(stringOf(json, "lastTraceId", HEX_ID)),
    arrivedMs: version === 1 ? undefined : sizeOf(json, "arrivedMs"),
    replaces: version === 1 ? [] : sizesOf(json, "replaces"),
    rowGroups: rowGroupsOf(json),
  };
  checkSums(facts);
  return {
    facts,
    parts: {
      traceIndex: rangeOf(parts, "traceIndex"),
      resources: rangeOf(parts, "resources"),
      filter: rangeOf(parts, "filter"),
      attributes: rangeOf(parts, "attributes"),
    },
  };
}

function checkSums({ spanCount, traceCount, rowGroups }: BlockFacts): void {
  let spans = 0;
  let traces = 0;
  for (const group of rowGroups) {
    spans += group.spanCount;
    traces += group.traceCount;
  }
  if (spans !== spanCount || traces !== traceCount) throw corrupt("row groups do not add up");
}

interface AttributeFacts {
  readonly key: string;
  readonly type: AttributeType;
}

/** Which attributes of spans a block has, and where. */
export interface BlockAttributes {
  /** Columns by frequency. Their names alone do not tell key and type apart. Version 1 did not count them. */
  readonly columns: readonly (AttributeFacts & {
    readonly name: string;
    readonly count: number | undefined;
  })[];
  /** What is in `attributes_rest`. */
  readonly rest: readonly (AttributeFacts & { readonly count: number })[];
}

export function encodeAttributes(plan: ColumnPlan): Uint8Array {
  const text = JSON.stringify({
    columns: plan.columns.map(({ name, key, type, count }) => ({ name, key, type, count })),
    rest: plan.rest,
  });
  return new TextEncoder().encode(text);
}

/** @throws AppError `corrupt` */
export function decodeAttributes(bytes: Uint8Array): BlockAttributes {
  const json = parseJson(new TextDecoder().decode(bytes));
  if (!isObject(json)) throw corrupt("attributes");
  return {
    columns: objectsOf(json, "columns").map((column) => ({
      name: stringOf(column, "name", /^/),
      key: stringOf(column, "key", /^/),
      type: typeOf(column),
      count: column["count"] === undefined ? undefined : sizeOf(column, "count"),
    })),
    rest: objectsOf(json, "rest").map((attribute) => ({
      key: stringOf(attribute, "key", /^/),
      type: typeOf(attribute),
      count: sizeOf(attribute, "count"),
    })),
  };
}

function typeOf(attribute: JsonObject): AttributeType {
  const type = ATTRIBUTE_TYPES.find((name) => name === attribute["type"]);
  if (type === undefined) throw corrupt("type");
  return type;
}

function objectsOf(object: JsonObject, key: string): JsonObject[] {
  const value = object[key];
  if (!Array.isArray(value)) throw corrupt(key);
  return value.map((item: unknown) => {
    if (!isObject(item)) throw corrupt(key);
    return item;
  });
}
