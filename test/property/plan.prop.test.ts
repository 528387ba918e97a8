// The planner of compaction, driven for days by a naive shard.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  PLAN_LIMITS,
  type PlanBlock,
  type PlanLimits,
  type PlannedJob,
  planJobs,
  weightOf,
} from "../../src/compaction/plan.ts";
import { assert, must } from "../../src/util/assert.ts";

const DAY = 86_400_000;
const START = 20_000 * DAY;
const LIMITS = PLAN_LIMITS;

/** A block, and how often each of its spans was written. */
interface SimBlock extends PlanBlock {
  /** Sum over its spans of how often they were rewritten. */
  readonly rewrites: number;
  /** The greatest number of rewrites of any of its spans. */
  readonly deepest: number;
}

const dateOf = ({ arrivedMs }: { arrivedMs: number }): number => Math.floor(arrivedMs / DAY);

function flushed(id: number, spanCount: number, fields: Partial<SimBlock> = {}): SimBlock {
  const traceCount = Math.ceil(spanCount / 10);
  return {
    id,
    arrivedMs: id,
    spanCount,
    traceCount,
    rawBytes: 400 * spanCount,
    version: 2,
    indexed: false,
    rewrites: 0,
    deepest: 0,
    ...fields,
  };
}

/** Carries out jobs as the shard does, and checks what holds of every one of them. */
class SimShard {
  blocks: SimBlock[];
  #lastId: number;
  readonly limits: PlanLimits;

  constructor(blocks: readonly SimBlock[] = [], limits: PlanLimits = LIMITS) {
    this.blocks = [...blocks];
    this.limits = limits;
    this.#lastId = Math.max(0, ...blocks.map(({ id }) => id));
  }

