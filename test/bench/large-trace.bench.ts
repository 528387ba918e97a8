// Peak memory and time of a trace of 200,000 spans, from live spans and from blocks, in both encodings.
//
//     node test/bench/large-trace.bench.ts
//
// The sources lie in files, so that they are in no process's memory. Each case runs in a process of its own, which rests,
// answers and reads the answer to its end, three times. "over idle" is the highest resident memory while answering less
// the memory at rest just before. Node's allocator and heap limits are not the Worker's: test/e2e/large-trace.test.ts
// holds the promise in workerd, this shows where time and memory go.
import { execFileSync } from "node:child_process";
import { mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeBlock } from "../../src/block/block-writer.ts";
import { tracePages } from "../../src/block/lookup.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { findTrace } from "../../src/query/find-trace.ts";
import type { RangeReader } from "../../src/query/sources.ts";
import { traceBody } from "../../src/query/trace-body.ts";
import type { ByteRange } from "../../src/store/object-store.ts";
import type { BlockRef, FindTraceReply } from "../../src/store/rpc.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import { makeGenerator } from "../support/generator.ts";
import { peakBytes, residentBytes, resetPeak } from "../support/process-stats.ts";

const SPANS = 200_000;
const BATCH_SPANS = 2000;
const BLOCKS = 4;
const STORE_CHUNK_BYTES = 64 * 1024;
const MIB = 1024 * 1024;

const CASES = [
  ["live", "json", "2"],
  ["live", "protobuf", "1"],
  ["live", "protobuf", "2"],
  ["blocks", "json", "2"],
  ["blocks", "protobuf", "1"],
  ["blocks", "protobuf", "2"],
] as const;

interface StoredBlock {
  readonly range: ByteRange;
  readonly resources: string;
}

interface Manifest {
  readonly traceId: string;
  readonly batches: readonly number[];
  readonly blocks: readonly StoredBlock[];
}

/** Writes the trace's batches, and blocks made of them, into `folder`. */
async function makeSources(folder: string): Promise<void> {
  const { traceId, batches } = makeGenerator({ seed: 7 }).trace(SPANS, BATCH_SPANS);
  writeFileSync(join(folder, "live"), concatBytes(batches));
  const blocks: StoredBlock[] = [];
  for (let i = 0; i < BLOCKS; i++) {
    const share = batches.slice((i * batches.length) / BLOCKS, ((i + 1) * batches.length) / BLOCKS);
    const parts: Uint8Array[] = [];
    const block = await writeBlock(
      (async function* source() {
        yield* share;
      })(),
      (bytes) => void parts.push(bytes.slice()),
      { zstdLevel: 3, arrivedMs: 1 },
    );
    writeFileSync(join(folder, `block-${i}`), concatBytes(parts));
    const range = tracePages(block.traceIndex, traceId);
    if (range === undefined) throw new Error("the block does not know its trace");
    blocks.push({ range, resources: Buffer.from(block.resources).toString("base64") });
  }
  const manifest: Manifest = {
    traceId: Buffer.from(traceId).toString("base64"),
    batches: batches.map(({ length }) => length),
    blocks,
  };
  writeFileSync(join(folder, "manifest"), JSON.stringify(manifest));
}

/** Consecutive parts of a file, read when they are asked for. */
function streamOf(path: string, start: number, lengths: readonly number[]): ReadableStream<Uint8Array> {
  const file = openSync(path, "r");
  let next = 0;
  let at = start;
  return new ReadableStream(
    {
      type: "bytes",
      pull(controller): void {
        const length = lengths[next++];
        if (length === undefined) {
          controller.close();
          controller.byobRequest?.respond(0);
          return;
        }
        const chunk = new Uint8Array(length);
        readSync(file, chunk, 0, length, at);
        at += length;
        controller.enqueue(chunk);
      },
    },
    { highWaterMark: 0 },
  );
}

