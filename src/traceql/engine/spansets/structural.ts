// Structural operators: one pass over rows in pre-order, where a parent stands before its children.
import type { Relation, Structural } from "../../ast.ts";
import { emptyMask, intersect, type Mask, nextRow, subtract, unite } from "../columns/mask.ts";
import { rowDecoder } from "../columns/row-decoder.ts";
import { NONE, type Scan } from "../columns/scan.ts";
import { type Value, valueKey } from "../columns/value.ts";

/** What the left is to the right, seen from the right. */
const INVERSE: Readonly<Record<Relation, Relation>> = {
  ">": "<",
  ">>": "<<",
  "<": ">",
  "<<": ">>",
  "~": "~",
};

/** The spans of `right` and, of the form `union`, of `left` that the operator selects. */
export function relate(scan: Scan, { relation, form }: Structural, left: Mask, right: Mask): Mask {
  const partners = withPartner(scan, relation, left, right);
  switch (form) {
    case "plain":
      return partners;
    case "negated":
      return subtract(right.slice(), partners);
    case "union":
      return unite(partners, withPartner(scan, INVERSE[relation], right, left));
  }
}

/** The spans of `right` that have a partner in `left`. */
function withPartner(scan: Scan, relation: Relation, left: Mask, right: Mask): Mask {
  switch (relation) {
    case ">":
      return childrenOf(scan, left, right);
    case ">>":
      return intersect(descendantsOf(scan, left), right);
    case "<":
      return intersect(parentsOf(scan, left), right);
    case "<<":
      return intersect(ancestorsOf(scan, left), right);
    case "~":
      return siblingsOf(scan, left, right);
  }
}

/** The rows of `right` whose parent is in `left`: mostly these are few. */
function childrenOf(scan: Scan, left: Mask, right: Mask): Mask {
  const children = emptyMask(scan.rowCount);
  const parentOf = scan.parentReader();
  for (let row = nextRow(right, 0); row >= 0; row = nextRow(right, row + 1)) {
    const parent = parentOf(row);
    if (parent !== NONE) children[row] = left[parent] ?? 0;
  }
  return children;
}

function descendantsOf({ parents, rowCount }: Scan, spans: Mask): Mask {
  const descendants = emptyMask(rowCount);
  for (let row = 0; row < rowCount; row++) {
    const parent = parents[row] ?? NONE;
    if (parent !== NONE) descendants[row] = (spans[parent] ?? 0) | (descendants[parent] ?? 0);
  }
  return descendants;
}

function parentsOf({ parents, rowCount }: Scan, spans: Mask): Mask {
  const result = emptyMask(rowCount);
  for (let row = 0; row < rowCount; row++) {
    const parent = parents[row] ?? NONE;
    if (parent !== NONE && spans[row] === 1) result[parent] = 1;
  }
  return result;
}

/** From the last row to the first, so that a span's descendants are all seen before it. */
function ancestorsOf({ parents, rowCount }: Scan, spans: Mask): Mask {
  const ancestors = emptyMask(rowCount);
  for (let row = rowCount - 1; row >= 0; row--) {
    const parent = parents[row] ?? NONE;
    if (parent !== NONE && ((spans[row] ?? 0) | (ancestors[row] ?? 0)) === 1) ancestors[parent] = 1;
  }
  return ancestors;
}

/** The spans of `right` with a sibling in `left`, itself not counted. */
function siblingsOf(scan: Scan, left: Mask, right: Mask): Mask {
  const siblings = emptyMask(scan.rowCount);
  const families = new Families(scan);
  // A top has a number of its own behind those of rows.
  const counts = new Uint32Array(2 * scan.rowCount);
  for (let row = nextRow(left, 0); row >= 0; row = nextRow(left, row + 1)) {
    const family = families.of(row);
    counts[family] = (counts[family] ?? 0) + 1;
  }
  for (let row = nextRow(right, 0); row >= 0; row = nextRow(right, row + 1)) {
    if ((counts[families.of(row)] ?? 0) > (left[row] ?? 0)) siblings[row] = 1;
  }
  return siblings;
}

/** Siblings have one parent; where it is not there, they name the same one, or none, in the same trace. */
class Families {
  readonly #scan: Scan;
  readonly #parentId: (row: number) => Value;
  readonly #tops = new Map<string, number>();

  constructor(scan: Scan) {
    this.#scan = scan;
    this.#parentId = rowDecoder(scan, { column: scan.column("parentSpanId"), codec: { kind: "hex" } });
  }

  /** The same number for siblings. */
  of(row: number): number {
    const parent = this.#scan.parents[row] ?? NONE;
    if (parent !== NONE) return parent;
    const key = `${this.#scan.traceOfRow[row]} ${valueKey(this.#parentId(row))}`;
    let family = this.#tops.get(key);
    if (family === undefined) {
      family = this.#scan.rowCount + this.#tops.size;
      this.#tops.set(key, family);
    }
    return family;
  }
}
