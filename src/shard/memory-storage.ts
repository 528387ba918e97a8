// Shard storage in memory, for tests and simulation. It holds to the same contract as the SQL adapter.
import type { SegmentRow } from "../segment/rows.ts";
import type { BlockTail, CatalogueBlock, TimeRange } from "../store/catalogue.ts";
import type { ShardJob } from "../store/rpc.ts";
import { must } from "../util/assert.ts";
import type {
  CatalogueChange,
  FilterGroup,
  FilterRow,
  GroupRows,
  HeadRow,
  LookupTail,
  RetiredObject,
  ShardStorage,
  StoredBytes,
  UsageRow,
} from "./storage.ts";
import { retentionStart, USAGE_DAYS_KEPT } from "./storage.ts";

/** Keeps everything, so that a Shard built anew on the same instance is one after an eviction. */
export class MemoryShardStorage implements ShardStorage {
  #segments = new Map<number, Map<number, SegmentRow>>();
  #young = new Map<number, { block: CatalogueBlock; tail: BlockTail }>();
  #indexed = new Map<number, { block: CatalogueBlock; tail: LookupTail }>();
  #groups = new Map<number, FilterGroup>();
  /** By slot, then bucket. */
  #rows = new Map<number, readonly Uint8Array[]>();
  #retired = new Map<number, RetiredObject>();
  #settings = new Map<string, string>();
  /** By day. */
  #usage = new Map<number, UsageRow>();
  #job: ShardJob | undefined;
  #lastId = 0;
  #rowsWritten = 0;
  #alarm: number | null = null;

  /** One that goes its own way from here, with rows counted anew. */
  copy(): MemoryShardStorage {
    const copy = new MemoryShardStorage();
    copy.#segments = new Map([...this.#segments].map(([epoch, rows]) => [epoch, new Map(rows)]));
    copy.#young = new Map(this.#young);
    copy.#indexed = new Map(this.#indexed);
    copy.#groups = new Map(this.#groups);
    copy.#rows = new Map(this.#rows);
    copy.#retired = new Map(this.#retired);
    copy.#settings = new Map(this.#settings);
    copy.#usage = new Map(this.#usage);
    copy.#job = this.#job;
    copy.#lastId = this.#lastId;
    copy.#alarm = this.#alarm;
    return copy;
  }

  /** The alarm that is set. */
  get alarm(): number | null {
    return this.#alarm;
  }

