// Which interval each row of a source begins in, as runs of rows with the same one: spans of a trace mostly share it.
import type { Notes, SpanSource } from "../../storage.ts";
import type { Intervals } from "./intervals.ts";

/** Intervals of a source at most: their numbers fit two bytes. */
const INTERVALS_MAX = 1 << 16;
/** Bytes of a note for each row, at most: one larger is not worth its place. */
const ROW_BYTES_MAX = 1 / 2;
const INITIAL_BYTES = 1 << 14;

/** All intervals of the same step and alignment that a source has spans in, however few of them a query asks for. */
export interface SourceAxis {
  readonly intervals: Intervals;
  /** Number of the query's first interval among them. */
  readonly first: number;
  readonly notes: Notes;
  readonly name: string;
}

/**
 * Undefined when nothing would be kept, or nobody would ask for it again: the one interval of an instant query ends with the
 * moment.
 */
export function axisOf({ bounds, notes }: SpanSource, intervals: Intervals): SourceAxis | undefined {
  const { firstNs, stepNs } = intervals;
  if (notes === undefined || intervals.count === 1) return undefined;
  const phaseNs = ((firstNs % stepNs) + stepNs) % stepNs;
  // The left edge is open: the first start is behind it.
  const afterPhaseNs = bounds.minStartNs - 1n - phaseNs;
  const beginNs = phaseNs + (afterPhaseNs / stepNs) * stepNs;
  const count = (bounds.maxStartNs - beginNs + stepNs - 1n) / stepNs;
  if (afterPhaseNs < 0n || count > BigInt(INTERVALS_MAX)) return undefined;
  return {
    intervals: { ...intervals, firstNs: beginNs, count: Number(count) },
    first: Number((firstNs - beginNs) / stepNs),
    notes,
    name: `intervals of ${stepNs} from ${beginNs}`,
  };
}

/** Pairs of a length, at least 1, and an interval. Bytes when both fit. */
type Runs = Uint8Array | Uint16Array;

function runsOf(
  { intervals }: SourceAxis,
  buffer: ArrayBufferLike,
  offset: number,
  byteLength: number,
): Runs {
  return intervals.count <= 256
    ? new Uint8Array(buffer, offset, byteLength)
    : new Uint16Array(buffer, offset, byteLength / 2);
}

function newRuns(axis: SourceAxis, byteLength: number): Runs {
  return runsOf(axis, new ArrayBuffer(byteLength), 0, byteLength);
}

/** Gathers the intervals of all rows of a source, in their order. */
export class RunWriter {
  readonly #axis: SourceAxis;
  readonly #rowCount: number;
  readonly #lengthMax: number;
  #runs: Runs;
  #end = 0;
  #row = 0;
  #isGivenUp = false;

  constructor(axis: SourceAxis, rowCount: number) {
    this.#axis = axis;
    this.#rowCount = rowCount;
    this.#runs = newRuns(axis, INITIAL_BYTES);
    this.#lengthMax = 256 ** this.#runs.BYTES_PER_ELEMENT - 1;
  }

  /** @param firstRow when it is not the next one, rows are missing, and nothing will be noted */
  add(firstRow: number, intervals: Int32Array): void {
    if (firstRow !== this.#row || this.#isGivenUp) return;
    const { count } = this.#axis.intervals;
    for (let i = 0; i < intervals.length;) {
      const interval = intervals[i] ?? 0;
      const most = Math.min(intervals.length, i + this.#lengthMax);
      let end = i + 1;
      while (end < most && intervals[end] === interval) end++;
      // Outside of what the source says of itself.
      this.#isGivenUp = interval < 0 || interval >= count || !this.#push(end - i, interval);
      if (this.#isGivenUp) return;
      i = end;
    }
    this.#row += intervals.length;
  }

  /** Notes them if they are complete. */
  end(): void {
    if (this.#row !== this.#rowCount) return;
    const bytes = new Uint8Array(this.#runs.buffer.slice(0, this.#end * this.#runs.BYTES_PER_ELEMENT));
    this.#axis.notes.set(this.#axis.name, bytes);
  }

  #push(length: number, interval: number): boolean {
    if (this.#end === this.#runs.length) {
      if (this.#runs.byteLength > ROW_BYTES_MAX * this.#rowCount) return false;
      const grown = newRuns(this.#axis, 2 * this.#runs.byteLength);
      grown.set(this.#runs);
      this.#runs = grown;
    }
    this.#runs[this.#end++] = length;
    this.#runs[this.#end++] = interval;
    return true;
  }
}

/** Reads what is noted. */
export class RunReader {
  readonly #runs: Runs;
  readonly #first: number;
  readonly #count: number;
  /** The run that the last page ended in, and its first row. */
  #at = 0;
  #row = 0;

  private constructor(runs: Runs, first: number, count: number) {
    this.#runs = runs;
    this.#first = first;
    this.#count = count;
  }

  /** Undefined when nothing is noted of the source's rows for the query's intervals. */
  static open(source: SpanSource, intervals: Intervals): RunReader | undefined {
    const axis = axisOf(source, intervals);
    const noted = axis?.notes.get(axis.name);
    if (axis === undefined || noted === undefined) return undefined;
    const { buffer, byteOffset } = noted.byteOffset % 2 === 0 ? noted : noted.slice();
    return new RunReader(runsOf(axis, buffer, byteOffset, noted.length), axis.first, intervals.count);
  }

  /** Writes the query's intervals of the rows from `firstRow` on, `none` for those that have none. Rows ascend from call to call. */
  read(firstRow: number, out: Int32Array, none: number): void {
    const runs = this.#runs;
    const endRow = firstRow + out.length;
    let at = this.#at;
    let row = this.#row;
    let end = row + (runs[at] ?? 0);
    while (row < endRow && at < runs.length) {
      const interval = (runs[at + 1] ?? 0) - this.#first;
      const own = interval >= 0 && interval < this.#count ? interval : none;
      const last = Math.min(end, endRow) - firstRow;
      for (let i = Math.max(row, firstRow) - firstRow; i < last; i++) out[i] = own;
      if (end > endRow) break;
      at += 2;
      row = end;
      end = row + (runs[at] ?? 0);
    }
    this.#at = at;
    this.#row = row;
  }
}