function sourcesOf(
  folder: string,
  source: string,
  manifest: Manifest,
): { reply: FindTraceReply; objects: RangeReader } {
  const objects: RangeReader = {
    async getRange(key, { offset, length }) {
      const lengths = Array.from({ length: Math.ceil(length / STORE_CHUNK_BYTES) }, (_, i) =>
        Math.min(STORE_CHUNK_BYTES, length - i * STORE_CHUNK_BYTES),
      );
      return streamOf(join(folder, key), offset, lengths);
    },
  };
  if (source === "live") {
    return { reply: { live: streamOf(join(folder, "live"), 0, manifest.batches), blocks: [] }, objects };
  }
  const blocks = manifest.blocks.map(({ range, resources }, i): BlockRef => ({
    key: `block-${i}`,
    etag: "",
    range,
    resources: new Uint8Array(Buffer.from(resources, "base64")),
    minStartSeconds: 0,
    maxEndSeconds: 4_000_000_000,
  }));
  return { reply: { live: new Uint8Array(0), blocks }, objects };
}

async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

interface Run {
  readonly rawBytes: number;
  readonly outBytes: number;
  readonly firstPassMs: number;
  readonly totalMs: number;
}

async function answer(folder: string, [source, encoding, version]: readonly string[]): Promise<Run> {
  const manifest = JSON.parse(readFileSync(join(folder, "manifest"), "utf8")) as Manifest;
  const { reply, objects } = sourcesOf(folder, source ?? "", manifest);
  const start = performance.now();
  const found = await findTrace(
    {
      limits: DEFAULT_LIMITS,
      objects,
      shards: [{ name: "t/0", shard: { findTrace: async () => reply, noteFailedReads: async () => {} } }],
    },
    {
      traceId: new Uint8Array(Buffer.from(manifest.traceId, "base64")),
      mode: "all",
      startSeconds: 0,
      endSeconds: 0,
    },
  );
  const firstPassMs = performance.now() - start;
  const body = traceBody(found, {
    version: version === "1" ? 1 : 2,
    encoding: encoding === "json" ? "json" : "protobuf",
    maxValueDepth: DEFAULT_LIMITS.maxValueDepth,
  });
  if (body instanceof Uint8Array) throw new Error("a large trace is streamed");
  let outBytes = 0;
  for await (const chunk of body) outBytes += chunk.length;
  if (found.trace.spanCount !== SPANS) throw new Error(`${found.trace.spanCount} spans`);
  if (found.failures.length > 0) throw new Error(JSON.stringify(found.failures));
  return {
    rawBytes: found.trace.byteLength,
    outBytes,
    firstPassMs,
    totalMs: performance.now() - start,
  };
}

async function measure(folder: string, one: readonly string[]): Promise<void> {
  const mib = (bytes: number): string => `${(bytes / MIB).toFixed(1)} MiB`;
  for (const which of ["first", "second", "third"]) {
    await settle();
    const idle = residentBytes(process.pid);
    resetPeak(process.pid);
    const { rawBytes, outBytes, firstPassMs, totalMs } = await answer(folder, one);
    const growth = peakBytes(process.pid) - idle;
    console.log(
      `${one.join(" ").padEnd(18)} ${which.padEnd(6)}  ${mib(rawBytes)} -> ${mib(outBytes)}` +
        `  idle ${mib(idle)}  over idle ${mib(growth)}` +
        `  pass 1 ${firstPassMs.toFixed(0)} ms  total ${totalMs.toFixed(0)} ms`,
    );
  }
}

const [folder, ...one] = process.argv.slice(2);
if (folder === undefined) {
  const made = mkdtempSync(join(tmpdir(), "large-trace-"));
  try {
    await makeSources(made);
    for (const each of CASES) {
      const args = ["--expose-gc", import.meta.filename, made, ...each];
      process.stdout.write(execFileSync(process.execPath, args, { encoding: "utf8" }));
    }
  } finally {
    rmSync(made, { recursive: true });
  }
} else await measure(folder, one);
