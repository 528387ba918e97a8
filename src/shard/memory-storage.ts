// Shard storage in memory, for tests and simulation. It holds to the same contract as the SQL adapter.
import type { SegmentRow } from "../segment/rows.ts";
import { must } from "../util/assert.ts";
import type { BlockTail, CatalogueBlock, HeadRow, ShardStorage } from "./storage.ts";

/** Keeps everything, so that a Shard built anew on the same instance is one after an eviction. */
export class MemoryShardStorage implements ShardStorage {
  readonly #segments = new Map<number, Map<number, SegmentRow>>();
  readonly #blocks = new Map<number, { block: CatalogueBlock; tail: BlockTail }>();
  #rowsWritten = 0;
  #alarm: number | null = null;

  epochs(): number[] {
    return [...this.#segments.keys()].sort((a, b) => a - b);
  }

  appendRows(epoch: number, firstRow: number, rows: readonly SegmentRow[], create: boolean): void {
    // CREATE TABLE counts two rows, as SQLite does.
    if (create) this.#rowsWritten += 2;
    if (create) this.#segments.set(epoch, new Map());
    const table = must(this.#segments.get(epoch), `epoch ${epoch} has a table`);
    rows.forEach((row, i) => {
      table.set(firstRow + i, { head: new Uint8Array(row.head), body: new Uint8Array(row.body) });
    });
    this.#rowsWritten += rows.length;
  }

  *heads(epoch: number): Generator<HeadRow> {
    for (const [row, { head }] of this.#table(epoch)) yield { row, head };
  }

  *bodies(epoch: number, from: number): Generator<Uint8Array> {
    const table = this.#table(epoch);
    for (let row = from; ; row++) {
      const found = table.get(row);
      if (found === undefined) return;
      yield found.body;
    }
  }

  commitBlock(epoch: number, block: CatalogueBlock, tail: BlockTail): void {
    this.#blocks.set(block.id, { block, tail: copyOf(tail) });
    this.#segments.delete(epoch);
    this.#rowsWritten++;
  }

  blocks(): CatalogueBlock[] {
    return [...this.#blocks.values()].map(({ block }) => block).sort((a, b) => a.id - b.id);
  }

  lastBlockId(): number {
    return Math.max(0, ...this.#blocks.keys());
  }

  blockTail(id: number): BlockTail {
    return copyOf(must(this.#blocks.get(id), `block ${id} is in the catalogue`).tail);
  }

  rowsWritten(): number {
    return this.#rowsWritten;
  }

  async sync(): Promise<void> {}

  setAlarm(atMs: number | null): void {
    this.#alarm = atMs;
    this.#rowsWritten++;
  }

  async getAlarm(): Promise<number | null> {
    return this.#alarm;
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
