// Trace -> pages of otlp_span: the first trace of each page. See FORMAT.md, "Trace index".
import { TRACE_ID_BYTES } from "../model/ids.ts";
import { AppError } from "../util/errors.ts";
import { ByteBuffer } from "./byte-buffer.ts";
import type { ByteRange } from "./meta.ts";
import { decodePart, encodePart, PART } from "./part.ts";

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

const HEADER_BYTES = 12;
const PAGE_BYTES = TRACE_ID_BYTES + 9;
const TWO_TO_32 = 0x1_0000_0000;

/** Frames the index of `pages`, which lie one behind the other from `offset` of the file on. */
export function encodeTraceIndex(offset: number, pages: readonly TracePage[]): Uint8Array {
  const out = new ByteBuffer(HEADER_BYTES + pages.length * PAGE_BYTES);
  out.appendUint32(pages.length);
  out.appendUint32(offset % TWO_TO_32);
  out.appendUint32(Math.floor(offset / TWO_TO_32));
  for (const { firstTraceId } of pages) out.append(firstTraceId, 0, TRACE_ID_BYTES);
  for (const { byteLength } of pages) out.appendUint32(byteLength);
  for (const { rowCount } of pages) out.appendUint32(rowCount);
  const flags = Uint8Array.from(pages, ({ isContinued }) => (isContinued ? 1 : 0));
  out.append(flags, 0, flags.length);
  return encodePart(PART.traceIndex, out.view(), "zstd");
}

/** The pages by position, without an object for each. */
export class TraceIndex {
  readonly pageCount: number;
  readonly #offset: number;
  readonly #body: Uint8Array;
  readonly #view: DataView;

  /** @throws AppError `corrupt` */
  constructor(part: Uint8Array) {
    const body = decodePart(PART.traceIndex, part);
    this.#body = body;
    this.#view = new DataView(body.buffer, body.byteOffset, body.length);
    if (body.length < HEADER_BYTES) throw new AppError("corrupt", "trace index: cut short");
    this.pageCount = this.#view.getUint32(0, true);
    this.#offset = this.#view.getUint32(4, true) + this.#view.getUint32(8, true) * TWO_TO_32;
    if (body.length !== HEADER_BYTES + this.pageCount * PAGE_BYTES) {
      throw new AppError("corrupt", "trace index: wrong length");
    }
  }

  /** Order of the page's first trace against `traceId`: negative, 0 or positive. */
  #compare(page: number, traceId: Uint8Array): number {
    const at = HEADER_BYTES + page * TRACE_ID_BYTES;
    for (let i = 0; i < TRACE_ID_BYTES; i++) {
      const difference = (this.#body[at + i] ?? 0) - (traceId[i] ?? 0);
      if (difference !== 0) return difference;
    }
    return 0;
  }

  #byteLength(page: number): number {
    return this.#view.getUint32(HEADER_BYTES + this.pageCount * TRACE_ID_BYTES + 4 * page, true);
  }

  #isContinued(page: number): boolean {
    return this.#body[HEADER_BYTES + this.pageCount * (TRACE_ID_BYTES + 8) + page] === 1;
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
    if (start < 0) throw new AppError("corrupt", "trace index: the first page is continued");
    let offset = this.#offset;
    for (let page = 0; page < start; page++) offset += this.#byteLength(page);
    let length = 0;
    for (let page = start; page < end; page++) length += this.#byteLength(page);
    if (!Number.isSafeInteger(offset + length)) throw new AppError("corrupt", "trace index: offset");
    return { offset, length };
  }
}
