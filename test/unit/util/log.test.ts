import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Budget } from "../../../src/util/budget.ts";
import { cleanReason } from "../../../src/util/clean-text.ts";

let lines: string[];

beforeEach(() => {
  lines = [];
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.resetModules();
  for (const name of ["log", "warn", "error"] as const) {
    vi.spyOn(console, name).mockImplementation((text: string) => void lines.push(text));
  }
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** With all budgets full. */
const fresh = () => import("../../../src/util/log.ts");

describe("log", () => {
  test("one JSON object a line: level, message, fields", async () => {
    const { logError, logInfo, logWarning } = await fresh();
    logError("it broke", { shard: 3 });
    logWarning("odd", { tenant: "acme" });
    logInfo("done");
    expect(lines.map((line): unknown => JSON.parse(line))).toEqual([
      { level: "error", message: "it broke", shard: 3 },
      { level: "warning", message: "odd", tenant: "acme" },
      { level: "info", message: "done" },
    ]);
  });

  test("no field takes the place of level and message", async () => {
    const { logError } = await fresh();
    logError("it broke", { level: "none", message: "nothing" });
    expect(JSON.parse(lines[0] ?? "")).toEqual({ level: "error", message: "it broke" });
  });

  test("a flood of one message leaves the others their lines, and says how many were left out", async () => {
    const { logError } = await fresh();
    for (let i = 0; i < 10_000; i++) logError("flood", { i });
    expect(lines).toHaveLength(50);
    logError("something else");
    expect(lines).toHaveLength(51);
    vi.setSystemTime(Date.now() + 2_000);
    logError("flood");
    logError("flood");
    expect(lines).toHaveLength(52);
    expect(JSON.parse(lines[51] ?? "")).toEqual({ level: "error", message: "flood", leftOut: 9_950 });
  });

  test("messages that are all different share a budget when there are too many", async () => {
    const { logError } = await fresh();
    for (let i = 0; i < 10_000; i++) logError(`message ${i}`);
    expect(lines).toHaveLength(150);
  });

  test("what errors say is cut and cleaned, tokens are masked anywhere", async () => {
    const { logError } = await fresh();
    logError("it broke", {
      error: `Unexpected token 'h', "hunter2" is not valid JSON`,
      what: `rbt_acme_${"0".repeat(40)} and more`,
      stack: "x".repeat(10_000),
    });
    const line = JSON.parse(lines[0] ?? "") as Record<string, string>;
    expect(line["error"]).toBe("Unexpected token ... is not valid JSON");
    expect(line["what"]).toBe("rbt_* and more");
    expect(line["stack"]?.length).toBe(2_000);
  });
});

describe("reasons", () => {
  test.each([
    ["no quotes at all at byte 12", "no quotes at all at byte 12"],
    ['"a" is not "b", is it', "..., is it"],
    ['a quote that "never ends', "a quote that ..."],
    ["two\nlines\n  and more", "two lines and more"],
    ["a long one ".repeat(100), `${"a long one ".repeat(100).slice(0, 297)}...`],
    [`hash ${"f".repeat(64)} here`, "hash * here"],
  ])("%s", (message, clean) => {
    expect(cleanReason(message)).toBe(clean);
  });
});

describe("budget", () => {
  test("a burst, then one in so many ms; a clock that goes back earns nothing", () => {
    const clock = { ms: 1_000, now: (): number => clock.ms };
    const budget = new Budget(3, 100, clock);
    const taken = () => Array.from({ length: 5 }, () => budget.take()).filter(Boolean).length;
    expect(taken()).toBe(3);
    clock.ms += 99;
    expect(taken()).toBe(0);
    clock.ms += 1;
    expect(taken()).toBe(1);
    clock.ms += 10_000;
    expect(taken()).toBe(3);
    clock.ms -= 5_000;
    expect(taken()).toBe(0);
    clock.ms += 100;
    expect(taken()).toBe(1);
  });
});
