import { describe, expect, test } from "vitest";
import { LruCache } from "../../../src/util/lru-cache.ts";

describe("least recently used cache", () => {
  test("keeps what was used last, within its bytes", () => {
    const cache = new LruCache<Uint8Array>(100, ({ length }) => length);
    for (const key of ["a", "b", "c", "d"]) cache.set(key, new Uint8Array(25));
    expect(cache.get("a")).toHaveLength(25);
    cache.set("e", new Uint8Array(25));
    expect(cache.get("b")).toBeUndefined();
    expect(cache.get("a")).toHaveLength(25);
    expect(cache.byteLength).toBe(100);
  });

  test("a look whether something is there is no use of it", () => {
    const cache = new LruCache<Uint8Array>(100, ({ length }) => length);
    for (const key of ["a", "b", "c", "d"]) cache.set(key, new Uint8Array(25));
    expect([cache.has("a"), cache.has("e")]).toEqual([true, false]);
    cache.set("e", new Uint8Array(25));
    expect(cache.has("a")).toBe(false);
  });

  test("makes room for what is to come", () => {
    const cache = new LruCache<Uint8Array>(100, ({ length }) => length);
    for (const key of ["a", "b", "c"]) cache.set(key, new Uint8Array(25));
    cache.makeRoom(25);
    expect(cache.byteLength).toBe(75);
    cache.makeRoom(26);
    expect([cache.get("a"), cache.byteLength]).toEqual([undefined, 50]);
    cache.makeRoom(1000);
    expect(cache.byteLength).toBe(0);
  });

  test("what is too large is not kept, nor what it was to replace", () => {
    const cache = new LruCache<Uint8Array>(100, ({ length }) => length);
    cache.set("f", new Uint8Array(25));
    cache.set("f", new Uint8Array(26));
    expect(cache.get("f")).toBeUndefined();
    const other = new LruCache<Uint8Array>(100, ({ length }) => length, 100);
    other.set("f", new Uint8Array(100));
    expect(other.get("f")).toHaveLength(100);
    other.set("g", new Uint8Array(1));
    expect(other.get("f")).toBeUndefined();
    expect(other.byteLength).toBe(1);
  });
});
