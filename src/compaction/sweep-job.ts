// Deletes objects that nobody knows: outputs of merges that came to nothing.
import { parseBlockKey } from "../store/keys.ts";
import type { SweepJob } from "../store/rpc.ts";
import type { JobOutcome, JobPorts } from "./job-ports.ts";

/** Keys that one question to the shard may hold, and one deletion. */
const PAGE_KEYS = 1000;
/** Orphans are rare. When more than this and more than a tenth of the objects are unknown, it is the catalogue that is wrong. */
const ORPHANS_MAX = 10;
const ORPHAN_SHARE_MAX = 0.1;

/**
 * Nothing is deleted when so many objects are unknown that the catalogue must have lost them.
 * @throws AppError `unavailable`
 */
export async function runSweep({ objects, shard }: JobPorts, job: SweepJob): Promise<JobOutcome> {
  const orphans: string[] = [];
  let count = 0;
  const look = async (keys: readonly string[]): Promise<void> => {
    const known = await shard.isKnown(keys);
    orphans.push(...keys.filter((_, i) => known[i] === false));
    count += keys.length;
  };
  let page: string[] = [];
  for (const prefix of job.prefixes) {
    for await (const { key } of objects.list(prefix)) {
      const id = parseBlockKey(key)?.id;
      if (id === undefined || id <= job.afterId || id >= job.beforeId) continue;
      page.push(key);
      if (page.length < PAGE_KEYS) continue;
      await look(page);
      page = [];
    }
  }
  if (page.length > 0) await look(page);
  if (orphans.length > ORPHANS_MAX && orphans.length > ORPHAN_SHARE_MAX * count) {
    const message = `${orphans.length} of ${count} objects are unknown: the catalogue is to be rebuilt`;
    return { message, damaged: undefined };
  }
  for (let at = 0; at < orphans.length; at += PAGE_KEYS) {
    await objects.delete(orphans.slice(at, at + PAGE_KEYS));
  }
  return shard.commitSweep(job.id);
}
