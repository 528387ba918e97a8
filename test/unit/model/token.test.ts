// Tokens: their form, what is kept of them, what may be asked for.
import { describe, expect, test } from "vitest";
import {
  checkTokenRequest,
  formatToken,
  hashText,
  isSameHash,
  makeToken,
  tenantOfToken,
  type TokenRequest,
} from "../../../src/model/token.ts";

const NOW = Date.UTC(2026, 10, 30);
const REQUEST: TokenRequest = { name: "collector", scopes: ["ingest"], tenants: [], origins: [] };

describe("form", () => {
  test("tenant and 160 bits of chance; only the hash is kept", async () => {
    const { text, record } = await makeToken("acme", REQUEST, NOW);
    expect(text).toMatch(/^rbt_acme_[0-9a-f]{40}$/);
    expect(tenantOfToken(text)).toBe("acme");
    expect(record).toEqual({
      ...REQUEST,
      hash: await hashText(text),
      id: record.hash.slice(0, 12),
      createdMs: NOW,
    });
    expect(JSON.stringify(record)).not.toContain(text.slice(-40));
    expect((await makeToken("acme", REQUEST, NOW)).text).not.toBe(text);
  });

  test("a hash is SHA-256: the standard's example", async () => {
    expect(await hashText("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });

  test("the longest tenant's token is one, a longer text is none", () => {
    const longest = formatToken("x".repeat(150), new Uint8Array(20));
    expect(tenantOfToken(longest)).toBe("x".repeat(150));
    expect(tenantOfToken(formatToken("x".repeat(151), new Uint8Array(20)))).toBeUndefined();
  });

  test.each([
    "",
    "rbt_",
    "rbt__".padEnd(45, "0"),
    `rbt_a_${"0".repeat(39)}`,
    `rbt_a_${"A".repeat(40)}`,
    `rbt_a/b_${"0".repeat(40)}`,
    `rbt_.._${"0".repeat(40)}`,
  ])("%j is no token", (text) => expect(tenantOfToken(text)).toBeUndefined());

  test("hashes are the same or not, wherever they differ", async () => {
    const hash = await hashText("abc");
    expect(isSameHash(hash, hash)).toBe(true);
    for (let i = 0; i < hash.length; i++) {
      const other = `${hash.slice(0, i)}${hash[i] === "0" ? "1" : "0"}${hash.slice(i + 1)}`;
      expect(isSameHash(hash, other)).toBe(false);
    }
    expect(isSameHash(hash, hash.slice(1))).toBe(false);
    expect(isSameHash(hash, "")).toBe(false);
  });
});

describe("what may be asked for", () => {
  test.each<[string, Partial<TokenRequest>]>([
    ["plain", {}],
    ["a name of 100 characters", { name: "n".repeat(100) }],
    ["100 tenants", { tenants: Array.from({ length: 100 }, (_, i) => `t${i}`) }],
    ["all tenants", { tenants: ["*"] }],
    ["a browser key", { origins: ["https://example.com", "http://localhost:3000"] }],
    ["an end in a millisecond", { expiresMs: NOW + 1 }],
  ])("%s", (_, more) => {
    expect(() => checkTokenRequest({ ...REQUEST, ...more }, NOW)).not.toThrow();
  });

  test.each<[string, Partial<TokenRequest>, RegExp]>([
    ["no name", { name: "" }, /1 to 100 characters/],
    ["a name of 101 characters", { name: "n".repeat(101) }, /1 to 100 characters/],
    ["no scope", { scopes: [] }, /needs a scope: ingest, read, admin, metrics/],
    ["101 tenants", { tenants: Array.from({ length: 101 }, (_, i) => `t${i}`) }, /at most 100 tenants/],
    ["101 origins", { origins: Array.from({ length: 101 }, (_, i) => `https://a${i}`) }, /100 origins/],
    ["a tenant that cannot be", { tenants: ["a/b"] }, /unsupported character/],
    ["an origin with a path", { origins: ["https://example.com/"] }, /an origin is like/],
    ["an origin of all", { origins: ["*"] }, /an origin is like/],
    ["a browser key that reads", { origins: ["https://a"], scopes: ["ingest", "read"] }, /browser key/],
    ["a browser key for others", { origins: ["https://a"], tenants: ["b"] }, /browser key/],
    ["an end that is now", { expiresMs: NOW }, /in the future/],
    ["an end that is no number", { expiresMs: Number.NaN }, /in the future/],
  ])("%s is refused", (_, more, message) => {
    expect(() => checkTokenRequest({ ...REQUEST, ...more }, NOW)).toThrow(message);
  });
});
