// Frames through a stream that is cut anywhere.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { frameBytes, readFrames, type StoredFrame } from "../../../src/segment/frame-stream.ts";
import { concatBytes } from "../../../src/util/bytes.ts";

const MAX = 4 * 1024 * 1024;

function frame(body: Uint8Array, row: number): StoredFrame {
  return { ref: { codec: "gzip", row, rawLength: 1000, bodyLength: body.length, bodyCrc: 0xffffffff }, body };
}

async function* cut(bytes: Uint8Array, lengths: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const length = lengths[i % lengths.length] ?? 1;
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

async function* toAsync(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

async function read(chunks: AsyncIterable<Uint8Array>): Promise<StoredFrame[]> {
  const frames: StoredFrame[] = [];
  for await (const each of readFrames(chunks, MAX)) frames.push(each);
  return frames;
}

describe("frame stream", () => {
  test("what was written is read, however the stream is cut", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 100 }), { minLength: 1, maxLength: 5 }),
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 5 }),
        async (bodies, lengths) => {
          const frames = bodies.map((body, row) => frame(body, row + 1));
          const bytes = concatBytes(frames.flatMap((each) => [...frameBytes(each)]));
          expect(await read(cut(bytes, lengths))).toEqual(frames);
          await expect(read(cut(bytes.subarray(0, -1), lengths))).rejects.toMatchObject({
            kind: "corrupt",
          });
        },
      ),
    );
  });

  test("a large body comes in pieces of a megabyte", async () => {
    const body = new Uint8Array(3 * 1024 * 1024 + 5).fill(7);
    const pieces = [...frameBytes(frame(body, 1))];
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThanOrEqual(1024 * 1024 + 20);
    expect(pieces.every((piece) => piece.buffer.byteLength === piece.length)).toBe(true);
    expect((await read(cut(concatBytes(pieces), [65_536])))[0]?.body).toEqual(body);
  });

  test("a body keeps no more than a few bytes beside it in memory, cut as it was or not at all", async () => {
    const frames = [1000, 10, 100_000].map((length, row) => frame(new Uint8Array(length).fill(row), row + 1));
    const pieces = frames.flatMap((each) => frameBytes(each).toArray());
    for (const chunks of [pieces, [concatBytes(pieces)]]) {
      const bodies = (
        await read(
          cut(
            concatBytes(chunks),
            chunks.map(({ length }) => length),
          ),
        )
      ).concat(await read(toAsync(chunks)));
      for (const { body } of bodies) expect(body.buffer.byteLength - body.length).toBeLessThanOrEqual(64);
      expect(bodies.map(({ body }) => body.length)).toEqual([1000, 10, 100_000, 1000, 10, 100_000]);
    }
  });

  test("a body that claims more than may be is refused before it is allocated", async () => {
    const head = new Uint8Array(Uint32Array.of(1, 1, 100, MAX + 1, 0).buffer);
    await expect(read(cut(head, [20]))).rejects.toMatchObject({ kind: "corrupt" });
    const inflated = new Uint8Array(Uint32Array.of(1, 1, MAX + 1, 100, 0).buffer);
    await expect(read(cut(inflated, [20]))).rejects.toMatchObject({ kind: "corrupt" });
    const codec = new Uint8Array(Uint32Array.of(9, 1, 1, 1, 0).buffer);
    await expect(read(cut(codec, [20]))).rejects.toMatchObject({ kind: "corrupt" });
  });
});
