// Shard maps of different age: whatever a writer and a reader know, the reader asks the shard that the writer wrote to.
import { beforeEach, describe, expect, test, vi } from "vitest";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import { parseShardName } from "../../../src/store/keys.ts";
import type { ShardMapVersion, TenantView } from "../../../src/store/tenant-rpc.ts";
import {
  changeDelayMs,
  FIRST_VERSIONS,
  readShards,
  relevantVersions,
  writeCount,
} from "../../../src/tenant/shard-map.ts";
import { ShardMapCache } from "../../../src/tenant/shard-map-cache.ts";
import { TenantShards } from "../../../src/tenant/tenant-shards.ts";
import { isAppError } from "../../../src/util/errors.ts";
import { shardOfHash } from "../../../src/util/hash.ts";

const TTL = DEFAULT_LIMITS.shardMapTtlMs;
const DAY = 86_400_000;
const RETENTION = DEFAULT_LIMITS.blockRetentionMs;
/** When the change is made. */
const T = 1_795_392_000_000;
const HASHES = [0, 1, 2, 3, 0xfffffffe];

function viewOf(versions: readonly ShardMapVersion[]): TenantView {
  return { state: "active", versions, shardCount: 64 };
}

// What a cache logs when the tenant is not reachable.
beforeEach(() => void vi.spyOn(console, "warn").mockReturnValue());

describe("shard map", () => {
  test("a writer uses the newest version that has begun; before all of them, the first", () => {
    const versions = [
      { fromMs: 1_000, count: 1 },
      { fromMs: 2_000, count: 2 },
      { fromMs: 3_000, count: 8 },
    ];
    const at = (nowMs: number) => writeCount(versions, nowMs);
    expect([at(0), at(1_000), at(1_999), at(2_000), at(2_999), at(3_000)]).toEqual([1, 1, 1, 2, 2, 8]);
  });

  test("a trace is in one shard a count: at most seven, those of the newest version first", () => {
    const versions = [1, 2, 4, 8, 16, 32, 64].map((count, i) => ({ fromMs: i, count }));
    expect(readShards(versions, 0xffffffff)).toEqual([63, 31, 15, 7, 3, 1, 0]);
    expect(readShards(versions, 0)).toEqual([0]);
    // Down again: still the same seven shards.
    expect(readShards([...versions, ...versions.toReversed()], 0xffffffff)).toHaveLength(7);
  });

  test("a version is asked for until its last span has expired, with a day for its age and a day for its writer", () => {
    const versions = [
      { fromMs: 0, count: 1 },
      { fromMs: T, count: 2 },
    ];
    const end = T + RETENTION + 2 * DAY;
    expect(relevantVersions(versions, end - 1, RETENTION)).toEqual(versions);
    expect(relevantVersions(versions, end, RETENTION)).toEqual(versions.slice(1));
    expect(relevantVersions(versions, end * 10, RETENTION)).toEqual(versions.slice(1));
    expect(relevantVersions(versions, 0, RETENTION)).toEqual(versions);
  });
});

/** A Worker isolate with its own cache and clock. */
class Isolate {
  readonly directory: TenantShards;
  reachable = true;

  constructor(world: World, skewMs: number) {
    const clock = { now: () => world.nowMs + skewMs };
    const maps = new ShardMapCache(DEFAULT_LIMITS, {
      fetch: async () => {
        if (!this.reachable) throw new Error("no route to the tenant");
        return viewOf(world.versions);
      },
      clock,
      keepAlive: () => undefined,
    });
    this.directory = new TenantShards(DEFAULT_LIMITS, {
      maps,
      clock,
      shardOf: (_, index) =>
        ({ name: String(index) }) as unknown as ReturnType<
          ConstructorParameters<typeof TenantShards>[1]["shardOf"]
        >,
    });
  }

