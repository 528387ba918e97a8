// The state machine behind a Tenant object: shard map, retention, deletion. Everything outside comes through ports.
import type { Limits } from "../model/limits.ts";
import { PLATFORM } from "../model/limits.ts";
import { checkSpendCap, type SpendCap, type SpendVerdict } from "../model/spend.ts";
import { type TenantLimitOverrides, wrongOverride } from "../model/tenant-limits.ts";
import type { TokenRecord } from "../model/token.ts";
import { tenantPrefix } from "../store/keys.ts";
import type { ObjectStore } from "../store/object-store.ts";
import type { TraceShardRpc } from "../store/rpc.ts";
import type {
  AuditEntry,
  Change,
  OverridesReply,
  ShardLoad,
  SpendReport,
  StoredOverrides,
  TenantReply,
  TenantView,
} from "../store/tenant-rpc.ts";
import { judgeSpend, laterVerdict, totalSpend } from "../usage/spend.ts";
import type { Clock } from "../util/clock.ts";
import { messageOf } from "../util/errors.ts";
import { logInfo, logWarning } from "../util/log.ts";
import { settleAll } from "../util/parallel.ts";
import { changeDelayMs, FIRST_VERSIONS, relevantVersions } from "./shard-map.ts";
import { shardSettings } from "./shard-settings.ts";
import { NO_OVERRIDES, type SavedWith, type TenantRecord, type TenantStorage } from "./storage.ts";

export interface TenantPorts {
  readonly storage: TenantStorage;
  readonly objects: Pick<ObjectStore, "list" | "delete">;
  readonly clock: Clock;
  readonly shardOf: (index: number) => Pick<TraceShardRpc, "configure" | "destroy">;
  /** Takes the tenant's name off the list of all. */
  readonly removeName: () => Promise<void>;
  /** Stops the compaction of a shard for good and removes what the compactor keeps. */
  readonly endCompaction: (index: number) => Promise<void>;
}

const RETRY_MS = 5_000;
/** Between two calls to shards that delete bit by bit. */
const DELETE_POLL_MS = 1_000;
/** Versions kept at most: each change by hand is one, and each lives for the retention. */
const MAX_VERSIONS = 256;
const MIN_RETENTION_MS = 3_600_000;
const MAX_RETENTION_DAYS = 3_660;
/** Objects that one call to the store deletes, and that one alarm deletes at most. */
const DELETE_KEYS = 1_000;
const DELETE_KEYS_PER_ALARM = 50_000;
/** Every view carries them all: at some 400 bytes each they are 200 KB. */
const MAX_TOKENS = 500;
/** Of a text in the audit log, which has 10,000 lines. */
const MAX_DETAIL_CHARS = 1_000;

const EMPTY_RECORD: TenantRecord = {
  versions: FIRST_VERSIONS,
  shardCount: 1,
  retentionMs: undefined,
  limits: {},
  isRetentionUnsent: false,
  deletingSinceMs: undefined,
  version: 0,
  tokens: [],
  overrides: NO_OVERRIDES,
  spend: undefined,
};

/** What the audit log says of a change. */
interface Audited {
  readonly action: string;
  readonly detail: string;
}

function retentionText(ms: number | undefined): string {
  return ms === undefined ? "default" : `${ms} ms`;
}

/** Whether nobody need be told: sums that grow within a verdict are of no interest. */
function isSameVerdict(a: SpendVerdict | undefined, b: SpendVerdict): boolean {
  return (
    a?.state === b.state && a.period === b.period && a.untilMs === b.untilMs && a.limitUsd === b.limitUsd
  );
}

/** One tenant. Not durable by itself: built anew from storage after each eviction. */
export class Tenant {
  readonly #name: string;
  readonly #limits: Limits;
  readonly #ports: TenantPorts;
  #record: TenantRecord;
  /** What shards reported last. */
  readonly #spent: Map<number, SpendReport>;
  #ticking: Promise<unknown> = Promise.resolve();

