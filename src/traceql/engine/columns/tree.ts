// What the place of a span in its trace's tree says.
import { NONE, type Scan } from "./scan.ts";

/** Spans whose parent each row is. */
export function childCounts({ parents, rowCount }: Scan): Int32Array {
  const counts = new Int32Array(rowCount);
  for (let row = 0; row < rowCount; row++) {
    const parent = parents[row] ?? NONE;
    if (parent !== NONE) counts[parent] = (counts[parent] ?? 0) + 1;
  }
  return counts;
}

export interface NestedSet {
  readonly left: Int32Array;
  readonly right: Int32Array;
  /** The parent's left; -1: a root. */
  readonly parent: Int32Array;
}

/** Numbers counted up from 1 in each trace on the way down and up its trees; all 0 for rows that are not below a root. */
export function nestedSet(scan: Scan): NestedSet {
  const left = new Int32Array(scan.rowCount);
  const right = new Int32Array(scan.rowCount);
  const parent = new Int32Array(scan.rowCount);
  for (let trace = 0; trace < scan.traceCount; trace++) {
    numberTrace(scan, { left, right, parent }, scan.traceStart(trace), scan.traceStart(trace + 1));
  }
  return { left, right, parent };
}

function numberTrace({ parents, isRoot }: Scan, numbers: NestedSet, start: number, end: number): void {
  const { left, right, parent } = numbers;
  let next = 1;
  let open = NONE;
  for (let row = start; row < end; row++) {
    const above = parents[row] ?? NONE;
    const isNumbered = isRoot[row] === 1 || (above !== NONE && (left[above] ?? 0) > 0);
    // Up to the parent: what was open below it is complete.
    for (; open !== NONE && open !== above; open = parents[open] ?? NONE) right[open] = next++;
    if (!isNumbered) continue;
    left[row] = next++;
    parent[row] = above === NONE ? -1 : (left[above] ?? 0);
    open = row;
  }
  for (; open !== NONE; open = parents[open] ?? NONE) right[open] = next++;
}