  /** The shards of HASHES that a batch goes to; undefined when it is refused. */
  async write(): Promise<number[] | undefined> {
    try {
      const { count } = await this.directory.forWriting("t");
      return HASHES.map((hash) => shardOfHash(hash, count));
    } catch (error) {
      if (isAppError(error) && error.kind === "unavailable") return undefined;
      throw error;
    }
  }

  /** Per hash of HASHES the shards that are asked; undefined when the lookup is refused. */
  async read(): Promise<number[][] | undefined> {
    try {
      const found: number[][] = [];
      for (const hash of HASHES) {
        found.push(
          (await this.directory.forReading("t", hash)).map(({ name }) => parseShardName(name).shard),
        );
      }
      return found;
    } catch (error) {
      if (isAppError(error) && error.kind === "unavailable") return undefined;
      throw error;
    }
  }
}

/** A tenant that changes from one count to another at T. */
class World {
  nowMs = T;
  readonly #before: readonly ShardMapVersion[];
  readonly #after: readonly ShardMapVersion[];

  constructor(from: number, to: number) {
    this.#before = [{ fromMs: 0, count: from }];
    this.#after = [...this.#before, { fromMs: T + changeDelayMs(DEFAULT_LIMITS), count: to }];
  }

  get versions(): readonly ShardMapVersion[] {
    return this.nowMs < T ? this.#before : this.#after;
  }
}

interface Ordering {
  /** When each asked for its map first, and then acts, relative to T in TTLs. */
  readonly writerAsked: number;
  readonly writes: number;
  readonly readerAsked: number;
  readonly reads: number;
  /** Whether it reaches the tenant after it asked first. */
  readonly writerReachable: boolean;
  readonly readerReachable: boolean;
}

/** All orderings on a grid of half TTLs around the change in which the write is over when the reader looks. */
function* orderings(): Generator<Ordering> {
  const asked = [-1.5, -0.5, -0.001, 0, 0.5, 1, 1.5, 2.5, 2.999, 3, 3.5];
  const waits = [0, 0.5, 0.999, 1, 1.5, 1.999, 2, 3, 4.5];
  const roles = asked.flatMap((at) =>
    waits.flatMap((wait) => [true, false].map((isReachable) => ({ at, acts: at + wait, isReachable }))),
  );
  for (const writer of roles)
    for (const reader of roles)
      if (reader.acts >= writer.acts)
        yield {
          writerAsked: writer.at,
          writes: writer.acts,
          readerAsked: reader.at,
          reads: reader.acts,
          writerReachable: writer.isReachable,
          readerReachable: reader.isReachable,
        };
}

type Outcome = "found" | "write refused" | "read refused";

async function play(ordering: Ordering, skewMs: number, counts: readonly [number, number]): Promise<Outcome> {
  const world = new World(...counts);
  const writer = new Isolate(world, skewMs);
  const reader = new Isolate(world, -skewMs);
  let written: number[] | undefined;
  let asked: number[][] | undefined;
  // Asking comes before acting at the same time, and the write before the read.
  const steps: readonly [at: number, step: () => Promise<unknown>][] = [
    [
      ordering.writerAsked,
      async () => {
        await writer.write();
        writer.reachable = ordering.writerReachable;
      },
    ],
    [
      ordering.readerAsked,
      async () => {
        await reader.read();
        reader.reachable = ordering.readerReachable;
      },
    ],
    [ordering.writes, async () => (written = await writer.write())],
    [ordering.reads, async () => (asked = await reader.read())],
  ];
  for (const [at, step] of steps.toSorted(([a], [b]) => a - b)) {
    world.nowMs = T + at * TTL;
    await step();
  }
  if (written === undefined) return "write refused";
  if (asked === undefined) return "read refused";
  for (const [i, shard] of written.entries()) {
    if (asked[i]?.includes(shard) !== true) {
      throw new Error(`${JSON.stringify(ordering)}: written to ${shard}, asked ${String(asked[i])}`);
    }
  }
  return "found";
}