  constructor(name: string, limits: Limits, ports: TenantPorts) {
    this.#name = name;
    this.#limits = limits;
    this.#ports = ports;
    this.#record = ports.storage.load() ?? EMPTY_RECORD;
    this.#spent = new Map(ports.storage.spendReports());
  }

  view(): TenantView {
    const { versions, shardCount, retentionMs, limits, deletingSinceMs, spend, tokens, version } =
      this.#record;
    return {
      state: deletingSinceMs === undefined ? "active" : "deleting",
      versions,
      shardCount,
      retentionMs,
      limits,
      tokens,
      version,
      spend,
    };
  }

  /** A new version; it takes effect when every reader knows it, so that no span is written where nobody looks. */
  setShardCount(count: number, change?: Change): TenantReply {
    const { maxShards } = this.#limits.growth;
    const isPowerOf2 = Number.isInteger(count) && count >= 1 && (count & (count - 1)) === 0;
    if (!isPowerOf2 || count > maxShards) {
      const message = `the number of shards must be a power of 2 from 1 to ${maxShards}, not ${count}`;
      return { ok: false, kind: "invalid_argument", message };
    }
    const refusal = this.#refusal(change);
    if (refusal !== undefined) return refusal;
    const now = this.#ports.clock.now();
    const newest = this.#newest;
    if (newest.count === count) return this.#ok();
    if (newest.fromMs > now) {
      const message = `the last change, to ${newest.count} shards, has not taken effect yet`;
      return { ok: false, kind: "rate_limited", message, retryAfterMs: newest.fromMs - now };
    }
    const { versions, retentionMs, limits, shardCount, spend } = this.#record;
    const kept = relevantVersions(versions, now, retentionMs ?? this.#limits.blockRetentionMs);
    if (kept.length >= MAX_VERSIONS) {
      const message = `the number of shards was changed ${kept.length} times within the retention`;
      return { ok: false, kind: "rate_limited", message, retryAfterMs: this.#limits.growth.coolDownMs };
    }
    const isRetentionUnsent =
      retentionMs !== undefined || spend !== undefined || Object.keys(limits).length > 0;
    this.#change(
      {
        versions: [...kept, { fromMs: now + changeDelayMs(this.#limits), count }],
        shardCount: Math.max(shardCount, count),
        isRetentionUnsent,
      },
      { change, action: "set shards", detail: `from ${newest.count} to ${count}` },
      isRetentionUnsent ? now : undefined,
    );
    logInfo("shards of a tenant", { tenant: this.#name, from: newest.count, to: count });
    return this.#ok();
  }

  /** Doubles the shards, once in a cool-down: the load needs time to spread and to be measured anew. */
  requestGrowth(shard: number, load: ShardLoad): TenantReply {
    const { coolDownMs, maxShards } = this.#limits.growth;
    const newest = this.#newest;
    const waitMs = newest.fromMs + coolDownMs - this.#ports.clock.now();
    if (shard >= newest.count || newest.count >= maxShards) return this.#ok();
    if (waitMs > 0) {
      const message = `the number of shards was changed within the last ${coolDownMs} ms`;
      return { ok: false, kind: "rate_limited", message, retryAfterMs: waitMs };
    }
    const { appendsPerSecond, rawBytesPerSecond } = load;
    logInfo("a shard is too busy", { tenant: this.#name, shard, appendsPerSecond, rawBytesPerSecond });
    return this.setShardCount(2 * newest.count);
  }

  /** The shards learn of it by the alarm, at once if they can be reached. */
  setRetention(ms: number | undefined, change?: Change): TenantReply {
    const max = MAX_RETENTION_DAYS * 86_400_000;
    if (ms !== undefined && !(Number.isInteger(ms) && ms >= MIN_RETENTION_MS && ms <= max)) {
      const message = `the retention must be whole ms, at least an hour, at most ${MAX_RETENTION_DAYS} days`;
      return { ok: false, kind: "invalid_argument", message };
    }
    const refusal = this.#refusal(change);
    if (refusal !== undefined) return refusal;
    const detail = `from ${retentionText(this.#record.retentionMs)} to ${retentionText(ms)}`;
    this.#change(
      { retentionMs: ms, isRetentionUnsent: true },
      { change, action: "set retention", detail },
      this.#ports.clock.now(),
    );
    return this.#ok();
  }

  /** Takes effect as a retention does; at once in Workers that ask for the tenant, in the others within a minute. */
  setLimits(limits: TenantLimitOverrides, change?: Change): TenantReply {
    const wrong = wrongOverride(limits);
    if (wrong !== undefined) return { ok: false, kind: "invalid_argument", message: wrong };
    const refusal = this.#refusal(change);
    if (refusal !== undefined) return refusal;
    const detail = `from ${JSON.stringify(this.#record.limits)} to ${JSON.stringify(limits)}`;
    this.#change(
      { limits, isRetentionUnsent: true },
      { change, action: "set limits", detail },
      this.#ports.clock.now(),
    );
    return this.#ok();
  }

  /** A verdict that was made by another cap is void; what was spent is known when the shards report. */
  setSpendCap(cap: SpendCap | undefined, change?: Change): TenantReply {
    const refusal = this.#refusal(change);
    if (refusal !== undefined) return refusal;
    let checked: SpendCap | undefined;
    try {
      checked = cap === undefined ? undefined : checkSpendCap(cap);
    } catch (error) {
      return { ok: false, kind: "invalid_argument", message: messageOf(error) };
    }
    const spend = checked && { cap: checked, verdict: this.#judge(checked) };
    this.#change(
      { spend, isRetentionUnsent: true },
      { change, action: "set spend cap", detail: checked === undefined ? "none" : JSON.stringify(checked) },
      this.#ports.clock.now(),
    );
    return this.#ok();
  }

  /** When the sum of all comes to another verdict, Workers hear of it by the view, and shards by the alarm. */
  reportSpend(shard: number, report: SpendReport): TenantReply {
    const { spend } = this.#record;
    if (spend === undefined || this.#isDeleting) return this.#ok();
    this.#spent.set(shard, report);
    this.#ports.storage.saveSpend(shard, report);
    const now = this.#ports.clock.now();
    const judged = this.#judge(spend.cap);
    const verdict = judged && laterVerdict(spend.verdict, judged, now);
    if (verdict === undefined || isSameVerdict(spend.verdict, verdict)) return this.#ok();
    this.#change(
      { spend: { ...spend, verdict }, isRetentionUnsent: true },
      { change: undefined, action: "", detail: "" },
      now,
    );
    const { state, period, spentUsd, limitUsd } = verdict;
    if (state !== "ok")
      logWarning("spend of a tenant", { tenant: this.#name, state, period, spentUsd, limitUsd });
    return this.#ok();
  }

  #judge(cap: SpendCap): SpendVerdict | undefined {
    if (this.#spent.size === 0) return undefined;
    return judgeSpend(cap, totalSpend(this.#spent.values(), this.#ports.clock.now()));
  }

  /** A token whose hash begins as another's does has the same id: that chance is one in 10^12, and refused. */
  addToken(token: TokenRecord, change: Change): TenantReply {
    const refusal = this.#refusal(change);
    if (refusal !== undefined) return refusal;
    const { tokens } = this.#record;
    if (tokens.length >= MAX_TOKENS) {
      const message = `the tenant has ${MAX_TOKENS} tokens, the most there may be: revoke some`;
      return { ok: false, kind: "invalid_argument", message };
    }
    if (tokens.some(({ id }) => id === token.id)) {
      return { ok: false, kind: "conflict", message: `there is a token ${token.id}: make another one` };
    }
    const { id, name, scopes } = token;
    const detail = `${id} (${name}): ${scopes.join(", ")}`;
    this.#change({ tokens: [...tokens, token] }, { change, action: "create token", detail });
    return this.#ok();
  }

  revokeToken(id: string, change: Change): TenantReply {
    const refusal = this.#refusal(change);
    if (refusal !== undefined) return refusal;
    const { tokens } = this.#record;
    const token = tokens.find((known) => known.id === id);
    if (token === undefined) return { ok: false, kind: "not_found", message: `there is no token ${id}` };
    const detail = `${id} (${token.name})`;
    this.#change(
      { tokens: tokens.filter((known) => known !== token) },
      { change, action: "revoke token", detail },
    );
    return this.#ok();
  }

  create(change: Change): TenantReply {
    const refusal = this.#refusal(change);
    if (refusal !== undefined) return refusal;
    if (this.#record.version === 0) this.#change({}, { change, action: "create tenant", detail: "" });
    return this.#ok();
  }

  noteRebuild(change: Change): TenantReply {
    const refusal = this.#refusal(change);
    if (refusal !== undefined) return refusal;
    this.#change({}, { change, action: "rebuild catalogue", detail: "" });
    return this.#ok();
  }

  overrides(): StoredOverrides {
    return this.#record.overrides;
  }

  setOverrides(json: string | undefined, { actor, ifVersion }: Change): OverridesReply {
    const refusal = this.#refusal({ actor });
    if (refusal !== undefined) return refusal;
    const { overrides } = this.#record;
    const current = overrides.json === undefined ? 0 : overrides.version;
    if (ifVersion !== undefined && ifVersion !== current) {
      const message = `the overrides have been changed: they have version ${current}, not ${ifVersion}`;
      return { ok: false, kind: "conflict", message, version: current };
    }
    const changed = { version: overrides.version + 1, json };
    const [action, detail] = json === undefined ? ["delete overrides", ""] : ["set overrides", json];
    this.#change(
      { overrides: changed },
      { change: { actor }, action, detail: detail.slice(0, MAX_DETAIL_CHARS) },
    );
    return { ok: true, overrides: changed };
  }

  audit(limit: number, before?: number): readonly AuditEntry[] {
    return this.#ports.storage.audit(limit, before);
  }

  /** The data goes at once, the name is free again when no call that began before can come to an end any more. */
  startDeletion(change?: Change): TenantReply {
    if (this.#isDeleting) return this.#ok();
    const refusal = this.#refusal(change);
    if (refusal !== undefined) return refusal;
    const now = this.#ports.clock.now();
    this.#change({ deletingSinceMs: now, tokens: [] }, { change, action: "delete tenant", detail: "" }, now);
    logInfo("deletion of a tenant begins", { tenant: this.#name });
    return this.#ok();
  }

  /** Goes on with what is under way at `nowMs`. Never throws: what failed is tried again by the next alarm. */
  async tick(nowMs: number): Promise<void> {
    const ran = this.#ticking.then(() => this.#tick(nowMs));
    this.#ticking = ran;
    return ran;
  }

  async #tick(nowMs: number): Promise<void> {
    try {
      const { deletingSinceMs, isRetentionUnsent } = this.#record;
      if (deletingSinceMs !== undefined) await this.#delete(deletingSinceMs, nowMs);
      else if (isRetentionUnsent) await this.#sendSettings();
    } catch (error) {
      logWarning("a tenant's change is not through yet", { tenant: this.#name, error: messageOf(error) });
      this.#ports.storage.setAlarm(nowMs + RETRY_MS);
    }
  }

  async #sendSettings(): Promise<void> {
    const sent = this.#record;
    const settings = shardSettings(sent);
    await this.#eachShard((index) => this.#ports.shardOf(index).configure(settings));
    // Whatever was set meanwhile has an alarm of its own.
    if (this.#record === sent) this.#save({ ...sent, isRetentionUnsent: false });
  }

  /**
   * One round: every shard deletes what it has. What a flush or a compaction that was under way still stores, or a Worker
   * that does not know yet still sends, the last round removes: it begins when that is over, and ends with the bucket.
   */
  async #delete(sinceMs: number, nowMs: number): Promise<void> {
    const done = await this.#eachShard(async (index) => {
      await this.#ports.endCompaction(index);
      return (await this.#ports.shardOf(index).destroy(nowMs)).done;
    });
    const lastRoundMs = sinceMs + Math.max(changeDelayMs(this.#limits), this.#limits.objectGraceMs);
    if (done.includes(false)) return this.#ports.storage.setAlarm(nowMs + DELETE_POLL_MS);
    if (nowMs < lastRoundMs) return this.#ports.storage.setAlarm(lastRoundMs);
    if (!(await this.#emptyBucket())) return this.#ports.storage.setAlarm(nowMs + DELETE_POLL_MS);
    await this.#ports.removeName();
    await this.#ports.storage.clear();
    this.#record = EMPTY_RECORD;
    this.#spent.clear();
    logInfo("a tenant was deleted", { tenant: this.#name });
  }

  /** @returns false when there may be more */
  async #emptyBucket(): Promise<boolean> {
    let keys: string[] = [];
    let deleted = 0;
    for await (const { key } of this.#ports.objects.list(tenantPrefix(this.#name))) {
      keys.push(key);
      if (keys.length < DELETE_KEYS) continue;
      await this.#ports.objects.delete(keys);
      deleted += keys.length;
      keys = [];
      if (deleted >= DELETE_KEYS_PER_ALARM) return false;
    }
    if (keys.length > 0) await this.#ports.objects.delete(keys);
    return true;
  }

  /** Calls every shard there ever was. @throws what the first that failed threw, when all have ended */
  async #eachShard<T>(call: (index: number) => Promise<T>): Promise<T[]> {
    const indexes = Array.from({ length: this.#record.shardCount }, (_, index) => index);
    const results = await settleAll(indexes, PLATFORM.connections, call);
    return results.map((result) => {
      if (result.status === "rejected") throw result.reason;
      return result.value;
    });
  }

  get #newest(): TenantView["versions"][number] {
    return this.#record.versions.at(-1) ?? { fromMs: 0, count: 1 };
  }

  get #isDeleting(): boolean {
    return this.#record.deletingSinceMs !== undefined;
  }

  /** Why a change that somebody asks for cannot be made now. */
  #refusal(change: Change | undefined): Extract<TenantReply, { ok: false }> | undefined {
    if (this.#isDeleting) return this.#refuseDeleting();
    const { version } = this.#record;
    if (change?.ifVersion === undefined || change.ifVersion === version) return undefined;
    const message = `the tenant has been changed: it has version ${version}, not ${change.ifVersion}`;
    return { ok: false, kind: "conflict", message, version };
  }

  /** What people change has a new version and a line in the audit log; what the installation changes has neither. */
  #change(
    changed: Partial<TenantRecord>,
    { change, action, detail }: Audited & { readonly change: Change | undefined },
    alarmMs?: number,
  ): void {
    const { version } = this.#record;
    if (change === undefined) return this.#save({ ...this.#record, ...changed }, { alarmMs });
    const atMs = this.#ports.clock.now();
    this.#save(
      { ...this.#record, ...changed, version: version + 1 },
      { alarmMs, audit: { atMs, actor: change.actor, action, detail } },
    );
  }

  #save(record: TenantRecord, more: SavedWith = {}): void {
    this.#ports.storage.save(record, more);
    this.#record = record;
  }

  #ok(): TenantReply {
    return { ok: true, view: this.view() };
  }

  #refuseDeleting(): Extract<TenantReply, { ok: false }> {
    return { ok: false, kind: "not_found", message: `tenant "${this.#name}" is being deleted` };
  }
}
