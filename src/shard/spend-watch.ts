// The tenant's spend cap as its shard sees it: tells what the shard costs, and refuses spans when all of it is spent.
import { isCapped, type SpendSettings, spendRefusal } from "../model/spend.ts";
import type { AppendResult } from "../store/rpc.ts";
import type { SpendReport } from "../store/tenant-rpc.ts";
import { isReportDue } from "../usage/spend.ts";
import { messageOf } from "../util/errors.ts";
import { logWarning } from "../util/log.ts";
import { NO_CHANGE, type ShardStorage } from "./storage.ts";
import type { UsageBook } from "./usage-book.ts";

/** Adding up takes some 50 us: not with every commit. */
const LOOK_EVERY_MS = 1_000;
const SETTING = "spend";

export interface SpendContext {
  readonly storage: ShardStorage;
  readonly usage: Pick<UsageBook, "spent">;
  readonly report: (report: SpendReport) => Promise<void>;
}

export class SpendWatch {
  readonly #context: SpendContext;
  #spend: SpendSettings | undefined;
  #last: SpendReport | undefined;
  #lookedMs = 0;

  constructor(context: SpendContext) {
    this.#context = context;
    const text = context.storage.setting(SETTING);
    this.#spend = text === undefined ? undefined : JSON.parse(text);
  }

  /** Durable after `storage.sync()`. */
  configure(spend: SpendSettings | undefined): void {
    const { storage } = this.#context;
    const text = spend === undefined ? null : JSON.stringify(spend);
    if (text === (storage.setting(SETTING) ?? null)) return;
    storage.change({ ...NO_CHANGE, settings: { [SETTING]: text } });
    this.#spend = spend;
  }

  /** Why no span is taken at `nowMs`; undefined when some are. What is sampled has passed the Worker. */
  refusal(nowMs: number): AppendResult | undefined {
    const spend = this.#spend;
    if (spend === undefined || spend.cap.action !== "reject" || !isCapped(spend.verdict, nowMs))
      return undefined;
    return { ok: false, kind: "rate_limited", ...spendRefusal(spend.verdict, nowMs) };
  }

  /** Tells what was spent, if that is enough to be told. Never throws: what was not heard is told again. */
  async look(nowMs: number): Promise<void> {
    if (this.#spend === undefined || Math.abs(nowMs - this.#lookedMs) < LOOK_EVERY_MS) return;
    this.#lookedMs = nowMs;
    const spent = this.#context.usage.spent(nowMs);
    const before = this.#last;
    if (!isReportDue(this.#spend, before, spent)) return;
    this.#last = spent;
    try {
      await this.#context.report(spent);
    } catch (error) {
      if (this.#last === spent) this.#last = before;
      logWarning("the tenant could not be told what was spent", { error: messageOf(error) });
    }
  }
}
