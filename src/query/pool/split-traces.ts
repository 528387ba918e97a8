// Traces that several members of a group, or several sources of one, have parts of: found, taken out and put together here.
// What is found out about blocks is kept for the next query over the same blocks; live spans change.
import {
  type ReadParts,
  type SplitBatch,
  type SplitCache,
  SplitSet,
  type WantedPart,
} from "../../traceql/engine/tables/split-cache.ts";
import type { SpanTable } from "../../traceql/engine/tables/span-table.ts";
import { BATCH_ROWS, splitTraces, type SplitTraces } from "../../traceql/engine/tables/split-traces.ts";
import type { TableSource } from "../../traceql/engine/tables/table-source.ts";
import { findTrace } from "../../traceql/engine/tables/trace-ids.ts";
import { TRACE_ID_BYTES } from "../../model/ids.ts";
import { toHex } from "../../util/hex.ts";
import { AppError } from "../../util/errors.ts";
import type { LeftOut, TraceList } from "./questions.ts";
import type { MemberSource, PooledScan } from "./pooled-scan.ts";
import { isTooLarge, type Said, type ScanGroup, type ScanMember } from "./scan-group.ts";
import { hashesIn, repeatedIn } from "./trace-digest.ts";

/** Live traces that are looked for in what is known of blocks: 2 MB to each Scanner. With more all is found out anew. */
const LIVE_TRACES_MAX = 500_000;

/**
 * Finds them. Of blocks that are not known in two rounds: digests of all traces, then the ids of the few that may be in
 * several sources. Otherwise in one, about the traces of live spans; without such in none.
 * @param sources all sources, in the order in which duplicates of a span are resolved
 * @throws AppError `too_large` when they are more than `maxSplitTraces`
 */
export async function findSplit(scan: PooledScan, sources: readonly MemberSource[]): Promise<PooledSplits> {
  const { group, splits, maxSplitTraces } = scan;
  const blocks = sources.filter(({ member }) => member.isOfBlocks);
  const key = blocks.map(({ job, rowCount }) => `${job} ${rowCount}`).join("\n");
  const live = [...new Set(sources.map(({ member }) => member))].filter(({ isOfBlocks }) => !isOfBlocks);
  const known = splits.known(key);
  const hashes = known && (await hashesOf(group, live));
  const isNews = hashes === undefined || hashes.length > LIVE_TRACES_MAX;
  const lists = isNews ? await listsOfAll(scan, sources) : await listsWith(group, sources, hashes);
  const ofBlocks = known ?? keepSplit(splits, key, splitOf(blocks, lists));
  const ofLive = live.length === 0 ? undefined : onlyLive(sources, splitOf(sources, lists));
  const found = new PooledSplits(
    group,
    { set: ofBlocks, sources: blocks },
    ofLive && { set: new SplitSet(ofLive), sources },
  );
  if (found.count > maxSplitTraces) throw tooMany(maxSplitTraces);
  return found;
}

/** What nobody has is not kept. */
function keepSplit(splits: SplitCache, key: string, traces: SplitTraces): SplitSet {
  return key === "" ? new SplitSet(traces) : splits.keep(key, traces);
}

function tooMany(maxSplitTraces: number): AppError {
  return new AppError(
    "too_large",
    `more than ${maxSplitTraces} traces are in several blocks: they are put together in memory, ask for a shorter time`,
  );
}

/** Some of the traces of each source. */
type ListsOf = ReadonlyMap<MemberSource, TraceList>;

async function hashesOf(group: ScanGroup, members: readonly ScanMember[]): Promise<Uint32Array> {
  if (members.length === 0) return new Uint32Array(0);
  const said = await group.ask(
    members.map((member) => ({ member, question: { name: "digest", input: undefined } as const })),
  );
  const lists = said.map(({ value }) => hashesIn(value));
  const hashes = new Uint32Array(lists.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const list of lists) {
    hashes.set(list, at);
    at += list.length;
  }
  return hashes;
}

/** The traces with hashes that are there twice. */
async function listsOfAll(
  { group, maxSplitTraces }: PooledScan,
  sources: readonly MemberSource[],
): Promise<ListsOf> {
  const members = [...new Set(sources.map(({ member }) => member))];
  const digests = await group.ask(
    members.map((member) => ({ member, question: { name: "digest", input: undefined } as const })),
  );
  const { repeated, count } = repeatedIn(digests.map(({ value }) => value));
  if (count > maxSplitTraces) throw tooMany(maxSplitTraces);
  if (count === 0) return new Map();
  const said = await group.ask(
    digests.map(({ member }, i) => {
      const input = repeated[i] ?? new Uint32Array(0);
      return { member, question: { name: "traces", input } as const };
    }),
  );
  return listsOf(sources, said);
}

