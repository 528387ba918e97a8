// The jobs that the shard gives out, one at a time, and what becomes of them. A job is durable before anybody knows of it,
// so that its repeat has the same id and key; its result is one transaction.
import { FILTER_BUCKETS } from "../block/filter-rows.ts";
import { planJobs, type PlanLimits } from "../compaction/plan.ts";
import type { Limits } from "../model/limits.ts";
import type { BlockTail, CatalogueBlock } from "../store/catalogue.ts";
import { blockKey, datePrefix, parseBlockKey } from "../store/keys.ts";
import type { JobBlock, JobReply, MergeJob, ShardJob } from "../store/rpc.ts";
import type { Count } from "../usage/meter.ts";
import { assert } from "../util/assert.ts";
import { logWarning } from "../util/log.ts";
import type { Catalogue } from "./catalogue.ts";
import type { Epochs } from "./epochs.ts";
import type { CatalogueChange, ShardStorage } from "./storage.ts";

const DAY_MS = 86_400_000;
/** How long damaged inputs are left out of jobs. */
const SKIP_MS = DAY_MS;
/** How long after a job became void what it may have left is looked for: its runner is gone by then. */
const SWEEP_DELAY_MS = DAY_MS;
const KEYS_MAX = 1000;

/** Settings of the shard, by name. */
const SKIPPED = "skipped";
const SWEEP = "sweep";
const FIRST_JOB = "first_job";
const REBUILDING = "rebuilding";

/** Where outputs may lie that nobody knows. */
interface Sweep {
  readonly dueMs: number;
  readonly prefixes: readonly string[];
}

export interface JobsContext {
  readonly tenant: string;
  readonly shard: number;
  readonly storage: ShardStorage;
  readonly catalogue: Catalogue;
  readonly epochs: Epochs;
  readonly limits: Limits;
  readonly plan: PlanLimits;
  readonly count: Count;
}

/** A line each: id, space, ms. */
function skippedText(skipped: ReadonlyMap<number, number>): string {
  return [...skipped].map(([id, untilMs]) => `${id} ${untilMs}`).join("\n");
}

function parseSkipped(text = ""): Map<number, number> {
  const skipped = new Map<number, number>();
  for (const [, id, untilMs] of text.matchAll(/^(\d+) (\d+)$/gm)) skipped.set(Number(id), Number(untilMs));
  return skipped;
}

/** A line of ms, a line for each prefix. */
function sweepText({ dueMs, prefixes }: Sweep): string {
  return [dueMs, ...prefixes].join("\n");
}

function parseSweep(text: string | undefined): Sweep | undefined {
  if (text === undefined) return undefined;
  const [dueMs, ...prefixes] = text.split("\n");
  return { dueMs: Number(dueMs), prefixes };
}

export class Jobs {
  readonly #context: JobsContext;
  /** Blocks to leave out, and until when. */
  readonly #skipped: Map<number, number>;
  #sweep: Sweep | undefined;
  #isRebuilding: boolean;

  constructor(context: JobsContext) {
    this.#context = context;
    this.#skipped = parseSkipped(context.storage.setting(SKIPPED));
    this.#sweep = parseSweep(context.storage.setting(SWEEP));
    this.#isRebuilding = context.storage.setting(REBUILDING) !== undefined;
  }

