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
  index: number,
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
});
