// The values of a column by row, for the few rows, or the few conditions, that no vector will do for.
import type { Column, ColumnPage } from "../../storage.ts";
import { type Codec, type Decoder, decoderOf } from "./decode.ts";
import type { Scan } from "./scan.ts";
import type { Value } from "./value.ts";

/** A column and how its values stand for those of a field. */
export interface Layer {
  readonly column: Column;
  readonly codec: Codec;
}

/** By row of the page: position of its value among those of the page, plus 1; 0: none. Undefined: all have theirs. */
function positionsOf({ present, rowCount }: ColumnPage): Uint32Array | undefined {
  if (present === undefined) return undefined;
  const positions = new Uint32Array(rowCount);
  let count = 0;
  for (let i = 0; i < rowCount; i++) {
    if ((((present[i >>> 3] ?? 0) >>> (i & 7)) & 1) === 1) positions[i] = ++count;
  }
  return positions;
}

/** A decoder that remembers what it has decoded. */
function remembering(decode: Decoder): Decoder {
  const known: { readonly value: Value }[] = [];
  return (index) => (known[index] ??= { value: decode(index) }).value;
}

function pageDecoder(page: ColumnPage, codec: Codec, entry: Decoder | undefined): Decoder {
  const positions = positionsOf(page);
  const { content } = page;
  const decode = content.kind === "values" ? decoderOf(codec, content.values) : undefined;
  const at = (position: number): Value => {
    if (content.kind === "values") return decode?.(position);
    return entry?.(content.codes[position] ?? 0);
  };
  if (positions === undefined) return at;
  return (i) => {
    const position = positions[i] ?? 0;
    return position === 0 ? undefined : at(position - 1);
  };
}

const NO_PAGE: Decoder = () => undefined;

/** The value of any row. Pages are decoded when first needed and kept. */
export function rowDecoder(scan: Scan, { column, codec }: Layer): (row: number) => Value {
  const pages: (Decoder | undefined)[] = [];
  const entry = column.dictionary && remembering(decoderOf(codec, column.dictionary));
  let index = 0;
  let first = 0;
  let end = 0;
  let decode = NO_PAGE;
  return (row) => {
    if (row < first || row >= end) {
      index = scan.pageOf(row, index);
      first = scan.pageStart(index);
      end = scan.pageStart(index + 1);
      decode = pages[index] ??= pageDecoder(column.page(index), codec, entry);
    }
    return decode(row - first);
  };
}
