// What must hold between any two steps, past all delays and faults.
import { openBlock } from "../../src/block/reader.ts";
import { readTracePages } from "../../src/block/read-trace.ts";
import { ObjectSource } from "../../src/compaction/object-source.ts";
import { parseTraceId } from "../../src/model/ids.ts";
import { findTrace } from "../../src/query/find-trace.ts";
import type { CatalogueBlock } from "../../src/store/catalogue.ts";
import { parseBlockKey, shardName } from "../../src/store/keys.ts";
import type { StoredObject } from "../../src/store/object-store.ts";
import type { TenantView } from "../../src/store/tenant-rpc.ts";
import { readerMaxAgeMs, readShards, relevantVersions } from "../../src/tenant/shard-map.ts";
import { traceHash } from "../../src/util/hash.ts";
import { toHex } from "../../src/util/hex.ts";
import type { Clients } from "./clients.ts";
import { Violation } from "./model.ts";
import { type Places, type ShardObject, TENANT, type TenantObject } from "./objects.ts";
import type { SimContext } from "./sim-object.ts";

export interface Checked extends Places {
  readonly shards: readonly ShardObject[];
}

/** What the catalogue said when it was looked at last. */
interface Seen {
  version: number;
  /** By id, the place of the block: its key, and whether it is in a group. */
  blocks: ReadonlyMap<number, string>;
}

export class Checks {
  readonly #context: SimContext;
  readonly #places: Checked;
  readonly #clients: Clients;
  readonly #seen = new Map<number, Seen>();
  /** Trace ids of the blocks that were ever in a catalogue, by key. */
  readonly #traceIds = new Map<string, readonly string[]>();

  constructor(context: SimContext, places: Checked, clients: Clients) {
    this.#context = context;
    this.#places = places;
    this.#clients = clients;
  }