/** The traces with these hashes. */
async function listsWith(
  group: ScanGroup,
  sources: readonly MemberSource[],
  hashes: Uint32Array,
): Promise<ListsOf> {
  if (hashes.length === 0) return new Map();
  const members = [...new Set(sources.map(({ member }) => member))];
  const said = await group.ask(
    members.map((member) => ({ member, question: { name: "traces", input: hashes } as const })),
  );
  return listsOf(sources, said);
}

function listsOf(sources: readonly MemberSource[], said: readonly Said<readonly TraceList[]>[]): ListsOf {
  const byMember = new Map(said.map(({ member, value }) => [member, value]));
  return new Map(
    sources.flatMap((each) => {
      const list = byMember.get(each.member)?.[each.source];
      return list === undefined ? [] : [[each, list] as const];
    }),
  );
}

function splitOf(sources: readonly MemberSource[], lists: ListsOf): SplitTraces {
  const own = sources.map((source) => lists.get(source));
  return splitTraces(
    own.map((list) => list?.ids ?? new Uint8Array(0)),
    (index, at) => ({ trace: own[index]?.traces[at] ?? 0, rows: own[index]?.rows[at] ?? 0 }),
  );
}

/** Those of the traces that have live spans. */
function onlyLive(sources: readonly MemberSource[], { ids, rows, parts }: SplitTraces): SplitTraces {
  const isLive = new Uint8Array(rows.length);
  for (const [index, { places }] of parts.entries()) {
    if (sources[index]?.member.isOfBlocks === false) for (const place of places) isLive[place] = 1;
  }
  const kept = Uint32Array.from(isLive.keys()).filter((place) => isLive[place] === 1);
  const newPlaces = new Map(Array.from(kept, (place, at) => [place, at]));
  const keptIds = new Uint8Array(TRACE_ID_BYTES * kept.length);
  kept.forEach((place, at) =>
    keptIds.set(ids.subarray(TRACE_ID_BYTES * place, TRACE_ID_BYTES * (place + 1)), TRACE_ID_BYTES * at),
  );
  return {
    ids: keptIds,
    rows: kept.map((place) => rows[place] ?? 0),
    parts: parts.map(({ places, traces }) => ({
      places: places.filter((place) => isLive[place] === 1).map((place) => newPlaces.get(place) ?? 0),
      traces: traces.filter((_, i) => isLive[places[i] ?? 0] === 1),
    })),
  };
}

/** Split traces, and the sources that they are in. */
interface SetOfSources {
  readonly set: SplitSet;
  readonly sources: readonly MemberSource[];
}

/** The split traces of one query. */
export class PooledSplits {
  readonly #group: ScanGroup;
  readonly #blocks: SetOfSources;
  readonly #live: SetOfSources | undefined;
  /** 1 for each of the blocks' traces that has live spans too. */
  readonly #isLive: Uint8Array;
  #liveCount = 0;
  #reads: (PromiseWithResolvers<readonly SpanTable[]> & { readonly parts: readonly MemberPart[] })[] = [];

  constructor(group: ScanGroup, blocks: SetOfSources, live: SetOfSources | undefined) {
    this.#group = group;
    this.#blocks = blocks;
    this.#live = live;
    const { ids } = blocks.set.traces;
    this.#isLive = new Uint8Array(ids.length / TRACE_ID_BYTES);
    for (const id of live === undefined ? [] : idsOf(live.set.traces)) {
      const place = findTrace(ids, id);
      if (place >= 0) this.#isLive[place] = 1;
      else this.#liveCount++;
    }
  }

  get count(): number {
    return this.#isLive.length + this.#liveCount;
  }

