// Traces that several members of a group, or several sources of one, have parts of: found, taken out and put together here.
import { mergeTables } from "../../traceql/engine/tables/merge-tables.ts";
import { BATCH_ROWS } from "../../traceql/engine/tables/split-traces.ts";
import { TableSource } from "../../traceql/engine/tables/table-source.ts";
import { compareIds, findSplitTraces } from "../../traceql/engine/tables/trace-ids.ts";
import { TRACE_ID_BYTES } from "../../model/ids.ts";
import type { ColumnName } from "../../traceql/storage.ts";
import { toHex } from "../../util/hex.ts";
import { AppError } from "../../util/errors.ts";
import type { GatherInput, SplitFlags, TraceLists } from "./questions.ts";
import type { MemberSource, PooledScan } from "./pooled-scan.ts";
import { isTooLarge, type ScanGroup, type ScanMember } from "./scan-group.ts";
import { repeatedIn } from "./trace-digest.ts";

export interface SplitTraces {
  /** What a member leaves out. */
  readonly flagsOf: (member: ScanMember) => SplitFlags;
  /** The traces, in lists of such as fit memory together. */
  readonly batches: readonly SplitBatch[];
}

/** Some traces, 32 hex digits each, and which of them a member has. */
export interface SplitBatch {
  readonly ids: readonly string[];
  /** See GatherInput. */
  readonly isOfAll: boolean;
  readonly isIn: (member: ScanMember, index: number) => boolean;
}

/** Traces of which it is not known who has them. @param isOfAll see GatherInput */
export function anywhere(ids: readonly string[], isOfAll: boolean): SplitBatch {
  return { ids, isOfAll, isIn: () => true };
}

/**
 * Two rounds: digests of all traces, then the ids of the few that may be in several sources.
 * @throws AppError `too_large` when they are more than `maxSplitTraces`
 */
export async function findSplit({ group, maxSplitTraces }: PooledScan): Promise<SplitTraces> {
  const digests = await group.askAll("digest", undefined);
  const { repeated, count } = repeatedIn(digests.map(({ value }) => value));
  if (count === 0) return { flagsOf: () => [], batches: [] };
  if (count > maxSplitTraces) {
    throw new AppError(
      "too_large",
      `more than ${maxSplitTraces} traces are in several blocks: they are put together in memory, ask for a shorter time`,
    );
  }
  const said = await group.ask(
    digests.map(({ member }, i) => {
      const input = repeated[i] ?? new Uint32Array(0);
      return { member, question: { name: "traces", input } as const };
    }),
  );
  const { ids, flags } = findSplitTraces(said.flatMap(({ value }) => value.ids));
  const parts = new SplitParts(ids);
  const ofMembers = new Map<ScanMember, SplitFlags>();
  let next = 0;
  for (const { member, value } of said) {
    const own = value.ids.map((_, i) => flags[next + i] ?? NO_FLAGS);
    own.forEach((each, source) => parts.add(member, value, source, each));
    ofMembers.set(member, own);
    next += own.length;
  }
  return { flagsOf: (member) => ofMembers.get(member) ?? [], batches: parts.batches() };
}

/** Who has parts of the traces, and of how many rows. */
class SplitParts {
  readonly #ids: Uint8Array;
  readonly #rows: Uint32Array;
  readonly #has = new Map<ScanMember, Uint8Array>();

  /** @param ids ascending */
  constructor(ids: Uint8Array) {
    this.#ids = ids;
    this.#rows = new Uint32Array(ids.length / TRACE_ID_BYTES);
  }

  /** Adds those traces of a source's list that are flagged. */
  add(member: ScanMember, { ids, rows }: TraceLists, source: number, flags: Uint8Array): void {
    const own = ids[source] ?? NO_FLAGS;
    const has = this.#has.get(member) ?? new Uint8Array(this.#rows.length);
    this.#has.set(member, has);
    let at = 0;
    for (let trace = flags.indexOf(1); trace >= 0; trace = flags.indexOf(1, trace + 1)) {
      while (at < has.length && compareIds(this.#ids, at, own, trace) < 0) at++;
      has[at] = 1;
      this.#rows[at] = (this.#rows[at] ?? 0) + (rows[source]?.[trace] ?? 0);
    }
  }

  batches(): SplitBatch[] {
    const batches: SplitBatch[] = [];
    let first = 0;
    let rows = 0;
    this.#rows.forEach((own, index) => {
      rows += own;
      if (rows < BATCH_ROWS && index + 1 < this.#rows.length) return;
      batches.push(this.#batch(first, index + 1));
      first = index + 1;
      rows = 0;
    });
    return batches;
  }

  #batch(first: number, end: number): SplitBatch {
    const ids: string[] = [];
    for (let at = first; at < end; at++) {
      ids.push(toHex(this.#ids.subarray(TRACE_ID_BYTES * at, TRACE_ID_BYTES * (at + 1))));
    }
    return { ids, isOfAll: false, isIn: (member, index) => this.#has.get(member)?.[first + index] === 1 };
  }
}

const NO_FLAGS = new Uint8Array(0);

/** Order of sources over all members: duplicates of a span are resolved in it. */
export type SourceOrder = (member: ScanMember, source: number) => number;

/** @param sources in order */
export function orderOf(sources: readonly MemberSource[]): SourceOrder {
  const places = new Map<ScanMember, number[]>();
  for (const [place, { member, source }] of sources.entries()) {
    const own = places.get(member) ?? [];
    own[source] = place;
    places.set(member, own);
  }
  return (member, source) => places.get(member)?.[source] ?? 0;
}

/** The traces, whole, as sources: as many as it takes for each to be gathered at once. */
export async function gatherWhole(
  group: ScanGroup,
  order: SourceOrder,
  batch: SplitBatch,
  pass: GatherInput["pass"],
): Promise<TableSource[]> {
  try {
    return [await gatherAtOnce(group, order, batch, pass)];
  } catch (error) {
    const half = batch.ids.length >>> 1;
    if (half === 0 || !isTooLarge(error)) throw error;
    const first = { ...batch, ids: batch.ids.slice(0, half) };
    const rest: SplitBatch = {
      ...batch,
      ids: batch.ids.slice(half),
      isIn: (member, index) => batch.isIn(member, half + index),
    };
    const gathered = await gatherWhole(group, order, first, pass);
    return [...gathered, ...(await gatherWhole(group, order, rest, pass))];
  }
}

async function gatherAtOnce(
  group: ScanGroup,
  order: SourceOrder,
  { ids, isOfAll, isIn }: SplitBatch,
  pass: GatherInput["pass"],
): Promise<TableSource> {
  const said = await group.askEach("gather", (member) => ({
    ids: ids.filter((_, index) => isIn(member, index)),
    pass,
    isOfAll,
  }));
  const tables = said
    .flatMap(({ member, value }) =>
      value.map(({ source, table }) => ({ place: order(member, source), table })),
    )
    .toSorted((a, b) => a.place - b.place)
    .map(({ table }) => table);
  const names = new Set<ColumnName>(tables.flatMap(({ columns }) => columns.map(({ name }) => name)));
  return new TableSource(mergeTables(tables, [...names]));
}
