// A shard's storage that forgets, as a Durable Object's does when it dies before its writes were confirmed.
//
// Assumed of the platform: writes that follow each other without an await are one unit, all or nothing; units become
// durable in the order in which they were made; `sync` resolves when all units so far are durable. A crash keeps the
// durable ones and any number of those that come next. Nothing leaves the object before (output gate) is not assumed:
// the model is harsher than the platform there.
import { MemoryShardStorage } from "../../src/shard/memory-storage.ts";
import type {
  CatalogueChange,
  FilterGroup,
  FilterRow,
  HeadRow,
  LookupTail,
  RetiredObject,
  ShardStorage,
  StoredBytes,
  UsageRow,
} from "../../src/shard/storage.ts";
import type { SegmentRow } from "../../src/segment/rows.ts";
import type { BlockTail, CatalogueBlock, TimeRange } from "../../src/store/catalogue.ts";
import type { ShardJob } from "../../src/store/rpc.ts";
import type { Random } from "../support/random.ts";

type Write = (storage: ShardStorage) => void;

export interface StorageHooks {
  /** Throws when the call is to fail. */
  readonly fault: (call: "append" | "commit" | "read") => void;
  /** Resolves when the device has written; rejects when it cannot. */
  readonly device: () => Promise<void>;
  readonly count: (what: string) => void;
  /** Something does not hold. */
  readonly fail: (what: string) => void;
}

export class SimStorage implements ShardStorage {
  readonly #hooks: StorageHooks;
  /** As the object sees it. */
  #current = new MemoryShardStorage();
  #alarm: number | null = null;
  /** As it is after a crash that keeps nothing else. */
  #durable = new MemoryShardStorage();
  #durableAlarm: number | null = null;
  /** Units that are not durable yet, oldest first. */
  #units: Write[][] = [];
  #unitIsOpen = false;
  #version = 0;
  readonly #alarmWrites = new Set<Write>();

  constructor(hooks: StorageHooks) {
    this.#hooks = hooks;
  }

  get alarm(): number | null {
    return this.#alarm;
  }

  get hasDurableAlarm(): boolean {
    return this.#durableAlarm !== null;
  }

  get isDurable(): boolean {
    return this.#units.length === 0;
  }