  /** What a member leaves out. */
  leftOutOf(member: ScanMember): LeftOut {
    const leftOut: Uint32Array[] = [];
    for (const { set, sources } of [this.#blocks, ...(this.#live ? [this.#live] : [])]) {
      for (const [index, { traces }] of set.traces.parts.entries()) {
        const own = sources[index];
        if (own?.member !== member) continue;
        const before = leftOut[own.source];
        leftOut[own.source] = before === undefined ? traces : Uint32Array.from([...before, ...traces]);
      }
    }
    return Array.from(leftOut, (traces) => traces ?? new Uint32Array(0));
  }

  /** The traces, whole, with what the first pass needs: so many at a time as are in memory together. */
  async *whole(): AsyncGenerator<TableSource> {
    const own = batchesOf(this.#blocks, this.#isLive);
    const live = this.#live ? batchesOf(this.#live) : [];
    for (const together of inGroups([...own, ...live])) {
      yield* this.#atOnce(
        together,
        ({ batch, sources, leftOut }) =>
          batch.gather((index) => sources[index]?.split.first ?? [], this.#reader(sources), leftOut),
        (each) => {
          const [first, second] = each.batch.halves();
          return first && second
            ? [
                { ...each, batch: first },
                { ...each, batch: second },
              ]
            : undefined;
        },
      );
    }
  }

  /** Some of them, whole, with what results show. */
  async *shown(traceIds: readonly string[]): AsyncGenerator<TableSource> {
    const liveIds = this.#live?.set.traces.ids ?? new Uint8Array(0);
    const byLive = Map.groupBy(traceIds, (id) => findTrace(liveIds, id) >= 0);
    const own = { ...this.#blocks, ids: byLive.get(false) ?? [] };
    const live = this.#live ? [{ ...this.#live, ids: byLive.get(true) ?? [] }] : [];
    yield* this.#atOnce(
      [own, ...live].filter(({ ids }) => ids.length > 0),
      ({ set, sources, ids }) =>
        set.show(ids, (index) => sources[index]?.split.second ?? [], this.#reader(sources)),
      (each) => {
        const half = each.ids.length >>> 1;
        const [first, second] = [each.ids.slice(0, half), each.ids.slice(half)];
        return half === 0
          ? undefined
          : [
              { ...each, ids: first },
              { ...each, ids: second },
            ];
      },
    );
  }

  /** What is asked for together is one question. When it is too much for one, one by one, then in halves. */
  async *#atOnce<T>(
    all: readonly T[],
    gather: (each: T) => Promise<TableSource>,
    halve: (each: T) => readonly T[] | undefined,
  ): AsyncGenerator<TableSource> {
    try {
      yield* await Promise.all(all.map((each) => gather(each)));
    } catch (error) {
      const [first, ...others] = all;
      const parts = first !== undefined && others.length === 0 ? halve(first) : all;
      if (parts === undefined || !isTooLarge(error)) throw error;
      for (const part of parts) yield* this.#atOnce([part], gather, halve);
    }
  }

  #reader(sources: readonly MemberSource[]): ReadParts {
    return (wanted) => {
      const parts = wanted.flatMap((part) => {
        const own = sources[part.source];
        return own === undefined ? [] : [{ member: own.member, part: { ...part, source: own.source } }];
      });
      const read = { parts, ...Promise.withResolvers<readonly SpanTable[]>() };
      this.#reads.push(read);
      if (this.#reads.length === 1) queueMicrotask(() => void this.#readAll());
      return read.promise;
    };
  }

  /** What was asked for in one turn. */
  async #readAll(): Promise<void> {
    const reads = this.#reads;
    this.#reads = [];
    try {
      const tables = await this.#gather(reads.flatMap(({ parts }) => parts));
      let at = 0;
      for (const { parts, resolve } of reads) resolve(tables.slice(at, (at += parts.length)));
    } catch (error) {
      for (const { reject } of reads) reject(error);
    }
  }

  async #gather(parts: readonly MemberPart[]): Promise<SpanTable[]> {
    const byMember = Map.groupBy(
      parts.map((each, at) => ({ at, ...each })),
      ({ member }) => member,
    );
    const said = await this.#group.ask(
      [...byMember].map(([member, own]) => {
        const question = { name: "gather", input: own.map(({ part }) => part) } as const;
        return { member, question };
      }),
    );
    const tables: SpanTable[] = [];
    for (const { member, value } of said) {
      byMember.get(member)?.forEach(({ at }, i) => {
        const table = value[i];
        if (table !== undefined) tables[at] = table;
      });
    }
    return tables;
  }
}

/** A part of one of a member's sources. */
interface MemberPart {
  readonly member: ScanMember;
  readonly part: WantedPart;
}

/** @param leftOut see SplitBatch */
function batchesOf({ set, sources }: SetOfSources, leftOut?: Uint8Array) {
  return set.batches.map((batch) => ({ batch, sources, leftOut }));
}

/** In groups of such as are one batch together. */
function inGroups<T extends { readonly batch: SplitBatch }>(all: readonly T[]): T[][] {
  const groups: T[][] = [];
  let rows = Infinity;
  for (const each of all) {
    rows += each.batch.rows;
    if (rows <= BATCH_ROWS) groups.at(-1)?.push(each);
    else {
      groups.push([each]);
      rows = each.batch.rows;
    }
  }
  return groups;
}

function idsOf({ ids }: SplitTraces): string[] {
  return Array.from({ length: ids.length / TRACE_ID_BYTES }, (_, i) =>
    toHex(ids.subarray(TRACE_ID_BYTES * i, TRACE_ID_BYTES * (i + 1))),
  );
}
