// Trace -> pages of otlp_span: the first trace of each page. See FORMAT.md, "Trace index".
import { TRACE_ID_BYTES } from "../model/ids.ts";
import { AppError } from "../util/errors.ts";
import { ByteBuffer } from "./byte-buffer.ts";
import type { ByteRange } from "./meta.ts";
import { checkPartKind, decodePart, encodePart, PART } from "./part.ts";

/** One page of otlp_span. */
export interface TracePage {
  /** Trace of the page's first row: 16 bytes. */
  readonly firstTraceId: Uint8Array;
  /** Whether that trace began in the page before. */
  readonly isContinued: boolean;
  /** Bytes in the file, header included. */
  readonly byteLength: number;
  readonly rowCount: number;
}

/** Pages of a row group, which lie one behind the other from `offset` of the file on. */
export interface TracePageRun {
  readonly offset: number;
  readonly pages: readonly TracePage[];
}

/** Page count and offset of the first page; in version 2 page count and run count. */
const HEADER_BYTES = { 1: 12, 2: 8 } as const;
/** First page and offset. */
const RUN_BYTES = 12;
const PAGE_BYTES = TRACE_ID_BYTES + 9;
const TWO_TO_32 = 0x1_0000_0000;

function appendUint64(out: ByteBuffer, value: number): void {
  out.appendUint32(value % TWO_TO_32);
  out.appendUint32(Math.floor(value / TWO_TO_32));
}

/** Frames the index of the row groups' pages. */
export function encodeTraceIndex(runs: readonly TracePageRun[]): Uint8Array {
  const pages = runs.flatMap((run) => run.pages);
  const out = new ByteBuffer(HEADER_BYTES[2] + runs.length * RUN_BYTES + pages.length * PAGE_BYTES);
  out.appendUint32(pages.length);
  out.appendUint32(runs.length);
  let firstPage = 0;
  for (const run of runs) {
    out.appendUint32(firstPage);
    appendUint64(out, run.offset);
    firstPage += run.pages.length;
  }
  for (const { firstTraceId } of pages) out.append(firstTraceId, 0, TRACE_ID_BYTES);
  for (const { byteLength } of pages) out.appendUint32(byteLength);
  for (const { rowCount } of pages) out.appendUint32(rowCount);
  const flags = Uint8Array.from(pages, ({ isContinued }) => (isContinued ? 1 : 0));
  out.append(flags, 0, flags.length);
  return encodePart(PART.traceIndex, out.view(), "zstd", 2);
}

/** The pages by position, without an object for each. */
export class TraceIndex {
  readonly pageCount: number;
  /** First page and offset of each run, by ascending page. */
  readonly #runs: readonly { readonly firstPage: number; readonly offset: number }[];
  readonly #body: Uint8Array;
  readonly #view: DataView;
  /** Where the trace ids begin. */
  readonly #idsAt: number;

