// Workers with their clients: batches are split and sent to shards, traces are looked up, all through the code of the API.
import { ingestOtlp } from "../../src/ingest/ingest.ts";
import { parseTraceId } from "../../src/model/ids.ts";
import { findTrace, type FoundTrace } from "../../src/query/find-trace.ts";
import { traceBody } from "../../src/query/trace-body.ts";
import { parseShardName } from "../../src/store/keys.ts";
import type { FindTraceReply, TraceShardRpc } from "../../src/store/rpc.ts";
import { ShardMapCache } from "../../src/tenant/shard-map-cache.ts";
import { type ShardDirectory, TenantShards } from "../../src/tenant/tenant-shards.ts";
import { isAppError } from "../../src/util/errors.ts";
import { traceHash } from "../../src/util/hash.ts";
import type { Random } from "../support/random.ts";
import { type Batch, Batches } from "./batches.ts";
import { type Expectation, Model, Violation } from "./model.ts";
import { type Places, type ShardObject, TENANT } from "./objects.ts";
import { HOLD_MAX_MS, READER_STALLS_MS } from "./sim-limits.ts";
import type { SimContext } from "./sim-object.ts";

/** Clocks of two Workers differ by no more than a shard map's lifetime. */
const SKEWS_MS = [0, -12_000, 12_000];
/** What a client may send again. */
const RECENT_BATCHES = 20;

interface Call {
  readonly batch: Batch;
  /** The earliest time that a block can take for that of the batch's arrival. */
  arrivedMs: number;
}

interface Lookup {
  readonly traceId: string;
  readonly must: ReadonlySet<string>;
  readonly abort: AbortController;
  readonly faultsBefore: number;
  readonly lossesBefore: number;
  readonly startedMs: number;
  readonly startedWallMs: number;
}

class NoMap extends Error {}

export class Clients {
  readonly model = new Model();
  readonly batches = new Batches();
  /** Traces that got spans since anybody looked. */
  readonly touched = new Set<string>();
  /** Readers that flushes may have to wait for in vain. */
  vanished = 0;
  /** Faults so far of which a lookup may tell. */
  readFaults = 0;
  /** Shards whose catalogue is being rebuilt, and how often one was lost. */
  readonly hidden = new Set<number>();
  losses = 0;
  readonly #context: SimContext;
  readonly #places: Places & { readonly shards: readonly ShardObject[] };
  readonly #workers: ShardDirectory[] = [];
  readonly #calls = new Set<Call>();
  readonly #lookups = new Set<Lookup>();
  readonly #sent: Batch[] = [];

  constructor(context: SimContext, places: Places & { readonly shards: readonly ShardObject[] }) {
    this.#context = context;
    this.#places = places;
    this.restartWorkers();
  }

  get isBusy(): boolean {
    return this.#calls.size > 0 || this.#lookups.size > 0;
  }

  get isSending(): boolean {
    return this.#calls.size > 0;
  }

  /** New isolates know nothing of the tenant. */
  restartWorkers(): void {
    SKEWS_MS.forEach((_, i) => this.restartWorker(i));
  }

