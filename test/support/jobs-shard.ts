// The shard as a compactor sees it, made as simply as its contract allows: a catalogue in memory, no buffer.
import { writeBlock } from "../../src/block/block-writer.ts";
import { mayHoldTrace, tracePages } from "../../src/block/lookup.ts";
import { readTracePages } from "../../src/block/read-trace.ts";
import { PLAN_LIMITS, planJobs } from "../../src/compaction/plan.ts";
import { parseTraceId } from "../../src/model/ids.ts";
import { type BlockTail, type CatalogueBlock, catalogueBlock } from "../../src/store/catalogue.ts";
import { blockKey } from "../../src/store/keys.ts";
import type { ObjectStore } from "../../src/store/object-store.ts";
import type { JobReply, ShardJob, ShardJobsRpc, SweepJob } from "../../src/store/rpc.ts";
import { assert, must } from "../../src/util/assert.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import { spanBag } from "./span-bag.ts";

/** After this nothing that was begun before can still be under way. */
export const GRACE_MS: number = 15 * 60_000;

export const TARGET = { tenant: "acme", shard: 3 };

interface Entry {
  readonly block: CatalogueBlock;
  readonly tail: BlockTail;
}

async function* each(messages: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* messages;
}

export class JobsShard implements ShardJobsRpc {
  readonly entries = new Map<number, Entry>();
  readonly retired = new Map<number, string>();
  readonly indexed = new Map<number, number>();
  readonly givenUp: { id: number; message: string; culprits: readonly number[] | undefined }[] = [];
  /** Blocks that jobs leave out. */
  readonly left = new Set<number>();
  job: ShardJob | undefined;
  isRebuilding = false;
  /** Rows of each commit of an index. */
  readonly groups: (readonly Uint8Array[])[] = [];
  /** Given out before any other job. */
  sweep: Pick<SweepJob, "prefixes" | "afterId" | "beforeId"> | undefined;
  readonly #objects: ObjectStore;
  #lastId = 0;

  constructor(objects: ObjectStore) {
    this.#objects = objects;
  }

  /** Writes the messages as the block of an epoch. */
  async flush(epoch: number, messages: readonly Uint8Array[]): Promise<CatalogueBlock> {
    const chunks: Uint8Array[] = [];
    const { meta, ...tail } = await writeBlock(each(messages), (bytes) => void chunks.push(bytes), {
      zstdLevel: 3,
      arrivedMs: epoch,
    });
    const key = blockKey(TARGET.tenant, TARGET.shard, epoch);
    const block = catalogueBlock(epoch, await this.#objects.put(key, concatBytes(chunks)), meta, epoch);
    this.add(block, tail);
    return block;
  }

  add(block: CatalogueBlock, tail: BlockTail): void {
    this.#lastId = Math.max(this.#lastId, block.id);
    this.entries.set(block.id, { block, tail });
  }

  /** The spans of a trace (hex), one for each time that a block has it. */
  async read(traceId: string): Promise<string[]> {
    const id = parseTraceId(traceId);
    const parts: Uint8Array[] = [];
    for (const { block, tail } of this.entries.values()) {
      if (!mayHoldTrace(tail.filter, id)) continue;
      const range = tracePages(tail.traceIndex, id);
      if (range === undefined) continue;
      const pages = await this.#objects.getRange(block.key, range, block.etag);
      for await (const part of readTracePages(pages, tail.resources, id)) parts.push(part);
    }
    return spanBag(parts, traceId);
  }

  async nextJob(now: number): Promise<ShardJob | undefined> {
    this.job ??= this.#plan(now);
    return this.job;
  }

  #plan(now: number): ShardJob | undefined {
    const id = Math.max(now, this.#lastId + 1);
    if (this.sweep !== undefined) return { kind: "sweep", id, ...this.sweep };
    const blocks = [...this.entries.values()]
      .filter(({ block }) => !this.left.has(block.id))
      .map(({ block }) => Object.assign({ indexed: this.indexed.has(block.id) }, block));
    const [planned] = planJobs(blocks, now, PLAN_LIMITS);
    if (planned === undefined) return undefined;
    this.#lastId = id;
    const jobBlocks = (ids: readonly number[]) =>
      ids.map((one) => must(this.entries.get(one), "a planned block").block);
    if (planned.kind === "index") return { kind: "index", id, bits: 16, blocks: jobBlocks(planned.blocks) };
    const { arrivedMs, inputs } = planned;
    const key = blockKey(TARGET.tenant, TARGET.shard, id, arrivedMs);
    return { kind: "merge", id, key, inputs: jobBlocks(inputs), arrivedMs };
  }

  async commitMerge(id: number, output: CatalogueBlock, tail: BlockTail): Promise<JobReply> {
    if (this.entries.has(id)) return { ok: true };
    const { job } = this;
    if (job?.kind !== "merge" || job.id !== id) {
      this.retired.set(id, output.key);
      return { ok: false, message: "void" };
    }
    assert(output.key === job.key && output.id === id, "the output is that of the job");
    for (const input of job.inputs) {
      this.entries.delete(input.id);
      this.retired.set(input.id, input.key);
    }
    this.add(output, tail);
    this.job = undefined;
    return { ok: true };
  }

  async commitIndex(id: number, rows: readonly Uint8Array[]): Promise<JobReply> {
    const { job } = this;
    if (job?.kind !== "index" || job.id !== id) return { ok: false, message: "void" };
    for (const [index, block] of job.blocks.entries()) this.indexed.set(block.id, index);
    this.groups.push(rows);
    this.job = undefined;
    return { ok: true };
  }

  async commitSweep(): Promise<JobReply> {
    this.job = undefined;
    this.sweep = undefined;
    return { ok: true };
  }

  async giveUp(id: number, message: string, culprits?: readonly number[]): Promise<void> {
    const { job } = this;
    if (job?.id !== id) return;
    this.givenUp.push({ id, message, culprits });
    const all = job.kind === "merge" ? job.inputs : job.kind === "index" ? job.blocks : [];
    for (const block of culprits ?? all.map((one) => one.id)) this.left.add(block);
    this.job = undefined;
    this.sweep = undefined;
  }

  async isKnown(keys: readonly string[]): Promise<boolean[]> {
    const known = new Set([
      ...this.retired.values(),
      ...[...this.entries.values()].map(({ block }) => block.key),
    ]);
    if (this.job?.kind === "merge") known.add(this.job.key);
    return keys.map((key) => known.has(key));
  }

  async adopt(block: CatalogueBlock, tail: BlockTail): Promise<boolean> {
    if ((await this.isKnown([block.key]))[0] === true) return false;
    this.add(block, tail);
    return true;
  }

  async discard(
    { id, key }: { readonly id: number; readonly key: string },
    by: readonly number[],
  ): Promise<boolean> {
    const isKnown = by.every((block) => this.entries.has(block) || this.retired.has(block));
    if (!isKnown || !by.some((block) => this.entries.has(block))) return false;
    if ((await this.isKnown([key]))[0] === false) this.retired.set(id, key);
    return true;
  }

  async beginRebuild(now: number): Promise<number> {
    this.isRebuilding = true;
    return now + GRACE_MS;
  }

  async endRebuild(): Promise<void> {
    this.isRebuilding = false;
  }
}
