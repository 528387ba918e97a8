// A block as the first version of the format had it, and what is in it: older installations have many.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { tracePages } from "../../src/block/lookup.ts";
import { bytesSource, openBlock } from "../../src/block/reader.ts";
import { readTracePages } from "../../src/block/read-trace.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import { toHex } from "../../src/util/hex.ts";
import { hex, inOneChunk, sentSpans } from "../support/block-model.ts";
import type { Batch } from "./batches.ts";

const PATH = join(import.meta.dirname, "../golden/blocks/v1/small.parquet");

export interface OldBlock {
  readonly bytes: Uint8Array;
  /** The spans of `traceIds`, as if they had been sent in one batch. */
  readonly batch: Batch;
  /** Traces that a model can tell. */
  readonly traceIds: readonly string[];
}

export async function readOldBlock(): Promise<OldBlock> {
  const bytes = new Uint8Array(readFileSync(PATH));
  const block = await openBlock(bytesSource(bytes));
  const { traceIndex, resources } = await block.written();
  const ids = await block.traceIds();
  const traces = new Map<string, Uint8Array>();
  for (let at = 0; at < ids.length; at += 16) {
    const id = ids.slice(at, at + 16);
    const range = tracePages(traceIndex, id);
    if (range === undefined) continue;
    const parts: Uint8Array[] = [];
    const pages = inOneChunk(bytes.slice(range.offset, range.offset + range.length));
    for await (const part of readTracePages(pages, resources, id)) parts.push(part);
    // TracesData messages one behind the other are one message.
    traces.set(toHex(id), concatBytes(parts));
  }
  const told = [...traces].filter(([, one]) => isPlain(one, [...traces.values()]));
  const raw = concatBytes(told.map(([, one]) => one));
  const spans = sentSpans([raw]).map(({ span }) => ({
    traceId: hex(span.traceId),
    spanId: hex(span.spanId),
  }));
  const traceIds = told.map(([traceId]) => traceId);
  return { bytes, batch: { number: 0, body: { codec: "raw", bytes: raw }, raw, spans }, traceIds };
}

/**
 * The model knows spans by their ids, of which the block has some twice: in a trace, as Zipkin does, and across traces. And
 * it compares what was sent, to which the API adds a status where there is none.
 */
function isPlain(trace: Uint8Array, all: readonly Uint8Array[]): boolean {
  const ids = sentSpans(all).map(({ span }) => hex(span.spanId));
  return sentSpans([trace]).every(
    ({ span }) => span.status !== undefined && ids.filter((id) => id === hex(span.spanId)).length === 1,
  );
}
