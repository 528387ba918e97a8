// The plan as a value.
import { describe, expect, test } from "vitest";
import { planScan, planWindow, type PlannedShard, type ScanJob } from "../../../src/query/plan.ts";
import type { CatalogueBlock } from "../../../src/store/catalogue.ts";
import type { LiveEpoch } from "../../../src/store/rpc.ts";

const LIMITS = { maxQueryBytes: Infinity, maxQueryTraces: Infinity };

function block(id: number, [from, to]: readonly [number, number], more: Partial<CatalogueBlock> = {}) {
  return {
    id,
    key: `block-${id}`,
    etag: "e",
    byteLength: 100,
    spanCount: 10,
    traceCount: 2,
    rawBytes: 1000,
    minStartSeconds: from,
    maxEndSeconds: to,
    version: 2,
    arrivedMs: id,
    ...more,
  };
}

function epoch(id: number, [from, to]: readonly [number, number], more: Partial<LiveEpoch> = {}): LiveEpoch {
  return {
    id,
    rowCount: 1,
    spanCount: 5,
    rawBytes: 500,
    minStartSeconds: from,
    maxEndSeconds: to,
    isCut: false,
    ...more,
  };
}

const shard = (
  index: number | string,
  blocks: readonly CatalogueBlock[],
  epochs: readonly LiveEpoch[] = [],
): PlannedShard => ({ name: String(index), snapshot: { blocks, epochs } });

const nameOf = (job: ScanJob): string =>
  job.kind === "live" ? `${job.shard}/live ${job.epoch.id}` : `${job.shard}/${job.block.key}`;

const WINDOW = { startSeconds: 100, endSeconds: 200 };