  /** The alarm as the runtime changes it, at once durable. */
  setDurableAlarm(atMs: number | null): void {
    this.#alarm = atMs;
    this.#durableAlarm = atMs;
    // What the object wrote of it before is overtaken.
    for (const unit of this.#units)
      unit.splice(0, unit.length, ...unit.filter((write) => !this.#alarmWrites.has(write)));
    this.#alarmWrites.clear();
  }

  /** Loses units that were not synced: all but the first `random` many. Without `random` nothing is lost. */
  crash(random?: Random): number {
    const kept = random === undefined ? this.#units.length : random.below(this.#units.length + 1);
    const lost = this.#units.length - kept;
    this.#settle(kept);
    this.#units = [];
    this.#unitIsOpen = false;
    this.#current = this.#durable.copy();
    this.#version++;
    this.#alarm = this.#durableAlarm;
    return lost;
  }

  /** The end of everything that is stored, the alarm too. Nothing may wait to become durable. */
  lose(): void {
    this.#durable = new MemoryShardStorage();
    this.#current = new MemoryShardStorage();
    this.#version++;
    this.#alarm = null;
    this.#durableAlarm = null;
  }

  #settle(count: number): void {
    for (const unit of this.#units.splice(0, count)) {
      for (const write of unit) {
        write(this.#durable);
        this.#alarmWrites.delete(write);
      }
    }
  }

  hasDurableJob(id: number): boolean {
    return this.#durable.job()?.id === id;
  }

  /** Changes whenever the catalogue may have. */
  get version(): number {
    return this.#version;
  }

  #write(write: Write): void {
    this.#version++;
    write(this.#current);
    this.#note(write);
  }

  #note(write: Write): void {
    if (!this.#unitIsOpen) {
      this.#unitIsOpen = true;
      this.#units.push([]);
      // Runs as soon as the code under test awaits something.
      queueMicrotask(() => {
        this.#unitIsOpen = false;
      });
    }
    this.#units.at(-1)?.push(write);
  }

  appendRows(epoch: number, firstRow: number, rows: readonly SegmentRow[], create: boolean): void {
    this.#hooks.fault("append");
    this.#write((storage) => storage.appendRows(epoch, firstRow, rows, create));
  }

  commitBlock(epoch: number, block: CatalogueBlock, tail: BlockTail, usage?: readonly UsageRow[]): void {
    this.#hooks.fault("commit");
    this.#write((storage) => storage.commitBlock(epoch, block, tail, usage));
  }

  saveUsage(rows: readonly UsageRow[]): void {
    this.#hooks.fault("commit");
    this.#write((storage) => storage.saveUsage(rows));
  }

  usageRows(from: number, to: number): UsageRow[] {
    return this.#current.usageRows(from, to);
  }

  newestUsage(limit: number): UsageRow[] {
    return this.#current.newestUsage(limit);
  }

  storedBytes(): StoredBytes {
    return this.#current.storedBytes();
  }

  change(change: CatalogueChange): void {
    this.#hooks.fault("commit");
    this.#tell(change);
    this.#write((storage) => storage.change(change));
  }

  #tell({ add, remove, rows, job, retire }: CatalogueChange): void {
    const open = this.#current.job();
    const isVoid = open?.kind === "merge" && job === null && !add.some(({ block }) => block.id === open.id);
    if (isVoid && !retire.some(({ id }) => id === open.id))
      this.#hooks.fail(`merge ${open.id} comes to nothing, and its output is left`);
    if (remove.length > 0 && add.length === 0) this.#hooks.count("retention: block removed");
    if (rows === undefined) return;
    const isTaken = [...this.#current.filterRows(0)].some(({ slot }) => slot === rows.slot);
    if (isTaken) this.#hooks.count("shard: slot of a group taken again");
  }

  async deleteAll(): Promise<void> {
    this.#hooks.fault("commit");
    this.#write((storage) => void storage.deleteAll());
    this.setAlarm(null);
    await this.sync();
  }

  setAlarm(atMs: number | null): void {
    this.#alarm = atMs;
    const write = (): void => {
      this.#durableAlarm = atMs;
    };
    this.#alarmWrites.add(write);
    this.#note(write);
  }

  async getAlarm(): Promise<number | null> {
    return this.#alarm;
  }

  async sync(): Promise<void> {
    const upTo = this.#units.at(-1);
    await this.#hooks.device();
    const at = upTo === undefined ? -1 : this.#units.indexOf(upTo);
    this.#settle(at + 1);
  }

  epochs(): number[] {
    return this.#current.epochs();
  }

  heads(epoch: number): Iterable<HeadRow> {
    return this.#current.heads(epoch);
  }

  bodies(epoch: number, row: number): Iterable<Uint8Array> {
    this.#hooks.fault("read");
    return this.#current.bodies(epoch, row);
  }

  youngBlocks(): CatalogueBlock[] {
    return this.#current.youngBlocks();
  }

  block(id: number): CatalogueBlock | undefined {
    return this.#current.block(id);
  }

  blocksBetween(range: TimeRange): CatalogueBlock[] {
    return this.#current.blocksBetween(range);
  }

  blocksEndedBefore(ms: number, limit: number): CatalogueBlock[] {
    return this.#current.blocksEndedBefore(ms, limit);
  }

  firstEnd(): number | undefined {
    return this.#current.firstEnd();
  }

  filter(id: number): Uint8Array {
    return this.#current.filter(id);
  }

  lookupTail(id: number): LookupTail {
    return this.#current.lookupTail(id);
  }

  filterGroups(): FilterGroup[] {
    return this.#current.filterGroups();
  }

  filterRows(bucket: number): Iterable<FilterRow> {
    return this.#current.filterRows(bucket);
  }

  job(): ShardJob | undefined {
    return this.#current.job();
  }

  retiredBefore(ms: number, limit: number): RetiredObject[] {
    return this.#current.retiredBefore(ms, limit);
  }

  firstRetired(): number | undefined {
    return this.#current.firstRetired();
  }

  isRetired(id: number): boolean {
    return this.#current.isRetired(id);
  }

  setting(name: string): string | undefined {
    return this.#current.setting(name);
  }

  lastId(): number {
    return this.#current.lastId();
  }

  rowsWritten(): number {
    return this.#current.rowsWritten();
  }

  rowsRead(): number {
    return this.#current.rowsRead();
  }
}
