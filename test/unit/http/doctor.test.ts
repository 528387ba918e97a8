import { beforeEach, describe, expect, test, vi } from "vitest";
import { NOTE_EVERY_MS, RENEW_EVERY_MS } from "../../../src/insight/reporter.ts";
import { ADMIN_TOKEN } from "../../support/access-world.ts";
import { InsightWorld } from "../../support/insight-world.ts";
import { batchOf, spanWith } from "../../support/otlp.ts";

interface Line {
  readonly code: string;
  readonly path: string;
  readonly count: number;
  readonly userAgent?: string;
}

interface Report {
  readonly tenant?: string;
  readonly refused?: readonly Line[];
  readonly accepted?: readonly Readonly<Record<string, unknown>>[];
  readonly clocks?: { readonly leastDelayMs: number; readonly advice: string };
  readonly batches?: Readonly<Record<string, number | string>>;
  readonly selfTest?: Readonly<Record<string, unknown>>;
  readonly unassigned?: { readonly refused: readonly Line[] };
}

let world: InsightWorld;
let ingest: string;
let admin: string;

beforeEach(async () => {
  vi.spyOn(console, "log").mockImplementation(() => {});
  world = new InsightWorld();
  ingest = (await world.token("acme")).text;
  admin = (await world.token("acme", { scopes: ["admin"] })).text;
  await world.token("rival");
});

type App = ReturnType<InsightWorld["app"]>;

function send(
  app: App,
  path: string,
  token: string | undefined,
  more: Partial<RequestInit> & { spans?: number; endMs?: number } = {},
) {
  const { spans = 1, endMs = world.nowMs, headers, ...init } = more;
  const end = BigInt(endMs) * 1_000_000n;
  const all = Array.from({ length: spans }, () =>
    spanWith({ startTimeUnixNano: end - 5n, endTimeUnixNano: end }),
  );
  return app.request(path, {
    method: "POST",
    body: new Uint8Array(batchOf(...all)),
    headers: {
      "content-type": "application/x-protobuf",
      "user-agent": "OTel-OTLP-Exporter-JavaScript/0.301.0",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(headers as Record<string, string> | undefined),
    },
    ...init,
  });
}

