// Several blocks into one: read, merge, store, commit. Dying anywhere leaves the inputs as they are; doing it again
// writes the same object.
import { mergeBlocks } from "../block/merge.ts";
import type { WrittenBlock } from "../block/meta.ts";
import { catalogueBlock } from "../store/catalogue.ts";
import type { StoredObject } from "../store/object-store.ts";
import type { JobBlock, MergeJob } from "../store/rpc.ts";
import { messageOf } from "../util/errors.ts";
import { isDamage, type JobOutcome, type JobPorts } from "./job-ports.ts";
import { ObjectSource } from "./object-source.ts";
import { ObjectWriter } from "./object-writer.ts";
import { PLAN_LIMITS, weightOf } from "./plan.ts";

/** 7 % smaller than level 3 at a third of its speed, and this is off the thread that takes spans. */
const ZSTD_LEVEL = 6;

/**
 * A void job's output is the shard's to delete.
 * @throws AppError `unavailable`
 */
export async function runMerge(ports: JobPorts, job: MergeJob): Promise<JobOutcome> {
  const writer = new ObjectWriter(ports.objects, job.key, ports.partBytes);
  let stored: StoredObject;
  let written: WrittenBlock;
  try {
    written = await merge(ports, job, (bytes) => writer.write(bytes));
    stored = await writer.finish();
  } catch (error) {
    await writer.abort();
    if (!isDamage(error)) throw error;
    return { message: messageOf(error), damaged: await findDamaged(ports, job) };
  }
  const { filter, traceIndex, resources } = written;
  const block = catalogueBlock(job.id, stored, written.meta, job.arrivedMs);
  return ports.shard.commitMerge(job.id, block, { filter, traceIndex, resources });
}

function merge(
  ports: JobPorts,
  { arrivedMs, inputs }: MergeJob,
  sink: (bytes: Uint8Array) => Promise<void> | void,
): Promise<WrittenBlock> {
  return mergeBlocks(
    inputs.map((input) => new ObjectSource(ports.objects, input, ports.sleep)),
    sink,
    {
      zstdLevel: ZSTD_LEVEL,
      rowGroupSpans: rowGroupSpans(inputs),
      arrivedMs,
      replaces: inputs.map(({ id }) => id),
      pause: ports.pause,
    },
  );
}

/** A row group is built in memory: of large spans or short traces it has fewer. */
function rowGroupSpans(inputs: readonly JobBlock[]): number {
  const sum = { spanCount: 0, traceCount: 0, rawBytes: 0 };
  for (const { spanCount, traceCount, rawBytes } of inputs) {
    sum.spanCount += spanCount;
    sum.traceCount += traceCount;
    sum.rawBytes += rawBytes;
  }
  const share = sum.spanCount / weightOf(sum, PLAN_LIMITS);
  return Math.max(1, Math.ceil(PLAN_LIMITS.rowGroupWeight * share));
}

/** The inputs that cannot be read, by merging each alone into nothing. Undefined when each alone is sound. */
async function findDamaged(ports: JobPorts, job: MergeJob): Promise<number[] | undefined> {
  const damaged: number[] = [];
  for (const input of job.inputs) {
    try {
      await merge(ports, { ...job, inputs: [input] }, () => undefined);
    } catch (error) {
      if (!isDamage(error)) throw error;
      damaged.push(input.id);
    }
  }
  return damaged.length === 0 ? undefined : damaged;
}
