import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { LINE_EVERY_MS, LINES_AT_ONCE, SLOW_MS } from "../../../src/http/observe.ts";
import { oneShard } from "../../support/fake-shard.ts";
import { InsightWorld } from "../../support/insight-world.ts";

let lines: Readonly<Record<string, unknown>>[];

beforeEach(() => {
  lines = [];
  // The budget of all lines with a message is another one: it is full anew each hour.
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(Date.now() + 3_600_000 * (1 + lines.length));
  for (const name of ["log", "warn", "error"] as const) {
    vi.spyOn(console, name).mockImplementation((text: string) => {
      lines.push(JSON.parse(text) as Record<string, unknown>);
    });
  }
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("the log of requests", () => {
  test("a refused one: route, status, tenant, token's id, reason; nothing that was sent", async () => {
    const world = new InsightWorld();
    const { text, record } = await world.token("acme", { scopes: ["read"] });
    await world
      .app()
      .request("/v1/traces?x=y", { method: "POST", headers: { authorization: `Bearer ${text}` } });
    expect(lines).toEqual([
      {
        level: "info",
        message: "request refused",
        route: "/v1/traces",
        status: 403,
        ms: 0,
        tenant: "acme",
        token: record.id,
        code: "scope",
      },
    ]);
  });

  test("a flood is a few lines, which say how many were left out", async () => {
    const world = new InsightWorld();
    const app = world.app();
    for (let i = 0; i < 300; i++) await app.request("/v1/traces", { method: "POST" });
    expect(lines).toHaveLength(LINES_AT_ONCE);
    world.nowMs += LINE_EVERY_MS;
    await app.request("/v1/traces", { method: "POST" });
    expect(lines).toHaveLength(LINES_AT_ONCE + 1);
    expect(lines.at(-1)).toMatchObject({ leftOut: 300 - LINES_AT_ONCE, code: "token_missing" });
  });

  test("a slow query, not a slow batch", async () => {
    const world = new InsightWorld();
    const { text } = await world.token("acme", { scopes: ["read", "ingest"] });
    const slowly = (ms: number) => async () => {
      world.nowMs += ms;
      return { epochs: [], blocks: [] };
    };
    const ask = async (ms: number): Promise<void> => {
      const app = world.app({}, { shards: oneShard({ snapshot: slowly(ms) }) });
      await app.request("/api/search?q=%7B%7D", { headers: { authorization: `Bearer ${text}` } });
    };
    await ask(SLOW_MS - 1);
    expect(lines).toEqual([]);
    await ask(SLOW_MS);
    expect(lines).toMatchObject([
      {
        level: "warning",
        message: "slow query",
        route: "/api/search",
        status: 200,
        ms: SLOW_MS,
        tenant: "acme",
      },
    ]);
  });

  test("what is as it should be is not logged", async () => {
    const world = new InsightWorld();
    const app = world.app();
    expect((await app.request("/ready")).status).toBe(200);
    expect(lines).toEqual([]);
  });
});
