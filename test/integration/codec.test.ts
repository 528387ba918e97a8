// The runtime's own decoders: they refuse in steps of 40 KiB, where Node's count bytes.
import { deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { expect, test } from "vitest";
import { decompress } from "../../src/util/codec.ts";

// Where the runtime's output buffer is exactly full.
const steps = Array.from({ length: 10 }, (_, i) => 40_960 * 2 ** i).flatMap((size) => [
  size - 1,
  size,
  size + 1,
]);

test.each([
  ["gzip", gzipSync],
  ["deflate", deflateSync],
  ["zstd", zstdCompressSync],
] as const)(
  "%s in workerd: at the limit accepted, one byte past it refused, at any size",
  (codec, compress) => {
    const sizes = Array.from({ length: 120 }, (_, i) => 1 + i * 3331);
    for (const size of [...sizes, ...steps, 5_000_000, 33_554_432]) {
      const bytes = compress(new Uint8Array(size).fill(7));
      expect(decompress(codec, bytes, size).length).toBe(size);
      expect(() => decompress(codec, bytes, size - 1)).toThrow(
        expect.objectContaining({ kind: "too_large" }),
      );
    }
  },
);

test("zstd in workerd: cut short anywhere is malformed, at a full buffer too", () => {
  for (const size of [40_960, 81_920, 327_680]) {
    const whole = zstdCompressSync(Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 7)) & 255));
    expect(decompress("zstd", whole, size).length).toBe(size);
    for (let cut = 1; cut < whole.length; cut += Math.max(1, whole.length >> 6)) {
      expect(() => decompress("zstd", whole.subarray(0, whole.length - cut), size)).toThrow(
        expect.objectContaining({ kind: "invalid_argument" }),
      );
    }
  }
});

test("gzip in workerd: a checksum that does not match is malformed", () => {
  const bytes = Uint8Array.from(gzipSync(new Uint8Array(100_000)));
  bytes[bytes.length - 6]! ^= 1;
  expect(() => decompress("gzip", bytes, 100_000)).toThrow(
    expect.objectContaining({ kind: "invalid_argument" }),
  );
});
