// The catalogue of a shard from its bucket alone, date by date. Doing any of it again is harmless.
import { openBlock } from "../block/reader.ts";
import { catalogueBlock } from "../store/catalogue.ts";
import { datePrefix, parseBlockKey, tenantPrefix } from "../store/keys.ts";
import type { StoredObject } from "../store/object-store.ts";
import type { RebuildProgress } from "../store/compactor-rpc.ts";
import { messageOf } from "../util/errors.ts";
import { logError } from "../util/log.ts";
import { isDamage, type JobPorts } from "./job-ports.ts";
import { ObjectSource } from "./object-source.ts";

const DAY_MS = 86_400_000;
/** Blocks that one step adds: at four reads each it stays within minutes, of the 15 that an alarm may take. */
const STEP_BLOCKS = 500;
/** Keys that one question to the shard may hold. */
const PAGE_KEYS = 1000;

export interface RebuildTarget {
  readonly tenant: string;
  readonly shard: number;
}

/** A block as found in the bucket. */
interface FoundBlock {
  readonly id: number;
  readonly object: StoredObject;
}

/**
 * Where a rebuild begins: at the date of the tenant's first object.
 * @throws AppError `unavailable`
 */
export async function startRebuild(
  { objects }: JobPorts,
  { tenant }: RebuildTarget,
): Promise<RebuildProgress> {
  for await (const { key } of objects.list(tenantPrefix(tenant))) {
    const date = /\/date=(\d{4}-\d\d-\d\d)\//.exec(key)?.[1];
    const dateMs = Date.parse(date ?? "");
    if (!Number.isNaN(dateMs)) return { dateMs, adopted: 0, damaged: 0, done: false };
  }
  return { dateMs: 0, adopted: 0, damaged: 0, done: true };
}

/**
 * Adds the blocks of the next dates that the catalogue lacks, some hundreds at most. Blocks that another one of the
 * bucket was merged from are left out: their spans would be there twice.
 * @throws AppError `unavailable`: the step is to be repeated
 */
export async function stepRebuild(
  ports: JobPorts,
  target: RebuildTarget,
  progress: RebuildProgress,
  now: number,
): Promise<RebuildProgress> {
  let { dateMs, adopted, damaged } = progress;
  const enough = adopted + STEP_BLOCKS;
  // The clocks that gave the dates may have been ahead of this one, by less than a day.
  for (; dateMs <= now + DAY_MS; dateMs += DAY_MS) {
    const date = await rebuildDate(ports, target, dateMs, enough - adopted);
    adopted += date.adopted;
    // Of a date that is begun again the same blocks are found damaged again.
    if (adopted >= enough) return { dateMs, adopted, damaged, done: false };
    damaged += date.damaged;
  }
  return { dateMs, adopted, damaged, done: true };
}

async function rebuildDate(
  ports: JobPorts,
  { tenant, shard }: RebuildTarget,
  dateMs: number,
  limit: number,
): Promise<{ adopted: number; damaged: number }> {
  const found: FoundBlock[] = [];
  for await (const object of ports.objects.list(datePrefix(tenant, shard, dateMs))) {
    const id = parseBlockKey(object.key)?.id;
    if (id !== undefined) found.push({ id, object });
  }
  const { inputsOf, damaged } = await readInputs(ports, found);
  const unknown = await unknownOf(ports, found);
  const unknownIds = new Set(unknown.map(({ id }) => id));
  const known = new Set(found.map(({ id }) => id).filter((id) => !unknownIds.has(id)));
  const replaced = new Set([...inputsOf.values()].flat());
  let adopted = 0;
  for (const block of unknown) {
    if (adopted >= limit) break;
    const inputs = inputsOf.get(block.id) ?? [];
    // The output of a merge that came to nothing: its inputs are in the catalogue.
    const isOrphan = inputs.length > 0 && inputs.every((id) => known.has(id));
    if (isOrphan || replaced.has(block.id) || damaged.has(block.id)) continue;
    if (await adopt(ports, block)) adopted++;
  }
  return { adopted, damaged: damaged.size };
}

/** The ids that each merged block was made from; and the blocks that cannot be read, which therefore replace nothing. */
async function readInputs(
  ports: JobPorts,
  found: readonly FoundBlock[],
): Promise<{ inputsOf: Map<number, readonly number[]>; damaged: Set<number> }> {
  const inputsOf = new Map<number, readonly number[]>();
  const damaged = new Set<number>();
  for (const { id, object } of found) {
    try {
      const block = await openBlock(new ObjectSource(ports.objects, object, ports.sleep));
      if (block.meta.replaces.length === 0) continue;
      await block.written();
      inputsOf.set(id, block.meta.replaces);
    } catch (error) {
      if (!isDamage(error)) throw error;
      damaged.add(id);
      logError("block left out of the catalogue", { key: object.key, error: messageOf(error) });
    }
  }
  return { inputsOf, damaged };
}

async function unknownOf({ shard }: JobPorts, found: readonly FoundBlock[]): Promise<FoundBlock[]> {
  const unknown: FoundBlock[] = [];
  for (let at = 0; at < found.length; at += PAGE_KEYS) {
    const page = found.slice(at, at + PAGE_KEYS);
    const known = await shard.isKnown(page.map(({ object }) => object.key));
    unknown.push(...page.filter((_, i) => known[i] === false));
  }
  return unknown;
}

/** @returns false if it is known by now, or cannot be read after all */
async function adopt({ objects, shard, sleep }: JobPorts, { id, object }: FoundBlock): Promise<boolean> {
  try {
    const block = await openBlock(new ObjectSource(objects, object, sleep));
    const { filter, traceIndex, resources } = await block.written();
    return await shard.adopt(catalogueBlock(id, object, block.meta, id), { filter, traceIndex, resources });
  } catch (error) {
    if (!isDamage(error)) throw error;
    logError("block left out of the catalogue", { key: object.key, error: messageOf(error) });
    return false;
  }
}