  /** Adds a flush that was opened at `openedMs`: ids never repeat. */
  flush(openedMs: number, spanCount: number): void {
    const id = Math.max(openedMs, this.#lastId + 1);
    this.#lastId = id;
    this.blocks.push(flushed(id, spanCount, { arrivedMs: openedMs }));
  }

  plan(now: number): PlannedJob[] {
    return planJobs(this.blocks, now, this.limits);
  }

  apply(job: PlannedJob, now: number): void {
    const ids = job.kind === "merge" ? job.inputs : job.blocks;
    const members = ids.map((id) => {
      return must(
        this.blocks.find((block) => block.id === id),
        `block ${id} exists`,
      );
    });
    if (job.kind === "index") {
      this.blocks = this.blocks.map((block) =>
        ids.includes(block.id) ? { ...block, indexed: true } : block,
      );
      return;
    }
    this.#lastId = Math.max(now, this.#lastId + 1);
    const sum = (of: (block: SimBlock) => number): number =>
      members.reduce((total, one) => total + of(one), 0);
    const spanCount = sum((block) => block.spanCount);
    this.blocks = this.blocks.filter(({ id }) => !ids.includes(id));
    this.blocks.push({
      id: this.#lastId,
      arrivedMs: job.arrivedMs,
      spanCount,
      traceCount: sum((block) => block.traceCount),
      rawBytes: sum((block) => block.rawBytes),
      version: this.limits.newestVersion,
      indexed: false,
      rewrites: sum((block) => block.rewrites) + spanCount,
      deepest: Math.max(...members.map(({ deepest }) => deepest)) + 1,
    });
  }

  /** Plans and carries out until nothing is left to do. @returns the number of jobs */
  settle(now: number): number {
    for (let jobs = 0; ; jobs++) {
      const [job] = this.plan(now);
      if (job === undefined) return jobs;
      this.apply(job, now);
      // Each job makes blocks fewer, newer or indexed: three times their number is more than enough.
      assert(jobs < 3 * 2000, "planning ends");
    }
  }

  spans(): number {
    return this.blocks.reduce((sum, { spanCount }) => sum + spanCount, 0);
  }

  rewrites(): number {
    return this.blocks.reduce((sum, { rewrites }) => sum + rewrites, 0);
  }
}

const blockArb = fc
  .record({
    at: fc.integer({ min: 0, max: 3 * DAY }),
    spans: fc.oneof(
      fc.integer({ min: 0, max: 50 }),
      fc.integer({ min: 0, max: 6_000_000 }),
      fc.constant(70_000),
    ),
    spansPerTrace: fc.constantFrom(1, 3, 10, 1000),
    spanBytes: fc.constantFrom(60, 400, 20_000),
    version: fc.constantFrom(1, 2, 2, 2),
    indexed: fc.boolean(),
  })
  .map(({ at, spans, spansPerTrace, spanBytes, version, indexed }) =>
    flushed(START + at, spans, {
      traceCount: Math.ceil(spans / spansPerTrace),
      rawBytes: spans * spanBytes,
      version,
      indexed,
    }),
  );
const blocksArb = fc.uniqueArray(blockArb, { maxLength: 120, selector: ({ id }) => id });
const nowArb = fc.integer({ min: START, max: START + 5 * DAY });

describe("planJobs", () => {
  test("every block is in one job at most; a merge is of one date, bounded, and of several blocks or an old one", () => {
    fc.assert(
      fc.property(blocksArb, nowArb, (blocks, now) => {
        const jobs = planJobs(blocks, now, LIMITS);
        const byId = new Map(blocks.map((block) => [block.id, block]));
        const used = jobs.flatMap((job) => (job.kind === "merge" ? job.inputs : job.blocks));
        expect(new Set(used).size).toBe(used.length);
        const members = (ids: readonly number[]) => ids.map((id) => must(byId.get(id), "a block"));
        const sum = (of: (block: SimBlock) => number, ids: readonly number[]): number =>
          members(ids).reduce((total, block) => total + of(block), 0);
        for (const blocksOfGroup of jobs.flatMap((job) => (job.kind === "index" ? [job.blocks] : []))) {
          const traces = sum(({ traceCount }) => traceCount, blocksOfGroup);
          expect(blocksOfGroup.length).toBeLessThanOrEqual(LIMITS.groupBlocks);
          expect(blocksOfGroup.length === 1 || traces <= LIMITS.groupTraces).toBe(true);
          expect(members(blocksOfGroup).every(({ version, indexed }) => version === 2 && !indexed)).toBe(
            true,
          );
        }
        for (const job of jobs.flatMap((one) => (one.kind === "merge" ? [one] : []))) {
          const inputs = members(job.inputs);
          const isRewrite = inputs.length === 1 && inputs[0]?.version === 1;
          const weight = sum((block) => weightOf(block, LIMITS), job.inputs);
          const traces = sum(({ traceCount }) => traceCount, job.inputs);
          expect(new Set(inputs.map(dateOf)).size).toBe(1);
          expect(job.arrivedMs).toBe(Math.max(...inputs.map(({ arrivedMs }) => arrivedMs)));
          expect(inputs.length >= 2 || isRewrite).toBe(true);
          expect(isRewrite || weight <= LIMITS.blockWeight).toBe(true);
          expect(isRewrite || traces <= LIMITS.groupTraces).toBe(true);
          expect(inputs.length).toBeLessThanOrEqual(
            weight <= LIMITS.rowGroupWeight ? LIMITS.smallInputsMax : LIMITS.inputsMax,
          );
        }
      }),
      { numRuns: 500 },
    );
  });

  test("the same blocks in any order give the same jobs", () => {
    fc.assert(
      fc.property(
        blocksArb.chain((blocks) =>
          fc.tuple(fc.constant(blocks), fc.shuffledSubarray(blocks, { minLength: blocks.length })),
        ),
        nowArb,
        ([blocks, shuffled], now) => {
          expect(planJobs(shuffled, now, LIMITS)).toEqual(planJobs(blocks, now, LIMITS));
        },
      ),
    );
  });

  test("planning and carrying out ends; then no old version is left of dates that are over", () => {
    fc.assert(
      fc.property(blocksArb, nowArb, (blocks, now) => {
        const shard = new SimShard(blocks);
        const spans = shard.spans();
        expect(shard.settle(now)).toBeLessThanOrEqual(3 * blocks.length);
        expect(shard.spans()).toBe(spans);
        const over = shard.blocks.filter((block) => (dateOf(block) + 1) * DAY + LIMITS.dayMarginMs <= now);
        expect(over.every(({ version }) => version === 2)).toBe(true);
        // What is not in a group is less than one.
        const finished = over.filter(({ indexed }) => !indexed);
        expect(finished.length).toBeLessThan(LIMITS.groupBlocks);
        expect(finished.reduce((sum, { traceCount }) => sum + traceCount, 0)).toBeLessThan(
          LIMITS.groupTraces,
        );
      }),
      { numRuns: 200 },
    );
  });

  /** One shard for days: flushes at a rate, a job after each now and then, late flushes of days that are over. */
  const historyArb = fc.record({
    days: fc.integer({ min: 1, max: 3 }),
    flushesADay: fc.constantFrom(1, 12, 144, 288),
    spans: fc.constantFrom(1, 100, 1_000, 10_000, 70_000, 300_000),
    /** Of 100, how far the number of spans of a flush goes up and down. */
    spread: fc.integer({ min: 0, max: 99 }),
    /** Jobs done after each flush: 0 leaves all to the end. */
    jobsPerFlush: fc.constantFrom(0, 1, 3),
    lateFlushes: fc.integer({ min: 0, max: 5 }),
    seed: fc.integer({ min: 0, max: 2 ** 31 }),
  });

  test("for days: at most 4 rewrites a span, few blocks at any time, few blocks in the end", () => {
    fc.assert(
      fc.property(historyArb, ({ days, flushesADay, spans, spread, jobsPerFlush, lateFlushes, seed }) => {
        const shard = new SimShard();
        let random = seed;
        const step = DAY / flushesADay;
        for (let i = 0; i < days * flushesADay; i++) {
          const now = START + Math.floor((i + 1) * step);
          random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
          const part = 1 + (spread / 100) * (2 * (random / 2 ** 32) - 1);
          shard.flush(now - Math.floor(step), Math.max(1, Math.round(spans * part)));
          for (let job = 0; job < jobsPerFlush; job++) {
            const [next] = shard.plan(now);
            if (next !== undefined) shard.apply(next, now);
          }
          if (jobsPerFlush < 3) continue;
          const young = shard.blocks.filter(({ indexed }) => !indexed);
          // At most 9 wait in each of 8 tiers of the date; finished ones wait for a group.
          expect(young.length).toBeLessThan(8 * 10 + LIMITS.groupBlocks);
        }
        const end = START + (days + 1) * DAY;
        shard.settle(end);
        for (let late = 0; late < lateFlushes; late++) {
          shard.flush(START + 7 * late + 1, Math.ceil(spans / 10));
          shard.settle(end);
        }
        expect(shard.rewrites() / shard.spans()).toBeLessThanOrEqual(4);
        expect(Math.max(...shard.blocks.map(({ deepest }) => deepest))).toBeLessThanOrEqual(6 + lateFlushes);
        for (let day = 0; day < days; day++) {
          const blocks = shard.blocks.filter((block) => dateOf(block) === START / DAY + day);
          const weight = blocks.reduce((sum, block) => sum + weightOf(block, LIMITS), 0);
          // Blocks at least half full, one that is not, and stragglers that are not worth rewriting them for.
          expect(blocks.length).toBeLessThanOrEqual(
            Math.ceil((2 * weight) / LIMITS.blockWeight) + 2 + lateFlushes,
          );
        }
      }),
      { numRuns: 60 },
    );
  });

  test("a date is left alone until its margin is over, then becomes one block", () => {
    const blocks = [1, 2, 3].map((i) => flushed(START + i, 1000));
    expect(planJobs(blocks, START + DAY + LIMITS.dayMarginMs - 1, LIMITS)).toEqual([]);
    expect(planJobs(blocks, START + DAY + LIMITS.dayMarginMs, LIMITS)).toEqual([
      { kind: "merge", inputs: blocks.map(({ id }) => id), arrivedMs: START + 3 },
    ]);
  });

  test("eight flushes of 70,000 spans merge, seven wait", () => {
    const blocks = Array.from({ length: 8 }, (_, i) => flushed(START + i, 70_000));
    expect(planJobs(blocks.slice(1), START + 10, LIMITS)).toEqual([]);
    expect(planJobs(blocks, START + 10, LIMITS)).toEqual([
      { kind: "merge", inputs: blocks.map(({ id }) => id), arrivedMs: START + 7 },
    ]);
  });

  test("row groups merge into blocks of up to ten on the same day", () => {
    const blocks = Array.from({ length: 10 }, (_, i) => flushed(START + i, 500_000));
    expect(planJobs(blocks, START + 10, LIMITS)).toMatchObject([{ kind: "merge", inputs: { length: 10 } }]);
  });

  test("a straggler does not rewrite a large block, nor one that is indexed", () => {
    const now = START + 2 * DAY;
    const late = flushed(START + 1, 500);
    expect(planJobs([flushed(START + 2, 1_000_000), late], now, LIMITS)).toEqual([]);
    expect(planJobs([flushed(START + 2, 1000, { indexed: true }), late], now, LIMITS)).toEqual([]);
    expect(planJobs([flushed(START + 2, 1000), late], now, LIMITS)).toHaveLength(1);
  });

  test("blocks of an old version are rewritten alone when they have no neighbours, indexed or not", () => {
    const now = START + 2 * DAY;
    const rewrite = (block: SimBlock) => [{ kind: "merge", inputs: [block.id], arrivedMs: block.arrivedMs }];
    for (const fields of [
      { version: 1 },
      { version: 1, indexed: true },
      { version: 1, spanCount: 6_000_000 },
    ]) {
      const block = flushed(START, 1000, fields);
      expect(planJobs([block], now, LIMITS)).toEqual(rewrite(block));
    }
    // Of today, a small one waits for its neighbours.
    expect(planJobs([flushed(START, 1000, { version: 1 })], START + 1, LIMITS)).toEqual([]);
  });

  test("groups of the index: about 800,000 traces, or 64 blocks; less than a group waits", () => {
    const now = START + 100 * DAY;
    const ofTraces = (count: number, traceCount: number) =>
      Array.from({ length: count }, (_, i) =>
        flushed(START + i * DAY, 10, { traceCount, spanCount: 3_000_000 }),
      );
    expect(
      planJobs(ofTraces(32, 50_000), now, LIMITS).map((job) => job.kind === "index" && job.blocks.length),
    ).toEqual([15, 15]);
    expect(planJobs(ofTraces(65, 10), now, LIMITS)).toMatchObject([
      { kind: "index", blocks: { length: 64 } },
    ]);
    expect(planJobs(ofTraces(63, 10), now, LIMITS)).toEqual([]);
    expect(planJobs(ofTraces(3, 500_000), now, LIMITS)).toHaveLength(2);
    expect(planJobs(ofTraces(1, 790_000), now, LIMITS)).toHaveLength(1);
  });
});
