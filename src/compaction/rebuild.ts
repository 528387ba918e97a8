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

/** Blocks that one step looks at, or adds: at four reads each it stays within minutes, of the 15 that an alarm may take. */
const STEP_BLOCKS = 500;
/** Keys that one question to the shard may hold. */
const PAGE_KEYS = 1000;

export interface RebuildTarget {
  readonly tenant: string;
  readonly shard: number;
}

/**
 * How far a rebuild is. All dates are looked at twice: what was being written when the catalogue was lost may appear
 * meanwhile, beside what it was made from.
 */
export interface RebuildState extends RebuildProgress {
  /** Dates that are still to be looked at, ascending, each as its first ms. */
  readonly dates: readonly number[];
  /** When all dates are looked at once more; undefined: that is being done or was. */
  readonly againAtMs: number | undefined;
  /** Nothing is left to do. */
  readonly isOver: boolean;
}

/** A block as found in the bucket. */
interface FoundBlock {
  readonly id: number;
  readonly object: StoredObject;
}

/**
 * Finds the dates that have blocks of the shard.
 * @throws AppError `unavailable`
 */
export async function datesOf({ objects }: JobPorts, { tenant, shard }: RebuildTarget): Promise<number[]> {
  const dates = new Set<number>();
  for await (const { key } of objects.list(tenantPrefix(tenant))) {
    if (parseBlockKey(key)?.shard !== shard) continue;
    dates.add(Date.parse(/\/date=(\d{4}-\d\d-\d\d)\//.exec(key)?.[1] ?? ""));
  }
  return [...dates].filter((date) => !Number.isNaN(date)).sort((a, b) => a - b);
}

/**
 * Adds the blocks of the next dates that the catalogue lacks, some hundreds at most. Blocks that another one of the
 * bucket was merged from are left out, as their spans would be there twice, and deleted.
 * @throws AppError `unavailable`: the step is to be repeated
 */
export async function stepRebuild(
  ports: JobPorts,
  target: RebuildTarget,
  state: RebuildState,
): Promise<RebuildState> {
  let { adopted, damaged } = state;
  let looked = 0;
  let next = 0;
  for (const dateMs of state.dates) {
    const date = await rebuildDate(ports, target, dateMs);
    adopted += date.adopted;
    if (!date.isWhole) break;
    next++;
    // Of a date that is begun again the same blocks are found damaged again.
    damaged += date.damaged;
    looked += date.looked;
    if (looked >= STEP_BLOCKS) break;
  }
  const dates = state.dates.slice(next);
  const [dateMs = state.dateMs] = dates;
  return { ...state, dateMs, dates, adopted, damaged, done: state.done || dates.length === 0 };
}

interface RebuiltDate {
  readonly adopted: number;
  readonly damaged: number;
  readonly looked: number;
  /** False when it is to be gone on with. */
  readonly isWhole: boolean;
}

async function rebuildDate(
  ports: JobPorts,
  { tenant, shard }: RebuildTarget,
  dateMs: number,
): Promise<RebuiltDate> {
  const found: FoundBlock[] = [];
  for await (const object of ports.objects.list(datePrefix(tenant, shard, dateMs))) {
    const id = parseBlockKey(object.key)?.id;
    if (id !== undefined) found.push({ id, object });
  }
  const { inputsOf, damaged } = await readInputs(ports, found);
  const unknown = await unknownOf(ports, found);
  const unknownIds = new Set(unknown.map(({ id }) => id));
  const known = new Set(found.map(({ id }) => id).filter((id) => !unknownIds.has(id)));
  let adopted = 0;
  // The newest first: an output, which has a later id, is in the catalogue before its inputs are judged.
  for (const block of unknown.toReversed()) {
    if (damaged.has(block.id)) continue;
    if (adopted >= STEP_BLOCKS)
      return { adopted, damaged: damaged.size, looked: found.length, isWhole: false };
    if (await isReplaced(ports, block, inputsOf)) continue;
    const inputs = inputsOf.get(block.id) ?? [];
    // The output of a merge that came to nothing: its inputs are in the catalogue.
    if (inputs.length > 0 && inputs.every((id) => known.has(id))) await discard(ports, block, inputs);
    else if (await adopt(ports, block)) adopted++;
  }
  return { adopted, damaged: damaged.size, looked: found.length, isWhole: true };
}

/** Whether what the block was merged into is in the catalogue. Its object is then deleted. */
async function isReplaced(
  ports: JobPorts,
  block: FoundBlock,
  inputsOf: ReadonlyMap<number, readonly number[]>,
): Promise<boolean> {
  let members = new Set([block.id]);
  while (members.size > 0) {
    const outputs = [...inputsOf].filter(([, inputs]) => inputs.some((id) => members.has(id)));
    for (const [output] of outputs) if (await discard(ports, block, [output])) return true;
    members = new Set(outputs.map(([output]) => output));
  }
  return false;
}

function discard({ shard }: JobPorts, { id, object }: FoundBlock, by: readonly number[]): Promise<boolean> {
  return shard.discard({ id, key: object.key }, by);
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