  /** @throws AppError `corrupt` */
  constructor(part: Uint8Array) {
    const body = decodePart(PART.traceIndex, part);
    const version = checkPartKind(part, PART.traceIndex);
    this.#body = body;
    this.#view = new DataView(body.buffer, body.byteOffset, body.length);
    if (body.length < HEADER_BYTES[version]) throw new AppError("corrupt", "trace index: cut short");
    this.pageCount = this.#view.getUint32(0, true);
    const runCount = version === 1 ? 0 : this.#view.getUint32(4, true);
    this.#idsAt = HEADER_BYTES[version] + runCount * RUN_BYTES;
    if (body.length !== this.#idsAt + this.pageCount * PAGE_BYTES) {
      throw new AppError("corrupt", "trace index: wrong length");
    }
    this.#runs =
      version === 1
        ? [{ firstPage: 0, offset: this.#uint64(4) }]
        : Array.from({ length: runCount }, (_, run) => this.#readRun(run));
    this.#checkRuns();
  }

  #uint64(at: number): number {
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * TWO_TO_32;
  }

  #readRun(run: number): { firstPage: number; offset: number } {
    const at = HEADER_BYTES[2] + run * RUN_BYTES;
    return { firstPage: this.#view.getUint32(at, true), offset: this.#uint64(at + 4) };
  }

  /** The first run begins with page 0, each holds a page, and no trace goes on from one to the next. */
  #checkRuns(): void {
    let next = 0;
    for (const [run, { firstPage }] of this.#runs.entries()) {
      const isSound = run === 0 ? firstPage === 0 : firstPage >= next && firstPage < this.pageCount;
      if (!isSound || this.#isContinued(firstPage)) throw new AppError("corrupt", "trace index: runs");
      next = firstPage + 1;
    }
    if (this.#runs.length === 0 && this.pageCount > 0) throw new AppError("corrupt", "trace index: no runs");
  }

  /** All pages with their places in the file, by row group. A damaged index may give any. @throws AppError `corrupt` */
  pageRuns(): { readonly offset: number; readonly byteLength: number; readonly rowCount: number }[][] {
    return this.#runs.map(({ firstPage, offset }, run) => {
      const end = this.#runs[run + 1]?.firstPage ?? this.pageCount;
      let at = offset;
      return Array.from({ length: end - firstPage }, (_, index) => {
        const page = firstPage + index;
        const byteLength = this.#byteLength(page);
        const rowCount = this.#view.getUint32(
          this.#idsAt + this.pageCount * (TRACE_ID_BYTES + 4) + 4 * page,
          true,
        );
        at += byteLength;
        return { offset: at - byteLength, byteLength, rowCount };
      });
    });
  }

  /** Order of the page's first trace against `traceId`: negative, 0 or positive. */
  #compare(page: number, traceId: Uint8Array): number {
    const at = this.#idsAt + page * TRACE_ID_BYTES;
    for (let i = 0; i < TRACE_ID_BYTES; i++) {
      const difference = (this.#body[at + i] ?? 0) - (traceId[i] ?? 0);
      if (difference !== 0) return difference;
    }
    return 0;
  }

  #byteLength(page: number): number {
    return this.#view.getUint32(this.#idsAt + this.pageCount * TRACE_ID_BYTES + 4 * page, true);
  }

  #isContinued(page: number): boolean {
    return this.#body[this.#idsAt + this.pageCount * (TRACE_ID_BYTES + 8) + page] === 1;
  }

  /** First of the pages from `low` on whose first trace is at least (`orEqual`: greater than) `traceId`. */
  #lowerBound(traceId: Uint8Array, orEqual: boolean): number {
    let low = 0;
    let high = this.pageCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = this.#compare(middle, traceId);
      if (order < 0 || (orEqual && order === 0)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /**
   * The range of the pages that hold the trace if the block does; undefined when it is before the first. A damaged index
   * that has the right checksum may give any range, also one that the block does not have.
   * @throws AppError `corrupt`
   */
  find(traceId: Uint8Array): ByteRange | undefined {
    const end = this.#lowerBound(traceId, true);
    if (end === 0) return undefined;
    const equal = this.#lowerBound(traceId, false);
    // Without a page that begins with the trace it can only be within the last page that begins before it. Otherwise it
    // begins with that page, unless the page goes on with it.
    const start = equal === end || this.#isContinued(equal) ? equal - 1 : equal;
    const run = this.#runs.findLast(({ firstPage }) => firstPage <= start);
    if (run === undefined || this.#runs.some(({ firstPage }) => firstPage > start && firstPage < end)) {
      throw new AppError("corrupt", "trace index: a trace in two row groups");
    }
    let { offset } = run;
    for (let page = run.firstPage; page < start; page++) offset += this.#byteLength(page);
    let length = 0;
    for (let page = start; page < end; page++) length += this.#byteLength(page);
    if (!Number.isSafeInteger(offset + length)) throw new AppError("corrupt", "trace index: offset");
    return { offset, length };
  }
}
