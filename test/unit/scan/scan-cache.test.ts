import { expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import { NOTE_HEAP_BYTES, ScanCache } from "../../../src/scan/scan-cache.ts";

test("so many notes as fit with their heap, however short they are", () => {
  const fitting = 10;
  const cache = new ScanCache({ ...DEFAULT_LIMITS.scan, noteCacheBytes: fitting * (NOTE_HEAP_BYTES + 1) });
  const keptOf = (count: number): number => {
    for (let i = 0; i < count; i++) cache.notes.set(`note ${i}`, Uint8Array.of(i));
    return Array.from({ length: count }, (_, i) => i).filter((i) => cache.notes.has(`note ${i}`)).length;
  };
  expect(keptOf(fitting)).toBe(fitting);
  expect(keptOf(fitting + 1)).toBe(fitting);
  expect(cache.notes.has("note 0")).toBe(false);
});
