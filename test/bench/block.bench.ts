// The block against its targets. Run: node_modules/.bin/node --expose-gc test/bench/block.bench.ts [write|memory|lookup]
// Wall time: on a shared machine only ratios mean something, which come from rounds in turn. The speed of zstd, measured in
// the same rounds, tells how idle the core was.
import { setTimeout } from "node:timers/promises";
import { writeBlock } from "../../src/block/block-writer.ts";
import { mayHoldTrace, tracePages } from "../../src/block/lookup.ts";
import { readTracePages } from "../../src/block/read-trace.ts";
import { compressZstd } from "../../src/util/codec.ts";
import { makeGenerator } from "../support/generator.ts";
import { writeByHyparquet } from "./hyparquet-writer.ts";

const BATCH_SPANS = 512;
const MIB = 1024 * 1024;

function spansOf(count: number): { batches: Uint8Array[]; traceIds: () => readonly string[] } {
  const generator = makeGenerator({ seed: 1 });
  const batches: Uint8Array[] = [];
  for (let left = count; left > 0; left -= BATCH_SPANS) {
    batches.push(generator.batch(Math.min(left, BATCH_SPANS)));
  }
  return { batches, traceIds: () => generator.traceIds() };
}

async function* each(batches: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* batches;
}

async function millis(run: () => unknown): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
}

function line(name: string, text: string): void {
  console.log(`${name.padEnd(46)} ${text}`);
}

/** Compressed size of the batches as they arrive, in pieces of 1 MiB: no index, no columns. */
function plainBytes(batches: readonly Uint8Array[]): number {
  let bytes = 0;
  let piece: Uint8Array[] = [];
  let length = 0;
  for (const [number, batch] of batches.entries()) {
    piece.push(batch);
    length += batch.length;
    if (length < MIB && number < batches.length - 1) continue;
    bytes += compressZstd(Buffer.concat(piece), 3).length;
    piece = [];
    length = 0;
  }
  return bytes;
}

async function benchWrite(): Promise<void> {
  const count = 50_000;
  const { batches } = spansOf(count);
  const raw = batches.reduce((sum, batch) => sum + batch.length, 0);
  const ours: number[] = [];
  const theirs: number[] = [];
  const zstd: number[] = [];
  const page = Buffer.concat(batches.slice(0, 4)).subarray(0, 512 * 1024);
  let byteLength = 0;
  let theirBytes = 0;
  for (let round = 0; round < 9; round++) {
    const our = await millis(async () => {
      ({
        meta: { byteLength },
      } = await writeBlock(each(batches), () => undefined, { zstdLevel: 3, arrivedMs: 1 }));
    });
    const their = await millis(() => {
      theirBytes = writeByHyparquet(batches);
    });
    const compress = await millis(() => {
      for (let i = 0; i < 20; i++) compressZstd(page, 3);
    });
    // The first two rounds meet code that is not compiled yet.
    if (round < 2) continue;
    ours.push(our);
    theirs.push(their);
    zstd.push((20 * page.length) / 1000 / compress);
  }
  const our = quantile(ours, 0.5);
  const their = quantile(theirs, 0.5);
  const ratios = ours.map((ms, round) => (theirs[round] ?? 0) / ms);
  const plain = plainBytes(batches);
  line("zstd-3 of 512 KB here (idle core: 660)", `${quantile(zstd, 0.5).toFixed(0)} MB/s`);
  line(
    `write ${count} spans, ${(raw / count).toFixed(0)} B/span`,
    `${our.toFixed(0)} ms = ${(count / our).toFixed(0)} k spans/s (best ${(count / Math.min(...ours)).toFixed(0)})`,
  );
  line(
    "the same by hyparquet-writer",
    `${their.toFixed(0)} ms; median ratio ${quantile(ratios, 0.5).toFixed(2)}`,
  );
  line("  of each round", ratios.map((ratio) => ratio.toFixed(2)).join(" "));
  line("size, zstd 3", `${(byteLength / count).toFixed(1)} B/span`);
  line("  hyparquet-writer", `${(theirBytes / count).toFixed(1)} B/span`);
  line(
    "  plain OTLP, zstd 3 per MiB",
    `${(plain / count).toFixed(1)} B/span; the block is ${(byteLength / plain).toFixed(2)} x`,
  );
}

