import { expect, test } from "vitest";
import { freeBytes } from "../../../src/util/bytes.ts";

test("freeBytes: frees an array that owns its buffer, and leaves a view's buffer alone", () => {
  const own = new Uint8Array(1000);
  freeBytes(own);
  expect(own.buffer.byteLength).toBe(0);
  const whole = new Uint8Array(1000).fill(7);
  freeBytes(whole.subarray(0, 999));
  expect(whole.length).toBe(1000);
  expect(whole[999]).toBe(7);
});
