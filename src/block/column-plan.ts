// Which attributes get a column of their own: the frequent ones.
import { compareBytes } from "../util/bytes.ts";
import { VALUE_TYPES } from "./field-cursor.ts";
import type { KeyTable } from "./key-table.ts";
import type { ColumnSchema, Physical } from "./parquet-schema.ts";
import { decodeUtf8, REPLACEMENT, validUtf8 } from "./utf8.ts";

/** Attribute columns of a block at most; each costs about 150 bytes of footer and two pages. */
const ATTRIBUTE_COLUMNS_MAX = 120;
/** A key on fewer than one span in this many goes to `attributes_rest`. */
const RARE_ONE_IN = 1000;
/** Longer keys go to `attributes_rest`. */
const KEY_BYTES_MAX = 256;

export type AttributeType = "string" | "int" | "double" | "bool" | "other";
export type ColumnType = Exclude<AttributeType, "other">;

/** By the numbers of VALUE_TYPE. */
export const ATTRIBUTE_TYPES: readonly AttributeType[] = ["string", "int", "double", "bool", "other"];
const SUFFIX: Readonly<Record<ColumnType, string>> = {
  string: "",
  int: ".int",
  double: ".double",
  bool: ".bool",
};
const PHYSICAL: Readonly<Record<ColumnType, Physical>> = {
  string: "bytes",
  int: "int64",
  double: "double",
  bool: "boolean",
};

export interface AttributeColumn {
  readonly name: string;
  readonly key: string;
  readonly type: ColumnType;
  /** Values under the key, those of repeated keys and of duplicates of spans included. */
  readonly count: number;
  /** Index into `ColumnPlan.slots`. */
  readonly slot: number;
}

/** An attribute that is (only) in `attributes_rest`. */
export interface RestAttribute {
  readonly key: string;
  readonly type: AttributeType;
  readonly count: number;
}

export interface ColumnPlan {
  /** Most frequent first. */
  readonly columns: readonly AttributeColumn[];
  readonly rest: readonly RestAttribute[];
  /** Number of slots: key * VALUE_TYPES + type. */
  readonly slotCount: number;
}

interface Candidate {
  readonly bytes: Uint8Array;
  readonly slot: number;
  readonly type: AttributeType;
  readonly count: number;
}

/** More frequent first, then by key and type, so that the same spans give the same columns. */
function byCount(a: Candidate, b: Candidate): number {
  return (
    b.count - a.count || compareBytes(a.bytes, b.bytes) || (a.slot % VALUE_TYPES) - (b.slot % VALUE_TYPES)
  );
}

function isNameable(bytes: Uint8Array): boolean {
  if (bytes.length === 0 || bytes.length > KEY_BYTES_MAX) return false;
  // A key with the replacement character is what another one looks like that is not valid.
  return compareBytes(validUtf8(bytes), bytes) === 0 && !decodeUtf8(bytes).includes(REPLACEMENT);
}

/**
 * Decides for each key and type whether it gets a column. Arrays, maps, bytes and empty values never do, nor do keys
 * that are no valid column name. Of two that want the same name (`a.int` as text and `a` as a number; names that
 * differ in case only, which SQL engines do not tell apart) the more frequent one gets it.
 */
export function planColumns(keys: KeyTable, spanCount: number): ColumnPlan {
  const candidates: Candidate[] = [];
  for (let key = 0; key < keys.size; key++) {
    const bytes = keys.bytesOf(key);
    for (let type = 0; type < VALUE_TYPES; type++) {
      const count = keys.countOf(key, type);
      if (count === 0) continue;
      candidates.push({
        bytes,
        slot: key * VALUE_TYPES + type,
        type: ATTRIBUTE_TYPES[type] ?? "other",
        count,
      });
    }
  }
  candidates.sort(byCount);
  const columns: AttributeColumn[] = [];
  const rest: RestAttribute[] = [];
  const names = new Set<string>();
  for (const { bytes, slot, type, count } of candidates) {
    const key = decodeUtf8(bytes);
    const mayHaveColumn =
      type !== "other" &&
      columns.length < ATTRIBUTE_COLUMNS_MAX &&
      count * RARE_ONE_IN >= spanCount &&
      isNameable(bytes);
    const name = type === "other" ? "" : `span.${key}${SUFFIX[type]}`;
    if (mayHaveColumn && !names.has(name.toLowerCase())) {
      names.add(name.toLowerCase());
      columns.push({ name, key, type, count, slot });
    } else rest.push({ key, type, count });
  }
  return { columns, rest, slotCount: keys.size * VALUE_TYPES };
}

export function attributeSchema(column: AttributeColumn): ColumnSchema {
  return {
    name: column.name,
    physical: PHYSICAL[column.type],
    ...(column.type === "string" ? { logical: "string" } : {}),
    optional: true,
    compression: "zstd",
  };
}
