import { afterEach, describe, expect, test, vi } from "vitest";
import { settleAll, within } from "../../../src/util/parallel.ts";

afterEach(() => vi.useRealTimers());

describe("settleAll", () => {
  test("all results in order, whatever order they end in; never more at a time than the limit", async () => {
    let running = 0;
    let most = 0;
    const results = await settleAll([5, 1, 4, 2, 3, 0], 2, async (ms) => {
      most = Math.max(most, ++running);
      await new Promise((done) => setTimeout(done, ms));
      running--;
      if (ms === 4) throw new Error("four");
      return ms * 10;
    });
    expect(most).toBe(2);
    expect(results.map((result) => (result.status === "fulfilled" ? result.value : "failed"))).toEqual([
      50,
      10,
      "failed",
      20,
      30,
      0,
    ]);
  });

  test("what throws before its first await is a failure like any other", async () => {
    const results = await settleAll([1, 2], 1, (item) => {
      if (item === 1) throw new Error("one");
      return Promise.resolve(item);
    });
    expect(results.map(({ status }) => status)).toEqual(["rejected", "fulfilled"]);
    expect(await settleAll([], 6, async () => 1)).toEqual([]);
  });
});

describe("within", () => {
  test("passes on what the promise comes to", async () => {
    await expect(within(Promise.resolve(7), 1_000, "it")).resolves.toBe(7);
    await expect(within(Promise.reject(new Error("no")), 1_000, "it")).rejects.toThrow("no");
  });

  test("gives up after the time, and leaves no timer behind when it does not", async () => {
    vi.useFakeTimers();
    const refused = within(new Promise(() => undefined), 3_000, "the tenant").catch(
      (error: unknown) => error,
    );
    await vi.advanceTimersByTimeAsync(2_999);
    expect(vi.getTimerCount()).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(await refused).toMatchObject({ kind: "unavailable", message: "the tenant does not answer" });
    await within(Promise.resolve(1), 3_000, "it");
    expect(vi.getTimerCount()).toBe(0);
  });
});
