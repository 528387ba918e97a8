// The column otlp_span: whole spans, in pages cut at trace ends, written to the file as they fill.
import { TRACE_ID_BYTES } from "../model/ids.ts";
import { ByteBuffer } from "./byte-buffer.ts";
import { encodePage } from "./page.ts";
import type { PageLocation } from "./parquet-metadata.ts";
import { type ColumnSchema, ENCODING } from "./parquet-schema.ts";
import type { OwnedSpan } from "./row-facts.ts";
import { appendSuffix, SUFFIX_BYTES } from "./suffix.ts";
import type { TracePage } from "./trace-index.ts";

export const OTLP_COLUMN: ColumnSchema = {
  name: "otlp_span",
  physical: "bytes",
  optional: false,
  compression: "zstd",
};

/** Of a flush: 66 bytes a span where 256 KB takes 70 and 1 MB 63, and a lookup still reads some 76 KB. */
export const OTLP_PAGE_BYTES: number = 512 * 1024;

/** Length before a PLAIN value. */
const LENGTH_BYTES = 4;

export class OtlpPages {
  readonly pages: (TracePage & PageLocation)[] = [];
  readonly #write: (bytes: Uint8Array) => void;
  readonly #zstdLevel: number;
  readonly #pageBytes: number;
  readonly #buffer: ByteBuffer;
  #offset: number;
  #rows = 0;
  #rowsBefore = 0;
  #traceId: Uint8Array = new Uint8Array(TRACE_ID_BYTES);
  /** Whether a row of the current trace is in an earlier page. */
  #isContinued = false;
  #firstTraceId: Uint8Array = this.#traceId;
  #firstIsContinued = false;
  /** Bytes of all pages before compression, headers included. */
  rawBytes = 0;
  byteLength = 0;

  /** @param offset of the first page in the file, to which `write` appends */
  constructor(
    write: (bytes: Uint8Array) => void,
    offset: number,
    options: { readonly zstdLevel: number; readonly otlpPageBytes: number },
  ) {
    this.#write = write;
    this.#offset = offset;
    this.#zstdLevel = options.zstdLevel;
    this.#pageBytes = options.otlpPageBytes;
    this.#buffer = new ByteBuffer(options.otlpPageBytes + 64 * 1024);
  }

  /** Whether spans, of which there are `spanBytes` bytes, must wait for `cut`: they do not fit the page. */
  isFull(spanCount: number, spanBytes: number): boolean {
    const bytes = spanBytes + spanCount * (LENGTH_BYTES + SUFFIX_BYTES);
    return this.#rows > 0 && this.#buffer.length + bytes > this.#pageBytes;
  }

  /** Bytes of the page, before compression. */
  get pageLength(): number {
    return this.#buffer.length;
  }

  /** Announces a trace, greater than the one before. Before that, the page is cut if it is full for all its spans. */
  beginTrace(traceId: Uint8Array): void {
    this.#traceId = traceId;
    this.#isContinued = false;
  }

  /** Appends a span of the current trace, for which the page is not full. */
  add({ bytes, start, end, resource, scope }: OwnedSpan): void {
    const buffer = this.#buffer;
    const length = end - start + SUFFIX_BYTES;
    if (this.#rows === 0) {
      this.#firstTraceId = this.#traceId;
      this.#firstIsContinued = this.#isContinued;
    }
    buffer.appendUint32(length);
    buffer.append(bytes, start, end);
    appendSuffix(buffer, resource, scope);
    this.#rows++;
    this.#isContinued = true;
  }

  /** Ends the page, if it has rows. */
  cut(): void {
    if (this.#rows === 0) return;
    const { header, body, rawLength } = encodePage({
      kind: "data",
      raw: this.#buffer.view(),
      valueCount: this.#rows,
      encoding: ENCODING.plain,
      compression: OTLP_COLUMN.compression,
      zstdLevel: this.#zstdLevel,
    });
    const byteLength = header.length + body.length;
    this.pages.push({
      firstTraceId: this.#firstTraceId,
      isContinued: this.#firstIsContinued,
      rowCount: this.#rows,
      offset: this.#offset,
      byteLength,
      firstRow: this.#rowsBefore,
    });
    this.#write(header);
    this.#write(body);
    this.#offset += byteLength;
    this.byteLength += byteLength;
    this.rawBytes += header.length + rawLength;
    this.#rowsBefore += this.#rows;
    this.#rows = 0;
    this.#buffer.clear();
  }
}
