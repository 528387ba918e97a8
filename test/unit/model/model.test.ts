import { describe, expect, test } from "vitest";
import { readConfig } from "../../../src/model/config.ts";
import { formatTraceId, parseTenantId, parseTraceId } from "../../../src/model/ids.ts";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import { blockKey, parseBlockKey, parseShardName, shardName } from "../../../src/store/keys.ts";

describe("trace ids", () => {
  test.each([
    ["2f7e42c49fb7b54526f062afab690d75", "2f7e42c49fb7b54526f062afab690d75"],
    ["2F7E42C49FB7B54526F062AFAB690D75", "2f7e42c49fb7b54526f062afab690d75"],
    ["1", "00000000000000000000000000000001"],
    ["abc", "00000000000000000000000000000abc"],
    ["26f062afab690d75", "000000000000000026f062afab690d75"],
  ])("%s is read as %s", (text, id) => {
    expect(formatTraceId(parseTraceId(text))).toBe(id);
  });

  test.each([
    ["12g4", "trace IDs can only contain hex characters: invalid character 'g' at position 3"],
    ["é", "trace IDs can only contain hex characters: invalid character 'é' at position 1"],
    ["a".repeat(33), "trace IDs can't be larger than 128 bits"],
  ])("%s is refused", (text, message) => {
    expect(() => parseTraceId(text)).toThrow(message);
  });
});

describe("tenant ids", () => {
  test.each(["a", "single-tenant", "A-z_0.9!*'()", "...", "x".repeat(150)])("%s is one", (text) => {
    expect(parseTenantId(text)).toBe(text);
  });

  test.each([
    ["", "no org id"],
    ["x".repeat(151), "tenant ID is too long: max 150 characters"],
    [".", "tenant ID is '.' or '..'"],
    ["..", "tenant ID is '.' or '..'"],
    ["a/b", "tenant ID 'a/b' contains unsupported character '/'"],
    ["a\\b", "tenant ID 'a\\b' contains unsupported character '\\'"],
    ["a b", "tenant ID 'a b' contains unsupported character ' '"],
    ["a|b", "tenant ID 'a|b' contains unsupported character '|'"],
    ["\u212a", "tenant ID '\u212a' contains unsupported character '\u212a'"],
    ["a\n", "tenant ID 'a\n' contains unsupported character '\n'"],
  ])("%j is refused", (text, message) => {
    expect(() => parseTenantId(text)).toThrow(message);
  });
});

describe("config", () => {
  test("defaults hold where nothing is set", () => {
    expect(readConfig({}).limits).toEqual(DEFAULT_LIMITS);
  });

  test("variables are read at their bounds and refused one past them, by name", () => {
    expect(readConfig({ FLUSH_AGE_SECONDS: "0.1" }).limits.flushAgeMs).toBe(100);
    expect(readConfig({ FLUSH_BYTES: String(32 * 1024 * 1024) }).limits.flushBytes).toBe(32 * 1024 * 1024);
    expect(() => readConfig({ FLUSH_BYTES: String(32 * 1024 * 1024 + 1) })).toThrow(/FLUSH_BYTES must be/);
    expect(() => readConfig({ FLUSH_AGE_SECONDS: "soon" })).toThrow(/FLUSH_AGE_SECONDS .* not "soon"/);
    expect(() => readConfig({ MAX_TRACE_BYTES: "1023" })).toThrow(/MAX_TRACE_BYTES/);
    const retention = (text: string) =>
      readConfig({ BLOCK_RETENTION: text }).limits.blockRetentionMs / 3_600_000;
    expect(["1h", "336h", "14d", "3660d"].map(retention)).toEqual([1, 336, 336, 87_840]);
    for (const text of ["0h", "3661d", "14", "14 days", "-1d", "1.5d", "2w"]) {
      expect(() => retention(text)).toThrow(
        `BLOCK_RETENTION must be from 1h to 3660d, like 336h or 14d, not "${text}"`,
      );
    }
  });
});

describe("keys", () => {
  test("a block's key is hive-partitioned and depends on nothing but tenant, shard and epoch", () => {
    expect(blockKey("single-tenant", 0, Date.UTC(2026, 10, 23, 23, 59, 59, 999))).toBe(
      "tenant=single-tenant/date=2026-11-23/shard=00/0001795478399999.parquet",
    );
  });

  test("a block's key is read back; a merged block has the date of its newest spans", () => {
    const key = blockKey("team-a", 12, Date.UTC(2026, 10, 25), Date.UTC(2026, 10, 23, 5));
    expect(key).toBe("tenant=team-a/date=2026-11-23/shard=12/0001795564800000.parquet");
    expect(parseBlockKey(key)).toEqual({ tenant: "team-a", shard: 12, id: Date.UTC(2026, 10, 25) });
    for (const wrong of [
      key.slice(1),
      `${key}.tmp`,
      key.replace("date=", "day="),
      key.replace("/000", "/00"),
    ]) {
      expect(parseBlockKey(wrong)).toBeUndefined();
    }
  });

  test("a shard's name is read back", () => {
    expect(parseShardName(shardName("team-a", 12))).toEqual({ tenant: "team-a", shard: 12 });
    expect(() => parseShardName("../etc/0")).toThrow("a shard's name");
    expect(() => parseShardName("x")).toThrow("a shard's name");
  });
});