describe("every ordering of stale and fresh writers and readers", () => {
  test.each([
    ["1 to 2", 0, [1, 2]],
    ["2 to 4", 0, [2, 4]],
    ["4 to 1", 0, [4, 1]],
    ["1 to 64, the writer's clock 28 s ahead of the reader's", 14_000, [1, 64]],
    ["1 to 64, the writer's clock 28 s behind the reader's", -14_000, [1, 64]],
  ] as const)("%s: what was accepted is looked for where it is", async (_, skewMs, counts) => {
    const seen: Record<Outcome, number> = { found: 0, "write refused": 0, "read refused": 0 };
    const withoutReason: Ordering[] = [];
    for (const ordering of orderings()) {
      const outcome = await play(ordering, skewMs, counts);
      seen[outcome]++;
      // A reader is refused that has an old map and does not reach the tenant. Writers never are.
      const hasReason = !ordering.readerReachable && ordering.reads - ordering.readerAsked >= 2;
      if (outcome === "read refused" && !hasReason) withoutReason.push(ordering);
    }
    expect(withoutReason).toEqual([]);
    expect(seen["write refused"]).toBe(0);
    expect(seen["read refused"]).toBeGreaterThan(100);
    expect(seen.found).toBeGreaterThan(5_000);
  });

  test("the delay is what makes it so: with none, a reader misses spans", async () => {
    const world = new World(1, 2);
    const reader = new Isolate(world, 0);
    world.nowMs = T - 1;
    await reader.read();
    world.nowMs = T + TTL - 2;
    // What a writer would do if the version took effect when it was made.
    const written = shardOfHash(1, 2);
    expect((await reader.read())?.[1]).not.toContain(written);
  });

  test("a tenant that is being deleted is neither written to nor read", async () => {
    const maps = new ShardMapCache(DEFAULT_LIMITS, {
      fetch: async () => ({ state: "deleting", versions: FIRST_VERSIONS, shardCount: 1 }),
      clock: { now: () => T },
      keepAlive: () => undefined,
    });
    const directory = new TenantShards(DEFAULT_LIMITS, {
      maps,
      clock: { now: () => T },
      shardOf: () => {
        throw new Error("no shard is asked");
      },
    });
    const refusal = { kind: "not_found", message: 'tenant "t" is being deleted' };
    await expect(directory.forWriting("t")).rejects.toMatchObject(refusal);
    await expect(directory.forReading("t", 0)).rejects.toMatchObject(refusal);
    await expect(directory.forScanning("t")).rejects.toMatchObject(refusal);
  });

  test("a retention of the tenant's own decides how long old shards are asked", async () => {
    const end = T + changeDelayMs(DEFAULT_LIMITS);
    const versions = [
      { fromMs: 0, count: 1 },
      { fromMs: end, count: 2 },
    ];
    const asked = async (retentionMs: number | undefined, nowMs: number): Promise<number[]> => {
      const maps = new ShardMapCache(DEFAULT_LIMITS, {
        fetch: async () => ({ ...viewOf(versions), retentionMs }),
        clock: { now: () => nowMs },
        keepAlive: () => undefined,
      });
      const shardOf = () => ({}) as ReturnType<ConstructorParameters<typeof TenantShards>[1]["shardOf"]>;
      const directory = new TenantShards(DEFAULT_LIMITS, { maps, clock: { now: () => nowMs }, shardOf });
      const shards = (await directory.forReading("t", 1)).map(({ name }) => parseShardName(name).shard);
      const all = (await directory.forScanning("t")).map(({ name }) => parseShardName(name).shard);
      expect(all).toEqual([0, 1]);
      return shards;
    };
    expect(await asked(3_600_000, end + 2 * DAY + 3_600_000 - 1)).toEqual([1, 0]);
    expect(await asked(3_600_000, end + 2 * DAY + 3_600_000)).toEqual([1]);
    expect(await asked(undefined, end + 2 * DAY + RETENTION - 1)).toEqual([1, 0]);
    expect(await asked(undefined, end + 2 * DAY + RETENTION)).toEqual([1]);
  });
});