  restartWorker(number: number): void {
    const { limits } = this.#places;
    const skewMs = SKEWS_MS[number] ?? 0;
    const clock = { now: () => this.#context.scheduler.trueMs + skewMs };
    const maps = new ShardMapCache(limits, {
      fetch: () => this.#places.tenant().client().view(),
      clock,
      keepAlive: () => undefined,
    });
    this.#workers[number] = new TenantShards(limits, {
      maps,
      clock,
      shardOf: (_, index) => this.#shardClient(index),
    });
  }

  /** Only what a Worker needs for spans. */
  #shardClient(index: number, lookup?: Lookup): TraceShardRpc {
    const shard = this.#places.shard(index);
    const client: Pick<TraceShardRpc, "append" | "findTrace" | "noteFailedReads"> = {
      ...shard.client(),
      findTrace: (id, range) => this.#remoteFind(shard, lookup, () => shard.client().findTrace(id, range)),
    };
    return client as TraceShardRpc;
  }

  // --- Sending ---

  append(random: Random): string {
    const batch = this.batches.make(random, this.#context.scheduler.wallMs);
    this.#sent.push(batch);
    if (this.#sent.length > RECENT_BATCHES) this.#sent.shift();
    void this.#deliver(batch, random.pick(this.#workers));
    return `batch ${batch.number}, ${batch.spans.length} spans`;
  }

  /** Many clients at once: what they send arrives together. */
  burst(random: Random): string {
    for (let left = 2 + random.below(4); left > 0; left--) this.append(random);
    this.#context.scheduler.resumeAll("request");
    return "";
  }

  /** The same bytes again: a client's retry, or a delivery that the network doubled. */
  redeliver(random: Random): string {
    if (this.#sent.length === 0) return "nothing to send again";
    const batch = random.pick(this.#sent);
    this.#context.count("redelivery");
    void this.#deliver(batch, random.pick(this.#workers));
    return `batch ${batch.number}`;
  }

  /** The wall clock has changed: epochs may be opened at its new time. */
  noteJump(): void {
    for (const call of this.#calls) this.#noteTime(call);
  }

  #noteTime(call: Call): void {
    const { wallMs, trueMs } = this.#context.scheduler;
    call.arrivedMs = Math.min(call.arrivedMs, wallMs, trueMs);
  }

  async #deliver(batch: Batch, worker: ShardDirectory): Promise<void> {
    const { scheduler, count, fail } = this.#context;
    this.model.sent(batch);
    const epochs = this.#places.shards.flatMap(({ storage }) => storage.epochs());
    const call: Call = { batch, arrivedMs: Math.min(...epochs, scheduler.wallMs) };
    this.#noteTime(call);
    this.#calls.add(call);
    await scheduler.wait("request");
    try {
      const shards = await worker.forWriting(TENANT);
      count(`append: to ${shards.count} shards`);
      const { acceptedSpans } = await ingestOtlp(shards, "protobuf", batch.body, this.#places.limits);
      if (acceptedSpans !== batch.spans.length)
        fail(`${acceptedSpans} of ${batch.spans.length} spans accepted`);
      this.#noteTime(call);
      count("append: acknowledged");
      this.model.acked(batch, call.arrivedMs);
    } catch (error) {
      count(`append: ${isAppError(error) ? error.kind : "throws"}`);
      if (!isAppError(error)) fail(`append threw ${String(error)}`);
    } finally {
      this.#calls.delete(call);
      this.model.ended(batch);
      for (const { traceId } of batch.spans) this.touched.add(traceId);
    }
  }

  // --- Looking up ---

  lookup(random: Random): string {
    const traceId = random.pick(
      random.chance(0.6) ? this.batches.openTraces : this.batches.traceIds.slice(-100),
    );
    if (traceId === undefined) return "no trace yet";
    const { steadyMs, latestMs } = this.#context.scheduler;
    const lookup: Lookup = {
      traceId,
      must: this.model.mustFind(traceId),
      abort: new AbortController(),
      faultsBefore: this.readFaults,
      lossesBefore: this.losses,
      startedMs: steadyMs,
      startedWallMs: latestMs,
    };
    this.#lookups.add(lookup);
    void this.#look(lookup, random.pick(this.#workers)).catch((error: unknown) =>
      this.#context.fail(String(error)),
    );
    return traceId;
  }

  /** A client of a running lookup goes away. */
  abort(random: Random): string {
    const [...running] = this.#lookups;
    if (running.length === 0) return "no lookup";
    const lookup = random.pick(running);
    lookup.abort.abort();
    this.#context.count("lookup: client goes");
    return lookup.traceId;
  }

  async #look(lookup: Lookup, worker: ShardDirectory): Promise<void> {
    const { traceId, abort } = lookup;
    const { scheduler, count, fail } = this.#context;
    await scheduler.wait("request");
    let found: FoundTrace;
    try {
      const id = parseTraceId(traceId);
      const asked = await this.#shardsOf(worker, id);
      count(`lookup: in ${asked.length} shards`);
      const shards = asked.map(({ name }) => ({
        name,
        shard: this.#shardClient(parseShardName(name).shard, lookup),
      }));
      found = await findTrace(
        { limits: this.#places.limits, shards, objects: this.#places.store.seenBy(undefined) },
        { traceId: id, mode: "all", startSeconds: 0, endSeconds: 0 },
        abort.signal,
      );
    } catch (error) {
      if (abort.signal.aborted) return;
      if (!(error instanceof NoMap) && !this.#mayFail(lookup)) throw error;
      count("lookup: failed");
      return;
    } finally {
      this.#lookups.delete(lookup);
    }
    const isPartial = found.failures.length > 0;
    if (isPartial && !this.#mayFail(lookup)) {
      fail(`a lookup without a fault is partial: ${JSON.stringify(found.failures)}`);
    }
    count(isPartial ? "lookup: partial" : "lookup: whole");
    // What may have gone while it ran need not be there.
    const mustStill = this.model.mustFind(traceId);
    const must = new Set([...lookup.must].filter((id) => mustStill.has(id)));
    const isExcused = isPartial || this.hidden.size > 0 || this.losses > lookup.lossesBefore;
    // It was given while other things went on: what it lacks says nothing about later.
    this.checkAnswer(traceId, found, {
      must: isExcused ? new Set() : must,
      isWhole: false,
      isLasting: false,
    });
  }

  /** Without the tenant there is no map: after a failed or a slow call, for a while. */
  async #shardsOf(worker: ShardDirectory, id: Uint8Array): Promise<readonly { readonly name: string }[]> {
    try {
      return await worker.forReading(TENANT, traceHash(id));
    } catch (error) {
      this.#context.count("lookup: no map");
      throw isAppError(error) ? new NoMap("no map", { cause: error }) : error;
    }
  }

  checkAnswer(traceId: string, found: FoundTrace, expected: Expectation): void {
    const body = traceBody(found, { version: 1, encoding: "protobuf", maxValueDepth: 64 });
    if (!(body instanceof Uint8Array)) throw new Violation("a small trace is not answered at once");
    this.model.check(traceId, body, expected);
  }

  #mayFail({ faultsBefore, startedMs, startedWallMs }: Lookup): boolean {
    const { steadyMs, latestMs } = this.#context.scheduler;
    // A reader slower than the shard waits for loses its source, and is told so; one slower than objects are kept
    // that are in no catalogue any more may lose those.
    return (
      this.model.isDeleting ||
      this.readFaults > faultsBefore ||
      steadyMs - startedMs > HOLD_MAX_MS ||
      latestMs - startedWallMs > this.#places.limits.objectGraceMs
    );
  }

  /** The shard's answer as it comes through the network. */
  async #remoteFind(
    shard: ShardObject,
    lookup: Lookup | undefined,
    find: () => Promise<FindTraceReply>,
  ): Promise<FindTraceReply> {
    const { live, blocks } = await find();
    if (live instanceof Uint8Array || lookup === undefined) return { live, blocks };
    return { live: this.#remoteStream(shard, live, lookup), blocks };
  }

  #remoteStream(
    shard: ShardObject,
    live: ReadableStream<Uint8Array>,
    lookup: Lookup,
  ): ReadableStream<Uint8Array> {
    const { scheduler, count, faults } = this.#context;
    const { host } = shard;
    count("lookup: streamed");
    const reader = live.getReader();
    return new ReadableStream({
      type: "bytes",
      pull: async (controller): Promise<void> => {
        const fate = faults.readerFate();
        if (fate === "vanishes") {
          // The other end is gone and nobody has noticed: the stream is neither read on nor cancelled.
          count("lookup: vanishes");
          this.#lookups.delete(lookup);
          this.vanished++;
          await new Promise(() => undefined);
        }
        const delayMs = fate === "stalls" ? READER_STALLS_MS : 0;
        await scheduler.wait("live chunk", { delayMs });
        if (host?.isAlive !== true) throw new Error("simulated: connection lost");
        const { done, value } = await reader.read();
        if (!done) return controller.enqueue(value);
        controller.close();
        controller.byobRequest?.respond(0);
      },
      cancel: () => reader.cancel(),
    });
  }
}