describe("plan", () => {
  test("what overlaps the window, both ends included: live spans, then blocks, newest first", () => {
    const plan = planScan(
      [
        shard(0, [block(1, [0, 99]), block(2, [0, 100]), block(3, [200, 300])], [epoch(7, [150, 160])]),
        shard(1, [block(4, [150, 160]), block(5, [201, 300])], [epoch(8, [190, 210]), epoch(9, [0, 50])]),
      ],
      WINDOW,
      LIMITS,
    );
    expect(plan.jobs.map(nameOf)).toEqual(["1/live 8", "0/live 7", "0/block-3", "1/block-4", "0/block-2"]);
    expect(plan.skipped).toEqual([]);
  });

  test("empty blocks and epochs are no jobs", () => {
    const empty = { spanCount: 0 };
    const shards = [shard(0, [block(1, [150, 160], empty)], [epoch(2, [150, 160], empty)])];
    expect(planScan(shards, WINDOW, LIMITS).jobs).toEqual([]);
  });

  test("the same, in whatever order the shards answer", () => {
    const shards = [
      shard(0, [block(1, [100, 150]), block(3, [100, 150])], [epoch(5, [100, 150])]),
      shard(1, [block(1, [100, 150]), block(2, [100, 150])], [epoch(5, [100, 150])]),
    ];
    const names = planScan(shards, WINDOW, LIMITS).jobs.map(nameOf);
    expect(planScan(shards.toReversed(), WINDOW, LIMITS).jobs.map(nameOf)).toEqual(names);
  });

  test("at a limit all blocks are read, one beyond it the oldest is left out", () => {
    const shards = [shard(0, [block(1, [100, 110]), block(2, [120, 130]), block(3, [140, 150])])];
    for (const [limit, exact] of [
      ["maxQueryBytes", 300],
      ["maxQueryTraces", 6],
    ] as const) {
      expect(planScan(shards, WINDOW, { ...LIMITS, [limit]: exact }).skipped).toEqual([]);
      const { jobs, skipped } = planScan(shards, WINDOW, { ...LIMITS, [limit]: exact - 1 });
      expect(jobs.map(nameOf)).toEqual(["0/block-3", "0/block-2"]);
      expect(skipped.map(({ job, limit: reached }) => [nameOf(job), reached])).toEqual([
        ["0/block-1", limit],
      ]);
    }
  });

  test("there is no gap: behind a block that does not fit, older ones are left out too", () => {
    const large = { byteLength: 1000 };
    const shards = [shard(0, [block(1, [100, 110]), block(2, [120, 130], large), block(3, [140, 150])])];
    const { jobs, skipped } = planScan(shards, WINDOW, { ...LIMITS, maxQueryBytes: 500 });
    expect(jobs.map(nameOf)).toEqual(["0/block-3"]);
    expect(skipped.map(({ job }) => nameOf(job))).toEqual(["0/block-2", "0/block-1"]);
  });

  test("the window is that of the query in whole seconds, and a margin", () => {
    const limits = { traceMarginMs: 1500 };
    expect(planWindow({ startNs: 10_999_999_999n, endNs: 20_000_000_001n }, limits)).toEqual({
      startSeconds: 8,
      endSeconds: 23,
    });
  });

  describe("the scan pool", () => {
    const ALONE = {
      maxLocalSpans: Infinity,
      maxLocalBlocks: Infinity,
      maxLocalTraces: Infinity,
      maxLocalBytes: Infinity,
      scanners: 12,
    };
    /** Three blocks and an epoch. */
    const shards = [
      shard(
        "shop/0",
        [block(1, [100, 150]), block(2, [100, 160]), block(3, [100, 170])],
        [epoch(7, [150, 160])],
      ),
    ];
    const withPool = (pool: Partial<typeof ALONE>) =>
      planScan(shards, WINDOW, { ...LIMITS, pool: { ...ALONE, ...pool } });

    test.each([
      ["maxLocalSpans", 30],
      ["maxLocalBlocks", 3],
      ["maxLocalTraces", 6],
      ["maxLocalBytes", 300],
    ])("at %s the Worker does all, one beyond it the pool does all blocks", (limit, count) => {
      expect(withPool({ [limit]: count }).pooled).toEqual([]);
      const { jobs, pooled } = withPool({ [limit]: count - 1 });
      expect(jobs).toEqual(withPool({}).jobs);
      expect(pooled.flatMap((each) => each.jobs.map(nameOf)).sort()).toEqual([
        "shop/0/block-1",
        "shop/0/block-2",
        "shop/0/block-3",
      ]);
    });

    test("without a pool the Worker does whatever there is", () => {
      expect(planScan(shards, WINDOW, LIMITS).pooled).toEqual([]);
    });

    test("a block falls to the same Scanner of its tenant, whatever else is asked for", () => {
      const blocks = Array.from({ length: 100 }, (_, i) => block(1_800_000_000_000 + 60_000 * i, [100, 150]));
      const plan = (ids: readonly CatalogueBlock[], names: readonly string[]) =>
        planScan(
          names.map((name) => shard(name, ids)),
          WINDOW,
          { ...LIMITS, pool: { ...ALONE, maxLocalBlocks: 0 } },
        ).pooled;
      const scannerOf = (pooled: ReturnType<typeof plan>, wanted: number, name: string) =>
        pooled.find(({ jobs }) => jobs.some((job) => job.block.id === wanted && job.shard === name))?.scanner;
      const all = plan(blocks, ["shop/0", "bank/3"]);
      const few = plan(blocks.slice(40, 45), ["bank/3"]);
      for (const { id } of blocks.slice(40, 45)) {
        expect(scannerOf(few, id, "bank/3")).toBe(scannerOf(all, id, "bank/3"));
      }
      expect(all).toHaveLength(24);
      for (const { scanner, jobs } of all) {
        expect(new Set(jobs.map((job) => job.shard.split("/")[0]))).toEqual(new Set([scanner.split("/")[0]]));
        expect(jobs.length).toBeGreaterThan(1);
        expect(jobs.length).toBeLessThan(20);
      }
    });
  });
});
