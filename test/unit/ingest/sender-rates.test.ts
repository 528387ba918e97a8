// Over its rate: what is still looked at of a sender's batches, and of nobody else's.
import { beforeEach, describe, expect, test } from "vitest";
import { IsolateRates, type SenderRates } from "../../../src/ingest/sender-rates.ts";
import { DEFAULT_TENANT_LIMITS } from "../../../src/model/tenant-limits.ts";
import { AppError } from "../../../src/util/errors.ts";

const LIMITS = { ...DEFAULT_TENANT_LIMITS, rateSpans: 100, burstSpans: 150 };
/** Of a hundred spans, one fits the burst, the next does not: and the bucket is not full. */
const BATCH = { bytes: 1_000, spans: 100 };

let nowMs: number;
let rates: IsolateRates;

beforeEach(() => {
  nowMs = 1_000;
  rates = new IsolateRates({ now: () => nowMs });
});

/** What a request would be answered: `unlooked` before it was inflated, `looked` after. */
function attempt(sender: SenderRates, load = BATCH): "unlooked" | "looked" | "stored" {
  try {
    sender.enter();
  } catch {
    return "unlooked";
  }
  try {
    sender.take(load);
    return "stored";
  } catch {
    return "looked";
  }
}

function counts(sender: SenderRates, times: number, load = BATCH): Record<string, number> {
  const seen: Record<string, number> = {};
  for (let i = 0; i < times; i++) {
    const what = attempt(sender, load);
    seen[what] = (seen[what] ?? 0) + 1;
  }
  return seen;
}

describe("batches looked at in vain", () => {
  test("ten at once, then ten a second; the rest is refused before it is inflated", () => {
    const sender = rates.of("acme", { ...LIMITS, rateSpans: 1 });
    expect(attempt(sender)).toBe("stored");
    expect(counts(sender, 1_000)).toEqual({ looked: 10, unlooked: 990 });
    expect(() => sender.enter()).toThrow(
      expect.objectContaining({
        kind: "rate_limited",
        message: expect.stringContaining("RATE_LIMITED: ingestion rate limit (local: 1 spans"),
        retryAfterMs: 100,
      }),
    );
    nowMs += 100;
    expect(counts(sender, 1_000)).toEqual({ looked: 1, unlooked: 999 });
    nowMs += 10_000;
    expect(counts(sender, 1_000)).toEqual({ looked: 10, unlooked: 990 });
  });

  test("the rate is still had in full by a sender that goes on over its limit", () => {
    const sender = rates.of("acme", LIMITS);
    let stored = 0;
    for (; nowMs < 61_000; nowMs += 10) stored += counts(sender, 5)["stored"] ?? 0;
    // One a second and the burst's; a tenth of a second may pass before the next is looked at.
    expect(stored).toBeGreaterThanOrEqual(54);
    expect(stored).toBeLessThanOrEqual(61);
  });

  test("large ones count for more: a MiB as one", () => {
    const sender = rates.of("acme", { ...LIMITS, rateSpans: 1 });
    expect(attempt(sender)).toBe("stored");
    expect(counts(sender, 100, { bytes: 4 * 1024 * 1024, spans: 100 })).toEqual({ looked: 2, unlooked: 98 });
  });

  test("other tokens and tenants are looked at; what passes, is too large or meets no shard is not counted", () => {
    const sender = rates.of("acme", LIMITS, { tokenId: "7f3a" });
    expect(attempt(sender)).toBe("stored");
    counts(sender, 20);
    expect(attempt(sender, { bytes: 1, spans: 1 })).toBe("unlooked");
    expect(attempt(rates.of("acme", LIMITS, { tokenId: "b001" }), { bytes: 1, spans: 1 })).toBe("stored");
    expect(attempt(rates.of("acme2", LIMITS, { tokenId: "7f3a" }))).toBe("stored");
    const other = rates.of("berry", LIMITS);
    for (let i = 0; i < 20; i++) {
      expect(attempt(other, { bytes: 1, spans: 151 })).toBe("looked");
      other.take({ bytes: 1, spans: 1 });
      other.giveBack({ bytes: 1, spans: 1 }, new AppError("unavailable", "shard is not reachable"));
    }
    expect(attempt(other)).toBe("stored");
  });

  test("those that a shard refused count: it is asked no more than ten times a second", () => {
    const sender = rates.of("acme", LIMITS);
    const refusal = new AppError("rate_limited", "RATE_LIMITED: of the shard", { retryAfterMs: 5_000 });
    let asked = 0;
    for (let i = 0; i < 100; i++) {
      if (attempt(sender) !== "stored") continue;
      asked++;
      sender.giveBack(BATCH, refusal);
    }
    expect(asked).toBe(10);
    expect(() => sender.enter()).toThrow("RATE_LIMITED: of the shard");
  });
});
