// In workerd a large body goes through the runtime's native pipe: it must be whole, in step with the reader, and fail
// when making it fails.
import { expect, test } from "vitest";
import { streamChunks } from "../../src/http/stream-chunks.ts";
import type { Chunks } from "../../src/query/trace-body.ts";

interface Made {
  count: number;
  ended: boolean;
}

function* chunks(total: number, made: Made, failAt = Infinity): Chunks {
  try {
    for (let i = 0; i < total; i++) {
      if (i === failAt) throw new Error("made to fail");
      made.count++;
      // Shorter than its buffer, as the protobuf writer's chunks are.
      yield new Uint8Array(70_000).fill(i).subarray(0, 65_000 + i);
    }
  } finally {
    made.ended = true;
  }
}

const pause = async (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

test("stream-chunks: every byte arrives, once and in order", async () => {
  const made = { count: 0, ended: false };
  const bytes = new Uint8Array(await new Response(streamChunks(chunks(100, made))).arrayBuffer());
  let at = 0;
  const wrong: number[] = [];
  for (let i = 0; i < 100; i++) {
    for (let j = 0; j < 65_000 + i; j++) if (bytes[at++] !== i) wrong.push(at);
  }
  expect(wrong).toEqual([]);
  expect(bytes.length).toBe(at);
  expect(made).toEqual({ count: 100, ended: true });
});

test("stream-chunks: also through gzip", async () => {
  const made = { count: 0, ended: false };
  const packed = streamChunks(chunks(50, made)).pipeThrough(new CompressionStream("gzip"));
  const bytes = await new Response(packed.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  expect(bytes.byteLength).toBe(50 * 65_000 + (49 * 50) / 2);
});

test("stream-chunks: made no faster than read, and no further once the reader has gone", async () => {
  const made = { count: 0, ended: false };
  const reader = streamChunks(chunks(1000, made)).getReader();
  await reader.read();
  await pause();
  expect(made.count).toBeLessThan(4);
  await reader.cancel("enough");
  await pause();
  expect(made.count).toBeLessThan(5);
  expect(made.ended).toBe(true);
});

test("stream-chunks: a failure halfway reaches the reader", async () => {
  const made = { count: 0, ended: false };
  const response = new Response(streamChunks(chunks(10, made, 5)));
  await expect(response.arrayBuffer()).rejects.toThrow("made to fail");
  expect(made).toEqual({ count: 5, ended: true });
});
