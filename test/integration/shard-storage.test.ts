// The contract of shard storage, against SQLite in real workerd; and what the migrations make of older objects.
import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test } from "vitest";
import { migrate } from "../../durable-objects/migrate.ts";
import { ShardSql } from "../../durable-objects/shard-sql.ts";
import { TRACE_SHARD_MIGRATIONS } from "../../migrations/index.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import { describeShardStorage } from "../contract/shard-storage.ts";

const { TRACE_SHARD } = env as unknown as { readonly TRACE_SHARD: DurableObjectNamespace };
const object = () => TRACE_SHARD.getByName("single-tenant/0");

afterEach(reset);

describeShardStorage("SQLite", (use) =>
  runInDurableObject(object(), async (_, state) => {
    const open = () => new ShardSql(state.storage, DEFAULT_LIMITS.maxRowBytes);
    await use(open(), open);
  }),
);

describe("segment tables of before there was usage", () => {
  test("are read as they are; the first row that is written adds the column", async () => {
    await runInDurableObject(object(), async (_, state) => {
      state.storage.sql.exec(
        "CREATE TABLE seg_7 (id INTEGER PRIMARY KEY, head BLOB NOT NULL, body BLOB NOT NULL)",
      );
      state.storage.sql.exec("INSERT INTO seg_7 VALUES (1, ?, ?)", Uint8Array.of(1), Uint8Array.of(2));
      const storage = new ShardSql(state.storage, DEFAULT_LIMITS.maxRowBytes);
      expect(storage.epochs()).toEqual([7]);
      expect([...storage.heads(7)]).toEqual([{ row: 1, head: Uint8Array.of(1) }]);
      const row = { head: Uint8Array.of(3), body: Uint8Array.of(4), usage: Uint8Array.of(5) };
      storage.appendRows(7, 2, [row], false);
      storage.appendRows(7, 3, [row], false);
      for (const open of [storage, new ShardSql(state.storage, DEFAULT_LIMITS.maxRowBytes)]) {
        open.epochs();
        expect([...open.heads(7)]).toEqual([
          { row: 1, head: Uint8Array.of(1) },
          { row: 2, head: row.head, usage: row.usage },
          { row: 3, head: row.head, usage: row.usage },
        ]);
        expect([...open.bodies(7, 1)]).toEqual([Uint8Array.of(2), row.body, row.body]);
      }
    });
  });
});

describe("migration to filter groups", () => {
  test("blocks of the first schema are young, with their filters, also those in parts", async () => {
    await runInDurableObject(object(), async (_, state) => {
      await state.storage.deleteAll();
      migrate(state.storage, TRACE_SHARD_MIGRATIONS.slice(0, 1));
      const bytes = (length: number, seed: number) =>
        Uint8Array.from({ length }, (_unused, i) => (i * 13 + seed) & 0xff);
      const [filter, traceIndex, resources] = [bytes(1_500_000, 1), bytes(700_000, 2), bytes(1000, 3)];
      const joined = concatBytes([filter, traceIndex, resources]);
      const room = DEFAULT_LIMITS.maxRowBytes - 4096;
      for (const id of [1000, 2000]) {
        state.storage.sql.exec(
          "INSERT INTO block VALUES (?, 'key', 'etag', 1, 2, 3, 4, 5, 6, ?, ?, ?)",
          id,
          filter.length,
          traceIndex.length,
          joined.slice(0, room),
        );
        state.storage.sql.exec("INSERT INTO block_tail VALUES (?, 1, ?)", id, joined.slice(room));
      }
      for (let times = 0; times < 2; times++) migrate(state.storage, TRACE_SHARD_MIGRATIONS);
      const storage = new ShardSql(state.storage, DEFAULT_LIMITS.maxRowBytes);
      expect(storage.youngBlocks().map(({ id, arrivedMs, version }) => ({ id, arrivedMs, version }))).toEqual(
        [
          { id: 1000, arrivedMs: 1000, version: 1 },
          { id: 2000, arrivedMs: 2000, version: 1 },
        ],
      );
      expect(storage.block(2000)).toMatchObject({
        key: "key",
        etag: "etag",
        minStartSeconds: 5,
        maxEndSeconds: 6,
      });
      expect(storage.filter(2000)).toEqual(filter);
      expect(storage.lookupTail(2000)).toEqual({ traceIndex, resources });
      expect(storage.lastId()).toBe(2000);
    });
  });
});
