import { describe, expect, test } from "vitest";
import { readConfig } from "../../../src/model/config.ts";
import { formatTraceId, parseTraceId } from "../../../src/model/ids.ts";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import { blockKey, parseShardName, shardName } from "../../../src/store/keys.ts";

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
  });
});

describe("keys", () => {
  test("a block's key is hive-partitioned and depends on nothing but tenant, shard and epoch", () => {
    expect(blockKey("single-tenant", 0, Date.UTC(2026, 10, 23, 23, 59, 59, 999))).toBe(
      "tenant=single-tenant/date=2026-11-23/shard=00/0001795478399999.parquet",
    );
  });

  test("a shard's name is read back", () => {
    expect(parseShardName(shardName("team-a", 12))).toEqual({ tenant: "team-a", shard: 12 });
    expect(() => parseShardName("../etc/0")).toThrow("a shard's name");
    expect(() => parseShardName("x")).toThrow("a shard's name");
  });
});
