// The runtime's own zstd encoder: see compressZstd.
import { expect, test } from "vitest";
import { compressZstd, decompress } from "../../src/util/codec.ts";
import { equalBytes } from "../../src/util/bytes.ts";

/** Bytes of which `share` in 256 are random, so that the compressed length is anything. */
function mixed(length: number, share: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = length + 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    bytes[i] = state >>> 24 < share ? (state >>> 16) & 255 : i % 23;
  }
  return bytes;
}

/** Whether `bytes` come back from zstd at level 1 as they were. */
function survives(bytes: Uint8Array): boolean {
  return equalBytes(decompress("zstd", compressZstd(bytes, 1), bytes.length), bytes);
}

test("zstd in workerd: compresses and inflates again whatever the length", () => {
  const lengths = [
    0, 1, 1000, 32_768, 39_999, 40_000, 40_001, 65_536, 100_000, 262_144, 1_048_576, 20_000_000,
  ];
  for (const length of lengths) {
    for (const share of [0, 20, 256])
      expect([length, share, survives(mixed(length, share))]).toEqual([length, share, true]);
  }
});

test("zstd in workerd: lengths at which the output just fills the encoder's steps of 40 KiB", () => {
  const lost: number[] = [];
  for (const step of [40_960, 81_920, 163_840]) {
    for (let length = step - 60; length <= step + 10; length++) {
      if (!survives(mixed(length, 256))) lost.push(length);
    }
  }
  expect(lost).toEqual([]);
});
