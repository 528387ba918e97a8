// One filter for many finished blocks, from the trace ids that they hold.
import { type FilterBlock, filterRowSteps } from "../block/filter-rows.ts";
import { openBlock } from "../block/reader.ts";
import { Stretches } from "../block/stretches.ts";
import type { IndexJob } from "../store/rpc.ts";
import { exactBytes } from "../util/bytes.ts";
import { messageOf } from "../util/errors.ts";
import { isDamage, type JobOutcome, type JobPorts } from "./job-ports.ts";
import { ObjectSource } from "./object-source.ts";

/**
 * Holds all trace ids twice while it builds: 26 MB for the 800,000 of a group.
 * @throws AppError `unavailable`
 */
export async function runIndex(ports: JobPorts, job: IndexJob): Promise<JobOutcome> {
  const blocks: FilterBlock[] = [];
  for (const [index, block] of job.blocks.entries()) {
    const source = new ObjectSource(ports.objects, block, ports.sleep);
    try {
      blocks.push({ index, traceIds: await (await openBlock(source)).traceIds() });
    } catch (error) {
      if (!isDamage(error)) throw error;
      return { message: messageOf(error), damaged: [block.id] };
    }
    await ports.pause();
  }
  const rows = await new Stretches(ports.pause).run(filterRowSteps(blocks, job.bits));
  // A row that were a view would take all the others along through the call.
  return ports.shard.commitIndex(job.id, rows.map(exactBytes));
}
