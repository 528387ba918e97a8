// The block's own facts: JSON under one key of the footer's key-value metadata, and in the part "attributes".
import { toHex } from "../util/hex.ts";
import { AppError } from "../util/errors.ts";
import { parseTraceId } from "../model/ids.ts";
import type { ColumnPlan } from "./column-plan.ts";
import type { BlockMeta, ByteRange } from "./meta.ts";

/** Key of the facts in the footer's key-value metadata. */
export const FACTS_KEY = "rubato";

export const FORMAT_VERSION = 1;

/** Parts of the tail; each is framed as part.ts has it. */
export type PartName = "traceIndex" | "resources" | "filter" | "attributes";
export type PartRanges = Readonly<Record<PartName, ByteRange>>;

export type BlockFacts = Omit<BlockMeta, "version" | "byteLength"> & {
  /** Rows of each column page; the same for all columns but otlp_span. */
  readonly pageRows: readonly number[];
};

export function encodeFacts(facts: BlockFacts, parts: PartRanges): string {
  return JSON.stringify({
    version: FORMAT_VERSION,
    spanCount: facts.spanCount,
    traceCount: facts.traceCount,
    rawBytes: facts.rawBytes,
    minStartNs: String(facts.minStartNs),
    maxEndNs: String(facts.maxEndNs),
    firstTraceId: toHex(facts.firstTraceId),
    lastTraceId: toHex(facts.lastTraceId),
    pageRows: facts.pageRows,
    parts,
  });
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

const HEX_ID = /^[0-9a-f]{32}$/;
const UINT64 = /^\d{1,20}$/;

/** @throws AppError `corrupt`, also for a version that this program does not know */
export function decodeFacts(text: string): { facts: BlockFacts; parts: PartRanges } {
  const json = parseJson(text);
  if (!isObject(json)) throw corrupt("no object");
  if (json["version"] !== FORMAT_VERSION) throw corrupt(`version ${String(json["version"])}`);
  const { pageRows, parts } = json;
  if (!Array.isArray(pageRows) || !isObject(parts)) throw corrupt("parts");
  return {
    facts: {
      spanCount: sizeOf(json, "spanCount"),
      traceCount: sizeOf(json, "traceCount"),
      rawBytes: sizeOf(json, "rawBytes"),
      minStartNs: BigInt(stringOf(json, "minStartNs", UINT64)),
      maxEndNs: BigInt(stringOf(json, "maxEndNs", UINT64)),
      firstTraceId: parseTraceId(stringOf(json, "firstTraceId", HEX_ID)),
      lastTraceId: parseTraceId(stringOf(json, "lastTraceId", HEX_ID)),
      pageRows: pageRows.map((_, index) => sizeOf({ rows: pageRows[index] }, "rows")),
    },
    parts: {
      traceIndex: rangeOf(parts, "traceIndex"),
      resources: rangeOf(parts, "resources"),
      filter: rangeOf(parts, "filter"),
      attributes: rangeOf(parts, "attributes"),
    },
  };
}

/** Which attributes of spans a block has, and where. */
export interface BlockAttributes {
  /** Columns by frequency. Their names alone do not tell key and type apart. */
  readonly columns: readonly { readonly name: string; readonly key: string; readonly type: string }[];
  /** What is in `attributes_rest`, with the number of spans before duplicates were removed. */
  readonly rest: readonly { readonly key: string; readonly type: string; readonly count: number }[];
}

export function encodeAttributes(plan: ColumnPlan): Uint8Array {
  const text = JSON.stringify({
    columns: plan.columns.map(({ name, key, type }) => ({ name, key, type })),
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
      type: stringOf(column, "type", /^/),
    })),
    rest: objectsOf(json, "rest").map((attribute) => ({
      key: stringOf(attribute, "key", /^/),
      type: stringOf(attribute, "type", /^/),
      count: sizeOf(attribute, "count"),
    })),
  };
}

function objectsOf(object: JsonObject, key: string): JsonObject[] {
  const value = object[key];
  if (!Array.isArray(value)) throw corrupt(key);
  return value.map((item: unknown) => {
    if (!isObject(item)) throw corrupt(key);
    return item;
  });
}