  /** When there is or may be something to do, in ms; undefined when only new blocks can change that. */
  dueAt(nowMs: number): number | undefined {
    if (this.#isRebuilding || this.#context.storage.job() !== undefined) return nowMs;
    const times = [this.#sweep?.dueMs, this.#planDue(nowMs)].filter((time) => time !== undefined);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** The open job, or the next one, which is then open. Durable after `storage.sync()`. */
  next(nowMs: number): ShardJob | undefined {
    const open = this.#context.storage.job();
    if (open !== undefined) {
      if (this.#isSound(open)) return open;
      this.#close(open, nowMs);
    }
    const job = this.#planned(nowMs) ?? this.#sweepJob(nowMs);
    if (job === undefined) return undefined;
    const isFirst = this.#context.storage.setting(FIRST_JOB) === undefined;
    const settings = isFirst ? { [FIRST_JOB]: String(job.id) } : {};
    this.#context.catalogue.change({ job, settings });
    return job;
  }

  commitMerge(id: number, output: CatalogueBlock, tail: BlockTail, nowMs: number): JobReply {
    const { catalogue, count, limits, storage } = this.#context;
    const job = storage.job();
    if (job?.id !== id) return this.#commitLate(id, output, nowMs);
    assert(
      job.kind === "merge" && output.id === id && output.key === job.key,
      "a merge's output is as planned",
    );
    if (!this.#isSound(job)) {
      this.#close(job, nowMs);
      return { ok: false, message: `inputs of job ${id} have gone` };
    }
    const deleteAtMs = nowMs + limits.objectGraceMs;
    catalogue.change({
      remove: job.inputs.map((input) => input.id),
      add: [{ block: output, tail }],
      retire: job.inputs.map((input) => ({ id: input.id, key: input.key, deleteAtMs })),
      job: null,
    });
    count("mergedBlocks", job.inputs.length);
    count("mergedBytes", output.byteLength);
    count("mergedTraces", output.traceCount);
    count("merges", 1);
    return { ok: true };
  }

  commitIndex(id: number, filters: readonly Uint8Array[], nowMs: number): JobReply {
    const { catalogue, storage } = this.#context;
    const job = storage.job();
    if (job?.id !== id) {
      return catalogue.groups.madeBy(id) ? { ok: true } : { ok: false, message: `job ${id} is not open` };
    }
    assert(job.kind === "index", "job is of the kind that is committed");
    // A bucket without a row would hide its traces.
    assert(filters.length === FILTER_BUCKETS, "a group has a row for each bucket");
    // A block that went meanwhile leaves a gap: the others' filters are right all the same.
    const members = job.blocks.map((block) => (this.#isThere(block) ? block.id : 0));
    const blocks = members.filter((member) => member !== 0);
    if (blocks.length === 0) {
      this.#close(job, nowMs);
      return { ok: false, message: `blocks of job ${id} have gone` };
    }
    const slot = catalogue.groups.freeSlot();
    catalogue.change({
      groups: [{ slot, id, bits: job.bits, members }],
      rows: { slot, blocks, filters },
      job: null,
    });
    return { ok: true };
  }

  commitSweep(id: number): JobReply {
    const job = this.#context.storage.job();
    if (job?.id !== id) return { ok: true };
    assert(job.kind === "sweep", "job is of the kind that is committed");
    this.#context.catalogue.change({ job: null, settings: { [SWEEP]: null } });
    this.#sweep = undefined;
    return { ok: true };
  }

  giveUp(id: number, message: string, culprits: readonly number[] | undefined, nowMs: number): void {
    const job = this.#context.storage.job();
    if (job?.id !== id) return;
    logWarning("job given up", { kind: job.kind, reason: message });
    this.#context.count("givenUpJobs", 1);
    const inputs = inputsOf(job).map((block) => block.id);
    for (const block of culprits ?? inputs) this.#skipped.set(block, nowMs + SKIP_MS);
    for (const block of this.#skipped.keys()) {
      if (!this.#context.catalogue.has(block)) this.#skipped.delete(block);
    }
    // Whatever hinders a sweep takes longer to mend than till the next job.
    if (job.kind === "sweep") this.#sweep = { prefixes: job.prefixes, dueMs: nowMs + SWEEP_DELAY_MS };
    const sweep = this.#sweep === undefined ? {} : { [SWEEP]: sweepText(this.#sweep) };
    this.#close(job, nowMs, { ...sweep, [SKIPPED]: skippedText(this.#skipped) });
  }

  /** Whether an object is in use, will be, or is to be deleted anyway. Other objects are not ours to judge. */
  isKnown(keys: readonly string[]): boolean[] {
    assert(keys.length <= KEYS_MAX, `at most ${KEYS_MAX} keys a call`);
    const { storage, tenant, shard } = this.#context;
    const epochs = new Set(storage.epochs());
    const job = storage.job()?.id;
    return keys.map((key) => {
      const place = parseBlockKey(key);
      if (place?.tenant !== tenant || place.shard !== shard) return true;
      const { id } = place;
      return this.#context.catalogue.has(id) || epochs.has(id) || id === job || storage.isRetired(id);
    });
  }

  adopt(block: CatalogueBlock, tail: BlockTail): boolean {
    const { catalogue, tenant, shard } = this.#context;
    const place = parseBlockKey(block.key);
    assert(
      place?.tenant === tenant && place.shard === shard && place.id === block.id,
      "an adopted block has a key of this shard",
    );
    if (this.isKnown([block.key])[0] === true) return false;
    catalogue.change({ add: [{ block, tail }] });
    return true;
  }

  /** See ShardJobsRpc. */
  discard({ id, key }: Pick<CatalogueBlock, "id" | "key">, by: readonly number[], nowMs: number): boolean {
    const { catalogue, storage } = this.#context;
    // Of blocks that are retired the spans are in others or too old; if all are, the object may be the one that has them.
    const isNeedless =
      by.every((block) => catalogue.has(block) || storage.isRetired(block)) &&
      by.some((block) => catalogue.has(block));
    if (isNeedless) this.retire({ id, key }, nowMs);
    return isNeedless;
  }

  /** The compactor is to be woken until it says that it has rebuilt the catalogue. */
  setRebuilding(isRebuilding: boolean): void {
    if (isRebuilding === this.#isRebuilding) return;
    this.#context.catalogue.change({ settings: { [REBUILDING]: isRebuilding ? "1" : null } });
    this.#isRebuilding = isRebuilding;
  }

  /** Has an object deleted that nobody needs. @returns false if the key is known */
  retire({ id, key }: Pick<CatalogueBlock, "id" | "key">, nowMs: number): boolean {
    if (this.isKnown([key])[0] === true) return false;
    const deleteAtMs = nowMs + this.#context.limits.objectGraceMs;
    this.#context.catalogue.change({ retire: [{ id, key, deleteAtMs }] });
    return true;
  }

  /** Of a job that is not open (any more): committed before, or void. */
  #commitLate(id: number, output: CatalogueBlock, nowMs: number): JobReply {
    const { catalogue, epochs, limits, storage } = this.#context;
    if (catalogue.has(id)) return { ok: true };
    // The output of a job of a catalogue that was lost may be all that a rebuild finds of its inputs' spans.
    const isJobOfOurs = id >= Number(storage.setting(FIRST_JOB) ?? Infinity);
    const isOurs = isJobOfOurs && !storage.isRetired(id) && !epochs.has(id);
    const deleteAtMs = nowMs + limits.objectGraceMs;
    if (isOurs) catalogue.change({ retire: [{ id, key: output.key, deleteAtMs }] });
    return { ok: false, message: `job ${id} is not open` };
  }

  /** Closes a job without a result. What its runner wrote or still writes is deleted. */
  #close(job: ShardJob, nowMs: number, settings: CatalogueChange["settings"] = {}): void {
    if (job.kind !== "merge") {
      this.#context.catalogue.change({ job: null, settings });
      return;
    }
    this.#sweep = this.#sweepWith(job, nowMs);
    this.#context.catalogue.change({
      job: null,
      retire: [{ id: job.id, key: job.key, deleteAtMs: nowMs + this.#context.limits.objectGraceMs }],
      settings: { ...settings, [SWEEP]: sweepText(this.#sweep) },
    });
  }

  /** Also looks where this job's output may lie. */
  #sweepWith({ arrivedMs }: MergeJob, nowMs: number): Sweep {
    const prefix = datePrefix(this.#context.tenant, this.#context.shard, arrivedMs);
    const prefixes = new Set([...(this.#sweep?.prefixes ?? []), prefix]);
    return { dueMs: nowMs + SWEEP_DELAY_MS, prefixes: [...prefixes] };
  }

  #isSound(job: ShardJob): boolean {
    const blocks = inputsOf(job);
    if (job.kind === "merge") return blocks.every((block) => this.#isThere(block));
    return job.kind === "sweep" || blocks.some((block) => this.#isThere(block));
  }

  #isThere({ id, etag }: JobBlock): boolean {
    return this.#context.catalogue.get(id)?.etag === etag;
  }

  #plan(nowMs: number): ReturnType<typeof planJobs> {
    const blocks = this.#context.catalogue
      .young()
      .filter(({ id }) => (this.#skipped.get(id) ?? 0) <= nowMs)
      .map(({ id, arrivedMs, spanCount, traceCount, rawBytes, version }) => ({
        id,
        arrivedMs,
        spanCount,
        traceCount,
        rawBytes,
        version,
        indexed: false,
      }));
    return planJobs(blocks, nowMs, this.#context.plan);
  }

  /** Now, or when a date is over or a block no longer left out: nothing else but new blocks makes a job. */
  #planDue(nowMs: number): number | undefined {
    const dates = new Set(
      this.#context.catalogue.young().map(({ arrivedMs }) => Math.floor(arrivedMs / DAY_MS)),
    );
    const ends = [...dates].map((date) => (date + 1) * DAY_MS + this.#context.plan.dayMarginMs);
    return [nowMs, ...ends, ...this.#skipped.values()]
      .filter((time) => time >= nowMs)
      .sort((a, b) => a - b)
      .find((time) => this.#plan(time).length > 0);
  }

  #planned(nowMs: number): ShardJob | undefined {
    const [planned] = this.#plan(nowMs);
    if (planned === undefined) return undefined;
    const { catalogue, epochs, limits, tenant, shard } = this.#context;
    const id = epochs.nextId(nowMs);
    const blocksOf = (ids: readonly number[]): JobBlock[] =>
      ids.flatMap((block) => catalogue.get(block) ?? []).map(jobBlock);
    if (planned.kind === "merge") {
      const { arrivedMs } = planned;
      const key = blockKey(tenant, shard, id, arrivedMs);
      return { kind: "merge", id, key, inputs: blocksOf(planned.inputs), arrivedMs };
    }
    const bits = catalogue.falseGets() <= limits.maxFalseGets ? 16 : 32;
    return { kind: "index", id, bits, blocks: blocksOf(planned.blocks) };
  }

  #sweepJob(nowMs: number): ShardJob | undefined {
    if (this.#sweep === undefined || this.#sweep.dueMs > nowMs) return undefined;
    const id = this.#context.epochs.nextId(nowMs);
    const firstJob = Number(this.#context.storage.setting(FIRST_JOB) ?? id);
    return { kind: "sweep", id, prefixes: this.#sweep.prefixes, afterId: firstJob - 1, beforeId: id };
  }
}

function inputsOf(job: ShardJob): readonly JobBlock[] {
  switch (job.kind) {
    case "merge":
      return job.inputs;
    case "index":
      return job.blocks;
    case "sweep":
      return [];
  }
}

function jobBlock(block: CatalogueBlock): JobBlock {
  const { id, key, etag, byteLength, spanCount, traceCount, rawBytes, version } = block;
  return { id, key, etag, byteLength, spanCount, traceCount, rawBytes, version };
}
