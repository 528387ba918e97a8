// Compaction against its targets: speed, size, memory. Run: node_modules/.bin/node test/bench/compaction.bench.ts
// The inputs lie in files and are read by ranges of 2 MiB, as the Compactor reads objects. Memory is measured in a process
// of its own, which does nothing else; ratios come from rounds in turn.
import { spawnSync } from "node:child_process";
import {
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { writeBlock } from "../../src/block/block-writer.ts";
import { mergeBlocks } from "../../src/block/merge.ts";
import type { RangeSource } from "../../src/block/reader.ts";
import { compressZstd } from "../../src/util/codec.ts";
import { makeGenerator } from "../support/generator.ts";
import { mergeByHyparquet } from "./hyparquet-merge.ts";

const MIB = 1024 * 1024;
const BATCH_SPANS = 512;
const ROW_GROUP_SPANS = 500_000;
const ZSTD_LEVEL = 6;

/** A file as a source that reads ahead, as src/compaction/object-source.ts does. */
function fileSource(path: string): RangeSource {
  const file = openSync(path, "r");
  const byteLength = fstatSync(file).size;
  let window: Uint8Array = new Uint8Array(0);
  let windowAt = 0;
  return {
    byteLength,
    read: async ({ offset, length }) => {
      const at = offset - windowAt;
      if (at >= 0 && at + length <= window.length) return window.subarray(at, at + length);
      window = new Uint8Array(Math.min(Math.max(length, 2 * MIB), byteLength - offset));
      windowAt = offset;
      readSync(file, window, 0, window.length, offset);
      return window.subarray(0, length);
    },
  };
}

interface Inputs {
  readonly paths: readonly string[];
  readonly spanCount: number;
  /** Of all batches compressed plainly: no index, no columns. */
  readonly plainBytes: number;
}

/** Blocks of consecutive traffic, so that neighbours share traces. */
async function makeInputs(folder: string, blocks: number, spans: number): Promise<Inputs> {
  const generator = makeGenerator({ seed: 3 });
  const paths: string[] = [];
  let plainBytes = 0;
  for (let block = 0; block < blocks; block++) {
    const batches: Uint8Array[] = [];
    for (let left = spans; left > 0; left -= BATCH_SPANS)
      batches.push(generator.batch(Math.min(left, BATCH_SPANS)));
    plainBytes += plainLength(batches);
    const path = join(folder, `${blocks}x${spans}-${block}.parquet`);
    const file = openSync(path, "w");
    await writeBlock(each(batches), (bytes) => void writeSync(file, bytes), {
      zstdLevel: 3,
      arrivedMs: block + 1,
    });
    closeSync(file);
    paths.push(path);
  }
  return { paths, spanCount: blocks * spans, plainBytes };
}

async function* each(batches: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* batches;
}

/** As they arrive, by zstd 3 in pieces of 1 MB. */
function plainLength(batches: readonly Uint8Array[]): number {
  const all = Buffer.concat(batches);
  let bytes = 0;
  for (let at = 0; at < all.length; at += 1e6) bytes += compressZstd(all.subarray(at, at + 1e6), 3).length;
  return bytes;
}

async function merge(paths: readonly string[], pause: () => Promise<void>): Promise<number> {
  const { meta } = await mergeBlocks(paths.map(fileSource), () => undefined, {
    zstdLevel: ZSTD_LEVEL,
    rowGroupSpans: ROW_GROUP_SPANS,
    arrivedMs: 1,
    replaces: [],
    pause,
  });
  return meta.byteLength;
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function median(samples: readonly number[]): number {
  return samples.toSorted((a, b) => a - b)[Math.floor(samples.length / 2)] ?? 0;
}

function line(name: string, text: string): void {
  console.log(`${name.padEnd(46)} ${text}`);
}

async function benchSpeed({ paths, spanCount, plainBytes }: Inputs): Promise<void> {
  const ours: number[] = [];
  const theirs: number[] = [];
  const zstd: number[] = [];
  const page = readFileSync(paths[0] ?? "").subarray(0, 512 * 1024);
  let byteLength = 0;
  for (let round = 0; round < 5; round++) {
    let start = cpuMs();
    byteLength = await merge(paths, async () => undefined);
    const our = cpuMs() - start;
    start = cpuMs();
    await mergeByHyparquet(paths.map((path) => new Uint8Array(readFileSync(path))));
    const their = cpuMs() - start;
    start = cpuMs();
    for (let i = 0; i < 20; i++) compressZstd(page, 3);
    const compress = cpuMs() - start;
    // The first round meets code that is not compiled yet.
    if (round === 0) continue;
    ours.push(our);
    theirs.push(their);
    zstd.push((20 * page.length) / 1000 / compress);
  }
  const our = median(ours);
  line("zstd-3 of 512 KB of a block here", `${median(zstd).toFixed(0)} MB/s`);
  line(
    `merge ${paths.length} blocks, ${spanCount} spans, CPU`,
    `${our.toFixed(0)} ms = ${(spanCount / our).toFixed(0)} k spans/s`,
  );
  line(
    "  read by hyparquet, written by hyparquet-writer",
    `${median(theirs).toFixed(0)} ms; median ratio ${median(ours.map((ms, i) => (theirs[i] ?? 0) / ms)).toFixed(2)}`,
  );
  line("size, zstd 6", `${(byteLength / spanCount).toFixed(1)} B/span`);
  line(
    "  plain OTLP, zstd 3 per MB",
    `${(plainBytes / spanCount).toFixed(1)} B/span; the block is ${(byteLength / plainBytes).toFixed(2)} x`,
  );
}

function used(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** In a process of its own: merges the files and prints the peak of live memory above idle. */
async function measureMemory(paths: readonly string[]): Promise<void> {
  const { gc } = globalThis;
  if (gc === undefined) throw new Error("run with --expose-gc");
  // Once over a part, so that code is not counted.
  await merge(paths.slice(0, 1), async () => undefined);
  gc();
  const idle = used();
  let live = 0;
  let all = 0;
  let pauses = 0;
  await merge(paths, async () => {
    all = Math.max(all, used() - idle);
    if (pauses++ % 25 !== 0) return;
    await setImmediate();
    gc();
    live = Math.max(live, used() - idle);
  });
  console.log(`${(live / MIB).toFixed(0)} MiB live, ${(all / MIB).toFixed(0)} MiB with garbage`);
}

function benchMemory(name: string, { paths }: Inputs): void {
  const { stdout, status } = spawnSync(
    process.execPath,
    ["--expose-gc", "--max-semi-space-size=4", fileURLToPath(import.meta.url), "memory", ...paths],
    { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] },
  );
  line(`memory above idle, ${name}`, status === 0 ? stdout.trim() : `failed: ${status}`);
}

const [mode, ...given] = process.argv.slice(2);
if (mode === "memory") await measureMemory(given);
else {
  const folder = mkdtempSync(join(tmpdir(), "rubato-compaction-"));
  try {
    const small = await makeInputs(folder, 8, 50_000);
    await benchSpeed(small);
    benchMemory("8 x 50,000 spans", small);
    benchMemory("10 x 500,000 spans", await makeInputs(folder, 10, 500_000));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