  epochs(): number[] {
    return [...this.#segments.keys()].sort((a, b) => a - b);
  }

  appendRows(epoch: number, firstRow: number, rows: readonly SegmentRow[], create: boolean): void {
    // CREATE TABLE counts two rows, as SQLite does.
    if (create) this.#rowsWritten += 2;
    if (create) this.#segments.set(epoch, new Map());
    const table = must(this.#segments.get(epoch), `epoch ${epoch} has a table`);
    rows.forEach((row, i) => {
      table.set(firstRow + i, {
        head: new Uint8Array(row.head),
        body: new Uint8Array(row.body),
        ...(row.usage && { usage: row.usage }),
      });
    });
    this.#rowsWritten += rows.length;
  }

  *heads(epoch: number): Generator<HeadRow> {
    for (const [row, { head, usage }] of this.#table(epoch)) yield { row, head, ...(usage && { usage }) };
  }

  *bodies(epoch: number, from: number): Generator<Uint8Array> {
    const table = this.#table(epoch);
    for (let row = from; ; row++) {
      const found = table.get(row);
      if (found === undefined) return;
      yield found.body;
    }
  }

  commitBlock(epoch: number, block: CatalogueBlock, tail: BlockTail, usage: readonly UsageRow[] = []): void {
    this.#addYoung(block, tail);
    this.#segments.delete(epoch);
    this.#putUsage(usage);
  }

  saveUsage(rows: readonly UsageRow[]): void {
    this.#putUsage(rows);
  }

  usageRows(from: number, to: number): UsageRow[] {
    return [...this.#usage.values()]
      .filter(({ day }) => day >= from && day <= to)
      .sort((a, b) => a.day - b.day);
  }

  newestUsage(limit: number): UsageRow[] {
    return this.usageRows(0, Infinity).slice(-limit);
  }

  storedBytes(): StoredBytes {
    return { sqlite: 0, blocks: this.#all().reduce((sum, { byteLength }) => sum + byteLength, 0) };
  }

  change({ remove, add, groups, rows, retire, forget, job, settings }: CatalogueChange): void {
    // What may throw comes first: a change is whole or not at all.
    for (const id of rows?.blocks ?? []) must(this.#young.get(id), `block ${id} is young`);
    for (const id of remove) this.#remove(id);
    for (const { block, tail } of add) this.#addYoung(block, tail);
    for (const group of groups) this.#putGroup(group);
    if (rows !== undefined) this.#putRows(rows);
    for (const object of retire) this.#retired.set(object.id, object);
    for (const id of forget) this.#retired.delete(id);
    this.#rowsWritten += retire.length + forget.length;
    if (job !== undefined) {
      this.#job = job ?? undefined;
      this.#rowsWritten++;
    }
    for (const [name, value] of Object.entries(settings)) this.#putSetting(name, value);
    this.#lastId = this.lastId();
  }

  youngBlocks(): CatalogueBlock[] {
    return this.#sorted([...this.#young.values()]);
  }

  block(id: number): CatalogueBlock | undefined {
    return (this.#young.get(id) ?? this.#indexed.get(id))?.block;
  }

  blocksBetween({ startSeconds = -Infinity, endSeconds = Infinity }: TimeRange): CatalogueBlock[] {
    return this.#all().filter(
      ({ minStartSeconds, maxEndSeconds }) => maxEndSeconds >= startSeconds && minStartSeconds <= endSeconds,
    );
  }

  blocksEndedBefore(ms: number, limit: number): CatalogueBlock[] {
    return this.#all()
      .filter((block) => retentionStart(block) < ms)
      .slice(0, limit);
  }

  firstEnd(): number | undefined {
    const ends = this.#all().map(retentionStart);
    return ends.length === 0 ? undefined : Math.min(...ends);
  }

  filter(id: number): Uint8Array {
    return new Uint8Array(must(this.#young.get(id), `block ${id} is young`).tail.filter);
  }

  lookupTail(id: number): LookupTail {
    const { tail } = must(this.#young.get(id) ?? this.#indexed.get(id), `block ${id} is in the catalogue`);
    return { traceIndex: new Uint8Array(tail.traceIndex), resources: new Uint8Array(tail.resources) };
  }

  filterGroups(): FilterGroup[] {
    return [...this.#groups.values()].sort((a, b) => a.slot - b.slot);
  }

  *filterRows(bucket: number): Generator<FilterRow> {
    for (const slot of [...this.#rows.keys()].sort((a, b) => a - b)) {
      const filter = this.#rows.get(slot)?.[bucket];
      if (filter !== undefined) yield { slot, filter: new Uint8Array(filter) };
    }
  }

  job(): ShardJob | undefined {
    return this.#job;
  }

  retiredBefore(ms: number, limit: number): RetiredObject[] {
    return [...this.#retired.values()]
      .filter(({ deleteAtMs }) => deleteAtMs <= ms)
      .sort((a, b) => a.deleteAtMs - b.deleteAtMs || a.id - b.id)
      .slice(0, limit);
  }

  firstRetired(): number | undefined {
    return this.retiredBefore(Infinity, 1)[0]?.deleteAtMs;
  }

  isRetired(id: number): boolean {
    return this.#retired.has(id);
  }

  setting(name: string): string | undefined {
    return this.#settings.get(name);
  }

  lastId(): number {
    return Math.max(
      this.#lastId,
      this.#job?.id ?? 0,
      ...this.#young.keys(),
      ...this.#indexed.keys(),
      ...this.#retired.keys(),
    );
  }

  rowsWritten(): number {
    return this.#rowsWritten;
  }

  rowsRead(): number {
    return 0;
  }

  async sync(): Promise<void> {}

  setAlarm(atMs: number | null): void {
    this.#alarm = atMs;
    this.#rowsWritten++;
  }

  async getAlarm(): Promise<number | null> {
    return this.#alarm;
  }

  async deleteAll(): Promise<void> {
    for (const map of [
      this.#segments,
      this.#young,
      this.#indexed,
      this.#groups,
      this.#rows,
      this.#retired,
      this.#settings,
      this.#usage,
    ]) {
      map.clear();
    }
    this.#job = undefined;
    this.#lastId = 0;
    this.#alarm = null;
  }

  #putUsage(rows: readonly UsageRow[]): void {
    for (const row of rows) this.#usage.set(row.day, row);
    this.#rowsWritten += rows.length;
    const newest = Math.max(...rows.map(({ day }) => day));
    for (const day of this.#usage.keys()) {
      if (day < newest - USAGE_DAYS_KEPT && this.#usage.delete(day)) this.#rowsWritten++;
    }
  }

  #addYoung(block: CatalogueBlock, tail: BlockTail): void {
    this.#young.set(block.id, { block, tail: copyOf(tail) });
    this.#rowsWritten++;
  }

  #remove(id: number): void {
    if (this.#young.delete(id)) this.#rowsWritten++;
    if (this.#indexed.delete(id)) this.#rowsWritten += 2;
  }

  #putGroup(group: FilterGroup): void {
    this.#rowsWritten++;
    if (group.members.every((member) => member === 0)) this.#groups.delete(group.slot);
    else this.#groups.set(group.slot, group);
  }

  #putRows({ slot, blocks, filters }: GroupRows): void {
    const moved = blocks.map((id) => ({
      block: must(this.block(id), `block ${id} is in the catalogue`),
      tail: this.lookupTail(id),
    }));
    this.#rows.set(
      slot,
      filters.map((filter) => new Uint8Array(filter)),
    );
    this.#rowsWritten += filters.length;
    for (const { block, tail } of moved) {
      this.#remove(block.id);
      this.#indexed.set(block.id, { block, tail });
      this.#rowsWritten += 2;
    }
  }

  #putSetting(name: string, value: string | null): void {
    if (value === null) this.#settings.delete(name);
    else this.#settings.set(name, value);
    this.#rowsWritten++;
  }

  #all(): CatalogueBlock[] {
    return this.#sorted([...this.#young.values(), ...this.#indexed.values()]);
  }

  #sorted(entries: readonly { readonly block: CatalogueBlock }[]): CatalogueBlock[] {
    return entries.map(({ block }) => block).sort((a, b) => a.id - b.id);
  }

  #table(epoch: number): Map<number, SegmentRow> {
    return must(this.#segments.get(epoch), `epoch ${epoch} has a table`);
  }
}

function copyOf(tail: BlockTail): BlockTail {
  return {
    filter: new Uint8Array(tail.filter),
    traceIndex: new Uint8Array(tail.traceIndex),
    resources: new Uint8Array(tail.resources),
  };
}