  /** Notes the traces of all blocks that came, went or changed their place in a catalogue since the last time. */
  async watch(): Promise<void> {
    for (const shard of this.#places.shards) {
      const { version } = shard.storage;
      const before = this.#seen.get(shard.index);
      if (before?.version === version) continue;
      const young = new Set(shard.storage.youngBlocks().map(({ id }) => id));
      const all = shard.storage.blocksBetween({});
      const blocks = new Map(all.map(({ id, key }) => [id, `${key} ${young.has(id)}`]));
      // A shard that is being deleted loses its objects first.
      const isDeleting = shard.storage.setting("deleting") !== undefined;
      for (const block of isDeleting ? [] : all) {
        if (!this.#traceIds.has(block.key)) this.#traceIds.set(block.key, await this.#readTraceIds(block));
      }
      this.#seen.set(shard.index, { version, blocks });
      this.#touchChanged(before?.blocks ?? new Map(), blocks);
    }
  }

  #touchChanged(before: ReadonlyMap<number, string>, after: ReadonlyMap<number, string>): void {
    for (const id of new Set([...before.keys(), ...after.keys()])) {
      if (before.get(id) === after.get(id)) continue;
      for (const place of [before.get(id), after.get(id)]) {
        const [key = ""] = place?.split(" ") ?? [];
        for (const traceId of this.#traceIds.get(key) ?? [])
          if (this.#clients.model.knows(traceId)) this.#clients.touched.add(traceId);
      }
    }
  }

  async #readTraceIds(block: CatalogueBlock): Promise<string[]> {
    try {
      const opened = await openBlock(
        new ObjectSource(this.#places.store.stored, block, async () => undefined),
      );
      const ids = await opened.traceIds();
      return Array.from({ length: ids.length / 16 }, (_, i) => toHex(ids.subarray(16 * i, 16 * i + 16)));
    } catch (error) {
      throw new Violation(`a block of the catalogue cannot be read: ${String(error)}`);
    }
  }

  /** Looks up the traces that were touched, as seen by the Worker that knows least and by one that knows all. */
  async checkTouched(): Promise<void> {
    for (const traceId of this.#clients.touched) await this.checkTrace(traceId);
    this.#clients.touched.clear();
  }

  /** Looks every trace up that was ever sent. */
  async checkAll(): Promise<void> {
    for (const traceId of this.#clients.batches.traceIds) await this.checkTrace(traceId);
  }

  async checkTrace(traceId: string): Promise<void> {
    const tenant = this.#places.tenant();
    const current = this.#shardsFor(traceId, tenant.view);
    const stale = this.#shardsFor(traceId, this.#stalest(tenant));
    await this.#lookUp(traceId, current);
    if (stale.join() === current.join()) return;
    this.#context.count("check: stale map");
    await this.#lookUp(traceId, stale);
  }

  #stalest(tenant: TenantObject): TenantView {
    return tenant.viewAt(this.#context.scheduler.trueMs - readerMaxAgeMs(this.#places.limits));
  }

  #shardsFor(traceId: string, view: TenantView): number[] {
    const retentionMs = view.retentionMs ?? this.#places.limits.blockRetentionMs;
    const relevant = relevantVersions(view.versions, this.#context.scheduler.trueMs, retentionMs);
    return readShards(relevant, traceHash(parseTraceId(traceId)));
  }

  async #lookUp(traceId: string, indexes: readonly number[]): Promise<void> {
    const { faults, count } = this.#context;
    const { limits, store } = this.#places;
    const pieces: Uint8Array[] = [];
    let gets = 0;
    let refs = 0;
    faults.suspended = true;
    count("check: traces");
    const shards = indexes.map((index) => ({
      name: shardName(TENANT, index),
      shard: {
        noteFailedReads: async () => undefined,
        findTrace: async (id: Uint8Array) => {
          const { live, blocks } = this.#places.shard(index).open().state.findTrace(id);
          refs += blocks.length;
          const whole = live instanceof Uint8Array ? live : await bytesOf(live);
          pieces.push(whole.slice());
          return { live: whole, blocks };
        },
      },
    }));
    const found = await findTrace(
      {
        limits,
        shards,
        objects: {
          getRange: (key, range, etag) => {
            gets++;
            count("check: blocks read");
            return store.stored.getRange(key, range, etag);
          },
        },
        readPages: async function* readPages(pages, resources, id) {
          for await (const piece of readTracePages(pages, resources, id)) {
            pieces.push(piece.slice());
            yield piece;
          }
        },
      },
      { traceId: parseTraceId(traceId), mode: "all", startSeconds: 0, endSeconds: 0 },
    );
    faults.suspended = false;
    if (found.failures.length > 0) throw new Violation(`not readable: ${JSON.stringify(found.failures)}`);
    if (gets !== refs) throw new Violation(`${gets} reads for ${refs} blocks`);
    const isWhole = indexes.every((index) => !this.#clients.hidden.has(index));
    const must = isWhole ? this.#clients.model.mustFind(traceId) : new Set<string>();
    const isLasting = indexes.every((index) => this.#places.shard(index).storage.isDurable);
    this.#clients.checkAnswer(traceId, found, { must, isWhole, isLasting });
    this.#clients.model.checkCopies(pieces);
  }

  /** No spans wait for a wake-up that will not come. */
  checkAlarms(): void {
    for (const shard of this.#places.shards) {
      // A shard that is being deleted is called by its tenant.
      if (shard.storage.setting("deleting") !== undefined) continue;
      if (!shard.isCovered && shard.storage.epochs().length > 0)
        throw new Violation(`spans wait in shard ${shard.index} and no alarm is set`);
    }
  }

  /**
   * At rest, the bucket holds the catalogues' blocks, and nothing else but what is to be deleted later.
   * @param mayStay whether an object may be left over
   */
  async checkBucket(mayStay: (shard: number, id: number) => boolean): Promise<void> {
    const objects = new Map<string, StoredObject>();
    for await (const object of this.#places.store.stored.list("")) objects.set(object.key, object);
    for (const shard of this.#places.shards) {
      for (const { key, etag, byteLength } of shard.storage.blocksBetween({})) {
        const object = objects.get(key);
        if (object?.etag !== etag || object.byteLength !== byteLength)
          throw new Violation(`block ${key} of the catalogue is not in the bucket`);
        objects.delete(key);
      }
    }
    for (const key of objects.keys()) {
      const place = parseBlockKey(key);
      if (place === undefined || !mayStay(place.shard, place.id))
        throw new Violation(`object ${key} is in no catalogue`);
    }
  }
}

async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part.slice());
  return new Uint8Array(Buffer.concat(parts));
}
