// The whole HTTP surface with tenants, tokens and a doctor, in this process: isolates over the same objects.
import type { Hono } from "hono";
import { createApp } from "../../src/http/app.ts";
import type { AppDeps, AppEnv } from "../../src/http/deps.ts";
import { InsightBook } from "../../src/insight/book.ts";
import { InsightReporter, type Target } from "../../src/insight/reporter.ts";
import type { AccessSettings } from "../../src/model/config.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { MemoryStore } from "../../src/store/memory-store.ts";
import type { InsightNote, InsightView } from "../../src/store/insight-rpc.ts";
import type { ShardCounts, TraceShardRpc } from "../../src/store/rpc.ts";
import { UsageDays, encodeUsage } from "../../src/usage/usage-days.ts";
import { AccessWorld } from "./access-world.ts";
import { oneShard } from "./fake-shard.ts";
import { tenantRpc } from "./tenant-rpc.ts";

const NO_COUNTS: ShardCounts = {
  stats: {
    liveSpans: 0,
    liveBytes: 0,
    epochs: 0,
    blocks: 0,
    rowsWritten: 0,
    rowsRead: 0,
    appends: 0,
    failedReads: 0,
  },
  liveTraces: 0,
  youngBlocks: 0,
  blockBytes: 0,
  sqliteBytes: 0,
  usage: encodeUsage(new UsageDays()),
};

/** What a reporter asks to be done later, done when the test says so. */
export class Later {
  readonly #waiting: { atMs: number; go: () => void }[] = [];
  readonly #clock: { nowMs: number };

  constructor(clock: { nowMs: number }) {
    this.#clock = clock;
  }

  readonly sleep = (ms: number): Promise<void> =>
    new Promise((go) => this.#waiting.push({ atMs: this.#clock.nowMs + ms, go }));

  /** Lets time pass, and what waits for it happen. */
  async pass(ms: number): Promise<void> {
    this.#clock.nowMs += ms;
    for (const { atMs, go } of this.#waiting) if (atMs <= this.#clock.nowMs) go();
    await new Promise((done) => setTimeout(done, 0));
  }
}

export class InsightWorld extends AccessWorld {
  readonly later = new Later(this);
  /** Notes as they were sent. */
  readonly notes: { readonly target: Target; readonly note: InsightNote }[] = [];
  /** What objects saved, by their names; "" is the directory. */
  readonly saved = new Map<string, string>();
  readonly #books = new Map<string, InsightBook>();
  readonly probes = new Map<string, string>();
  /** A shard whose probe fails. */
  probeFailure = "";
  /** A shard that does not tell what it counts. */
  countsFailure = "";
  append: TraceShardRpc["append"] = async () => ({ ok: true });

  book(name: string): InsightBook {
    const book =
      this.#books.get(name) ??
      new InsightBook({
        load: () => this.saved.get(name),
        save: (text) => void this.saved.set(name, text),
        clock: this.clock,
      });
    this.#books.set(name, book);
    return book;
  }

  /** All objects are put to rest: what they had in memory is gone. */
  evict(): void {
    this.#books.clear();
  }

  insightOf(tenant: Target): InsightView {
    return this.book(tenant ?? "").view();
  }

  app(settings: Partial<AccessSettings> = {}, more: Partial<AppDeps> = {}): Hono<AppEnv> {
    const { authenticator, views } = this.isolate(settings);
    const insight = new InsightReporter({
      send: async (target, note) => {
        this.notes.push({ target, note: structuredClone(note) });
        this.book(target ?? "").note(structuredClone(note));
      },
      clock: this.clock,
      keepAlive: () => undefined,
      sleep: this.later.sleep,
    });
    return createApp({
      limits: DEFAULT_LIMITS,
      clock: this.clock,
      objects: new MemoryStore(),
      shards: oneShard({ append: (batch) => this.append(batch) }),
      authenticator,
      insight,
      inspect: {
        views,
        tenantOf: (tenant) => ({
          ...tenantRpc(this.tenant(tenant)),
          insight: async () => this.insightOf(tenant),
        }),
        shardOf: (tenant, index) => ({
          counts: async () => {
            if (this.countsFailure === `${tenant}/${index}`) throw new Error("out of reach");
            return NO_COUNTS;
          },
          probe: async (mark) => {
            if (this.probeFailure === `${tenant}/${index}`) throw new Error("out of reach");
            this.probes.set(`${tenant}/${index}`, mark);
          },
          probed: async () => this.probes.get(`${tenant}/${index}`),
        }),
        directory: () => ({
          list: () => this.directory.list(),
          insight: async () => this.insightOf(undefined),
        }),
      },
      ...more,
    });
  }
}
