// Live spans as columns: a shard's epochs, brought up to date by what is new in them, whenever somebody looks.
import type { BlockAttributes } from "../block/block-facts.ts";
import { writeColumns } from "../block/block-writer.ts";
import { type Block, bytesSource, openBlock } from "../block/reader.ts";
import { openBody } from "../segment/frame.ts";
import { readFrames, type StoredFrame } from "../segment/frame-stream.ts";
import type { LiveEpoch, TraceShardRpc } from "../store/rpc.ts";
import { freeBuffer } from "../util/bytes.ts";
import { AppError, isAppError } from "../util/errors.ts";
import { LruCache } from "../util/lru-cache.ts";
import { Gate } from "../util/parallel.ts";
import type { QueryIo } from "./query-io.ts";

/** A group of frames as a block in memory. */
export interface LiveGroup {
  /** Never used for other bytes. */
  readonly key: string;
  readonly file: Uint8Array;
  readonly block: Block;
  readonly attributes: BlockAttributes;
}

interface Group extends LiveGroup {
  /** Inflated bytes. */
  readonly rawBytes: number;
  /** What it was made of, while it may become part of a larger one. */
  readonly frames: readonly StoredFrame[] | undefined;
}

/** What is known of an epoch: its rows up to `rowCount`. Replaced, never changed. */
interface EpochColumns {
  readonly rowCount: number;
  readonly groups: readonly Group[];
  /** Groups made so far: names them. */
  readonly made: number;
}

/** Where an epoch's frames come from. */
export interface LiveShard {
  /** Names the shard among all. */
  readonly name: string;
  readonly rpc: Pick<TraceShardRpc, "readSegments">;
}

/**
 * A group of more inflated bytes stays as it is until the epoch is cut: making it anew takes 8 ms a MiB.
 */
const GROUP_BYTES_MAX = 4 * 1024 * 1024;
/** Of a body that a shard gave out: more than any that it takes in. */
const BODY_BYTES_MAX = 256 * 1024 * 1024;

export class LiveCache {
  readonly #epochs: LruCache<EpochColumns>;
  /** By epoch: the update that is under way. */
  readonly #updates = new Map<string, Promise<EpochColumns | undefined>>();
  /** One at a time: the inflated spans of an epoch are in memory meanwhile. */
  readonly #builds = new Gate(1);

  constructor(maxBytes: number) {
    this.#epochs = new LruCache(maxBytes, columnBytes, maxBytes);
  }

  /**
   * The columns of all rows that `epoch` tells of, and maybe of later ones.
   * @returns undefined when the epoch is gone
   * @throws AppError `corrupt`, `unavailable`
   */
  async groups(shard: LiveShard, epoch: LiveEpoch, io: QueryIo): Promise<readonly LiveGroup[] | undefined> {
    const name = `${shard.name}/${epoch.id}`;
    for (;;) {
      const kept = this.#epochs.get(name);
      if (kept !== undefined && isCurrent(kept, epoch)) return kept.groups;
      const running = this.#updates.get(name);
      if (running !== undefined) {
        // Another query's: it may have asked before our rows came, or fail because its client went.
        await running.catch(() => undefined);
        continue;
      }
      const update = this.#update(name, { shard, epoch, io }, kept ?? NOTHING);
      this.#updates.set(name, update);
      try {
        return (await update)?.groups;
      } finally {
        this.#updates.delete(name);
      }
    }
  }

  async #update(
    name: string,
    { shard, epoch, io }: { readonly shard: LiveShard; readonly epoch: LiveEpoch; readonly io: QueryIo },
    kept: EpochColumns,
  ): Promise<EpochColumns | undefined> {
    // When no row comes any more, one group is made of all.
    const from = epoch.isCut ? NOTHING : kept;
    const frames = await readRows(shard, epoch, { fromRow: from.rowCount + 1, io });
    if (frames === undefined) return undefined;
    const rowCount = Math.max(epoch.rowCount, frames.at(-1)?.ref.row ?? 0);
    const groups = [...from.groups];
    const taken = [...frames];
    for (let last = groups.at(-1); last?.frames !== undefined; last = groups.at(-1)) {
      if (last.rawBytes > 2 * rawBytesOf(taken)) break;
      taken.unshift(...last.frames);
      groups.pop();
    }
    const made = kept.made + 1;
    if (taken.length > 0) groups.push(await this.#builds.run(() => build(`${name}/${made}`, taken, epoch)));
    const updated: EpochColumns = { rowCount, groups, made };
    this.#epochs.set(name, updated);
    return updated;
  }
}

const NOTHING: EpochColumns = { rowCount: 0, groups: [], made: 0 };

function isCurrent({ rowCount, groups }: EpochColumns, epoch: LiveEpoch): boolean {
  return rowCount >= epoch.rowCount && (!epoch.isCut || groups.length <= 1);
}

/** Undefined: the epoch is gone. */
async function readRows(
  { rpc }: LiveShard,
  { id }: LiveEpoch,
  { fromRow, io }: { readonly fromRow: number; readonly io: QueryIo },
): Promise<StoredFrame[] | undefined> {
  return io.connect(async () => {
    try {
      const reply = await rpc.readSegments(id, fromRow);
      if (reply.kind === "gone") return undefined;
      const frames: StoredFrame[] = [];
      for await (const frame of readFrames(reply.frames, BODY_BYTES_MAX)) {
        io.checkAborted();
        frames.push(frame);
      }
      return frames;
    } catch (error) {
      // A shard that is restarted, overloaded or out of reach throws errors of its own.
      if (isAppError(error)) throw error;
      throw new AppError("unavailable", "shard is not reachable", { retryAfterMs: 1_000, cause: error });
    }
  });
}

async function build(key: string, frames: readonly StoredFrame[], { isCut }: LiveEpoch): Promise<Group> {
  const file = await columnsOf(frames);
  const block = await openBlock(bytesSource(file));
  const rawBytes = rawBytesOf(frames);
  return {
    key,
    file,
    block,
    attributes: await block.attributes(),
    rawBytes,
    frames: isCut || rawBytes > GROUP_BYTES_MAX ? undefined : frames,
  };
}

/** What was inflated for it is freed at once: left to collections, they come so often that they take a tenth of the time. */
async function columnsOf(frames: readonly StoredFrame[]): Promise<Uint8Array> {
  const inflated: Uint8Array[] = [];
  function* messages(): Generator<Uint8Array> {
    for (const { ref, body } of frames) {
      const message = openBody(ref, body);
      if (message !== body) inflated.push(message);
      yield message;
    }
  }
  try {
    return await writeColumns(messages());
  } finally {
    for (const message of inflated) freeBuffer(message);
  }
}

function rawBytesOf(frames: readonly StoredFrame[]): number {
  return frames.reduce((sum, { ref }) => sum + ref.rawLength, 0);
}

function columnBytes({ groups }: EpochColumns): number {
  return groups.reduce(
    (sum, { file, frames }) =>
      (frames ?? []).reduce((bytes, { body }) => bytes + body.length, sum + file.length),
    0,
  );
}