function used(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function benchMemory(): Promise<void> {
  const { gc } = globalThis;
  if (gc === undefined) return line("memory", "skipped: run with --expose-gc");
  const { batches } = spansOf(50_000);
  // Once, so that code and its feedback are not counted.
  await writeBlock(each(batches.slice(0, 20)), () => undefined, { zstdLevel: 3, arrivedMs: 1 });
  for (const [name, collect] of [
    ["live", true],
    ["with garbage", false],
  ] as const) {
    for (let i = 0; i < 3; i++) {
      gc();
      // Buffers of array buffers are freed after the collection, by another thread.
      await setTimeout(50);
    }
    const before = used();
    let peak = 0;
    const sample = (): void => {
      if (collect) gc();
      peak = Math.max(peak, used() - before);
    };
    let spans = 0;
    await writeBlock(
      each(batches),
      () => {
        // Pages of otlp_span come about every thousand spans.
        if (++spans % 8 === 0) sample();
      },
      {
        zstdLevel: 3,
        arrivedMs: 1,
        pause: async () => sample(),
      },
    );
    line(`peak memory above input, 50,000 spans, ${name}`, `${(peak / MIB).toFixed(1)} MiB`);
  }
}

async function benchLookup(): Promise<void> {
  const count = 500_000;
  const { batches, traceIds } = spansOf(count);
  const chunks: Uint8Array[] = [];
  const written = await writeBlock(each(batches), (bytes) => void chunks.push(bytes), {
    zstdLevel: 3,
    arrivedMs: 1,
  });
  const file = new Uint8Array(Buffer.concat(chunks));
  const ids = traceIds()
    .slice(-3000)
    .map((id) => new Uint8Array(Buffer.from(id, "hex")))
    .filter((_, index) => index % 10 === 0);
  const bytes: number[] = [];
  const cpu: number[] = [];
  for (const [index, id] of [...ids, ...ids].entries()) {
    let length = 0;
    const ms = await millis(async () => {
      if (!mayHoldTrace(written.filter, id)) throw new Error("a trace is lost");
      const range = tracePages(written.traceIndex, id);
      if (range === undefined) throw new Error("a trace has no pages");
      ({ length } = range);
      const pages = each([file.subarray(range.offset, range.offset + length)]);
      let found = 0;
      for await (const part of readTracePages(pages, written.resources, id)) found += part.length;
      if (found === 0) throw new Error("a trace is empty");
    });
    if (index < ids.length) continue;
    bytes.push(length);
    cpu.push(ms);
  }
  const kept = written.filter.length + written.traceIndex.length + written.resources.length;
  line(
    `block of ${count} spans`,
    `${(file.length / count).toFixed(1)} B/span, ${written.meta.traceCount} traces`,
  );
  line(
    "  kept in the catalogue",
    `${(kept / 1000).toFixed(0)} KB, of it filter ${(written.filter.length / 1000).toFixed(0)}`,
  );
  line(
    "lookup: range reads, bytes",
    `1, median ${(quantile(bytes, 0.5) / 1000).toFixed(0)} KB, p99 ${(quantile(bytes, 0.99) / 1000).toFixed(0)} KB`,
  );
  line(
    "lookup: time",
    `median ${quantile(cpu, 0.5).toFixed(2)} ms, p99 ${quantile(cpu, 0.99).toFixed(2)} ms`,
  );
  const id = ids[0] ?? new Uint8Array(16);
  const rounds = 1_000_000;
  const ms = await millis(() => {
    for (let i = 0; i < rounds; i++) mayHoldTrace(written.filter, id);
  });
  line("filter, one question", `${((ms * 1e6) / rounds).toFixed(0)} ns`);
}

const wanted = process.argv.slice(2);
const benches = { write: benchWrite, memory: benchMemory, lookup: benchLookup };
for (const [name, run] of Object.entries(benches)) {
  if (wanted.length === 0 || wanted.includes(name)) await run();
}