async function ask(app: App, token: string, query = ""): Promise<{ status: number; report: Report }> {
  const response = await app.request(`/api/doctor${query}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  return { status: response.status, report: await response.json<Report>() };
}

describe("doctor", () => {
  test("shows what every isolate saw, whichever answers", async () => {
    const [one, two, three] = [world.app(), world.app(), world.app()];
    await send(one, "/v1/trace", ingest);
    await send(two, "/v1/traces", ingest, { spans: 3 });
    await world.later.pass(0);
    const { report } = await ask(three, admin);
    expect(report.tenant).toBe("acme");
    expect(report.refused).toMatchObject([
      { code: "path_traces", path: "/v1/trace", count: 1, method: "POST" },
    ]);
    expect(report.accepted).toMatchObject([
      { protocol: "otlp/http protobuf", spans: 3, userAgent: "OTel-OTLP-Exporter-JavaScript/0.301.0" },
    ]);
    expect(report.unassigned).toBeUndefined();
    expect(report.selfTest).toMatchObject({ ok: true, shards: 1 });
    expect([...world.probes.keys()]).toEqual(["acme/0"]);
  });

  test("what the asked isolate saw a moment ago is in it", async () => {
    const app = world.app();
    await send(app, "/v1/trace", ingest);
    await send(app, "/v1/logs", ingest);
    const { report } = await ask(app, admin);
    expect(report.refused?.map(({ code }) => code).sort()).toEqual(["logs", "path_traces"]);
  });

  test("each protocol's last batch, and the advice for batches", async () => {
    const app = world.app();
    await send(app, "/v1/traces", ingest, { spans: 10, endMs: world.nowMs - 4_000 });
    await app.request("/api/v2/spans", {
      method: "POST",
      headers: { "x-api-key": ingest },
      body: JSON.stringify([
        { traceId: "ab".repeat(16), id: "cd".repeat(8), timestamp: world.nowMs * 1000, duration: 1 },
      ]),
    });
    const { report } = await ask(app, admin);
    expect(report.accepted?.map(({ protocol, spans }) => [protocol, spans])).toEqual([
      ["otlp/http protobuf", 10],
      ["zipkin v2 json", 1],
    ]);
    expect(report.batches).toMatchObject({
      requests: 2,
      spans: 11,
      spansPerRequest: 5.5,
      advisedSpansPerRequest: 4096,
    });
    const { requestUsdPerBillionSpans: now, advisedUsdPerBillionSpans: then } = report.batches ?? {};
    expect(Number(now) / Number(then)).toBeCloseTo(4096 / 5.5, 6);
    expect(report.clocks?.advice).toBe("clocks agree");
  });

  test("a clock that is ahead, and one that is behind", async () => {
    await send(world.app(), "/v1/traces", ingest, { endMs: world.nowMs + 60_000 });
    const ahead = await ask(world.app(), admin);
    expect(ahead.report.clocks).toMatchObject({
      leastDelayMs: -60_000,
      advice: expect.stringMatching(/60 s ahead/),
    });
    world = new InsightWorld();
    ingest = (await world.token("acme")).text;
    admin = (await world.token("acme", { scopes: ["admin"] })).text;
    await send(world.app(), "/v1/traces", ingest, { endMs: world.nowMs - 600_000 });
    const behind = await ask(world.app(), admin);
    expect(behind.report.clocks?.advice).toMatch(/no span arrived sooner than 600 s/);
  });

  test("requests that name no known tenant are the operator's to see", async () => {
    const app = world.app();
    await send(app, "/v1/traces", undefined);
    await send(app, "/v1/traces", "rbt_acme_" + "0".repeat(40));
    const operator = await ask(app, ADMIN_TOKEN);
    expect(operator.report.tenant).toBeUndefined();
    expect(operator.report.unassigned?.refused.map(({ code }) => code).sort()).toEqual([
      "token_missing",
      "token_unknown",
    ]);
    const tenant = await ask(app, ADMIN_TOKEN, "?tenant=acme");
    expect(tenant.report).toMatchObject({ tenant: "acme", refused: [] });
    expect((await ask(app, admin)).report.refused).toEqual([]);
  });

  test("nobody sees another tenant's", async () => {
    const app = world.app();
    expect(await ask(app, admin, "?tenant=rival")).toMatchObject({ status: 403 });
    expect(await ask(app, admin, "?tenant=nobody")).toMatchObject({ status: 403 });
    expect(await ask(app, ingest)).toMatchObject({ status: 403 });
    expect((await app.request("/api/doctor")).status).toBe(401);
    expect(world.probes.size).toBe(0);
    expect(await ask(app, admin, "?tenant=a%2Fb")).toMatchObject({ status: 400 });
    expect(await ask(app, ADMIN_TOKEN, "?tenant=nobody")).toMatchObject({ status: 404 });
    expect(world.probes.size).toBe(0);
  });

  test("a self-test that fails says at which shard", async () => {
    world.app();
    const app = world.app({}, {});
    world.tenant("acme").setShardCount(2);
    world.nowMs += 120_000;
    world.probeFailure = "acme/1";
    const { report } = await ask(app, admin);
    expect(report.selfTest).toMatchObject({ ok: false, shards: 2, failed: [{ shard: 1 }] });
  });
});

describe("notes", () => {
  test("one a tenant, isolate and NOTE_EVERY_MS, however many requests are refused", async () => {
    const app = world.app();
    for (let i = 0; i < 30; i++) await send(app, i % 2 === 0 ? "/v1/trace" : `/v1/logs`, ingest);
    expect(world.notes).toHaveLength(1);
    await world.later.pass(NOTE_EVERY_MS);
    expect(world.notes).toHaveLength(2);
    const { report } = await ask(app, admin);
    expect(report.refused?.reduce((sum, { count }) => sum + count, 0)).toBe(30);
  });

  test("without news one every RENEW_EVERY_MS, with the sums of all batches", async () => {
    const app = world.app();
    for (let i = 0; i < 20; i++) {
      await send(app, "/v1/traces", ingest);
      await world.later.pass(NOTE_EVERY_MS);
    }
    expect(world.notes).toHaveLength(1);
    await world.later.pass(RENEW_EVERY_MS);
    await send(app, "/v1/traces", ingest);
    await world.later.pass(0);
    expect(world.notes.map(({ note }) => note.batches?.requests)).toEqual([1, 20]);
  });

  test("what was noted outlives the object", async () => {
    await send(world.app(), "/v1/trace", ingest);
    await send(world.app(), "/v1/traces", ingest, { spans: 2 });
    await world.later.pass(0);
    world.evict();
    const { report } = await ask(world.app(), admin);
    expect(report.refused).toMatchObject([{ code: "path_traces" }]);
    expect(report.accepted).toMatchObject([{ spans: 2 }]);
  });

  test("a flood writes ten rows, then one a minute", async () => {
    const set = vi.spyOn(world.saved, "set");
    for (let i = 0; i < 60; i++) {
      await send(world.app(), "/v1/trace", ingest);
      await world.later.pass(1_000);
    }
    expect(world.notes).toHaveLength(60);
    expect(set).toHaveBeenCalledTimes(10);
  });

  test("lines and texts are bounded, whatever is sent", async () => {
    const app = world.app();
    for (let i = 0; i < 300; i++) {
      await send(app, "/v1/trace", ingest, { headers: { "user-agent": `agent ${i} ${"x".repeat(300)}` } });
      await world.later.pass(100);
    }
    await world.later.pass(NOTE_EVERY_MS);
    const { report } = await ask(app, admin);
    expect(report.refused?.length).toBe(50);
    expect(
      Math.max(...(report.refused ?? []).map(({ userAgent }) => userAgent?.length ?? 0)),
    ).toBeLessThanOrEqual(100);
    expect(world.saved.get("acme")?.length).toBeLessThan(60_000);
  });
});
