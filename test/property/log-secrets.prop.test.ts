// Whatever a request holds, and wherever: no line of the log, and no note for the doctor, shows a secret or what is in spans.
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { formatToken } from "../../src/model/token.ts";
import { AppError } from "../../src/util/errors.ts";
import { ADMIN_TOKEN } from "../support/access-world.ts";
import { InsightWorld } from "../support/insight-world.ts";
import { batchOf, spanWith } from "../support/otlp.ts";

const lines: string[] = [];

beforeEach(() => {
  // The log has a budget by the clock: a later time each run, so that every line is to be seen.
  vi.useFakeTimers({ toFake: ["Date"] });
  for (const name of ["log", "warn", "error", "info", "debug"] as const) {
    vi.spyOn(console, name).mockImplementation(
      (...args: unknown[]) => void lines.push(args.map(String).join(" ")),
    );
  }
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Time passes until budgets and pauses are over. */
async function pass(world: InsightWorld): Promise<void> {
  vi.setSystemTime(Date.now() + 3_600_000);
  await world.later.pass(3_600_000);
}

/** Letters that no word of ours holds in this order. */
const arbSecret = fc
  .stringMatching(/^[a-zA-Z0-9]{10,30}$/)
  .map((text) => `zq${text}`)
  .filter((text) => !/^[a-z]+$/.test(text));

interface Planted {
  readonly secret: string;
  /** Whether notes may show it: a tenant's admin sees its own senders' headers. */
  readonly isShown?: boolean;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly method?: string;
}

const json = (value: unknown): string => JSON.stringify(value);
const spanJson = (secret: string): object => ({
  resourceSpans: [
    {
      resource: { attributes: [{ key: "service.name", value: { stringValue: secret } }] },
      scopeSpans: [
        {
          spans: [
            {
              traceId: "ab".repeat(16),
              spanId: "cd".repeat(8),
              name: secret,
              attributes: [{ key: secret, value: { stringValue: secret } }],
              status: { message: secret },
            },
          ],
        },
      ],
    },
  ],
});
const zipkin = (secret: string): object => ({
  traceId: secret,
  id: "1",
  name: secret,
  tags: { [secret]: secret },
});

const inJson = (body: string) => ({ headers: { "content-type": "application/json" }, body });

/** Where somebody may put it. */
const PLACES: readonly ((secret: string) => Omit<Planted, "secret">)[] = [
  (secret) => ({ headers: { authorization: `Bearer ${secret}` } }),
  (secret) => ({ headers: { authorization: secret } }),
  (secret) => ({ headers: { authorization: `Basic ${btoa(`user:${secret}`)}` } }),
  (secret) => ({ headers: { authorization: `Bearer%20${secret}` } }),
  (secret) => ({ headers: { "x-api-key": secret } }),
  (secret) => ({ headers: { "x-scope-orgid": secret } }),
  (secret) => ({ headers: { "x-scope-orgid": `${secret}/"` } }),
  (secret) => ({ headers: { "user-agent": `agent ${secret}` }, isShown: true }),
  (secret) => ({ headers: { "content-encoding": secret }, isShown: true }),
  (secret) => ({ headers: { "content-type": `application/${secret}` }, isShown: true }),
  (secret) => ({ headers: { "content-type": `application/json; charset=${secret}` }, body: "{" }),
  (secret) => ({ headers: { cookie: secret, "x-whatever": secret, referer: `https://${secret}.example/` } }),
  (secret) => ({ path: `/${secret}` }),
  (secret) => ({ path: `/v1/traces/${secret}` }),
  (secret) => ({ path: `/v1/traces?token=${secret}` }),
  (secret) => ({ path: `/v1/trace?api_key=${secret}` }),
  (secret) => ({ path: `/api/search?q={span.a="${secret}"`, method: "GET" }),
  (secret) => ({ path: `/api/search?q=${secret}`, method: "GET" }),
  (secret) => ({ path: `/api/search?limit=${secret}`, method: "GET" }),
  (secret) => ({ path: `/api/traces/${secret}`, method: "GET" }),
  (secret) => ({ path: `/api/v2/search/tag/${secret}/values`, method: "GET" }),
  (secret) => ({ path: `/api/doctor?tenant=${secret}`, method: "GET" }),
  (secret) => ({ path: `/metrics?page=${secret}`, method: "GET" }),
  (secret) => inJson(json(spanJson(secret))),
  (secret) => inJson(json(spanJson(secret)).slice(0, -3)),
  (secret) => inJson(`{"resourceSpans": ${secret}}`),
  (secret) => inJson(`{"${secret}": [}`),
  (secret) => inJson(secret),
  (secret) => inJson(json({ resourceSpans: [{ scopeSpans: [{ spans: [{ traceId: secret }] }] }] })),
  (secret) =>
    inJson(
      json({ resourceSpans: [{ scopeSpans: [{ spans: [{ startTimeUnixNano: secret, kind: secret }] }] }] }),
    ),
  (secret) => inJson(json({ resourceSpans: secret })),
  (secret) => ({
    body: batchOf(spanWith({ name: secret, spanId: new Uint8Array(8) }), spanWith({ name: secret })),
  }),
  (secret) => ({ body: batchOf(spanWith({ name: secret })).subarray(0, -1) }),
  (secret) => ({ body: new TextEncoder().encode(secret) }),
  (secret) => ({ path: "/api/v2/spans", ...inJson(json([zipkin(secret)])) }),
  (secret) => ({
    path: "/api/v2/spans",
    ...inJson(
      json([
        { ...zipkin("ab"), timestamp: secret },
        { ...zipkin("cd"), kind: secret },
      ]),
    ),
  }),
  (secret) => ({ path: "/api/v2/spans", ...inJson(`[{"id": "1", "traceId": "2", "${secret}": tru`) }),
  (secret) => ({
    path: "/api/v1/spans",
    ...inJson(json([{ ...zipkin("ab"), annotations: [{ value: secret }], debug: secret }])),
  }),
  (secret) => ({ path: "/api/traces", headers: { "content-type": "application/x-thrift" }, body: secret }),
];

const arbPlanted: fc.Arbitrary<Planted> = fc
  .tuple(
    fc.oneof(
      { weight: 4, arbitrary: arbSecret },
      {
        weight: 1,
        arbitrary: fc.uint8Array({ minLength: 20, maxLength: 20 }).map((bytes) => formatToken("acme", bytes)),
      },
    ),
    fc.constantFrom(...PLACES),
  )
  .map(([secret, place]) => Object.assign({ secret }, place(secret)));

/** What a shard does with the batch. */
const arbShard = fc.constantFrom("ok", "throws", "refuses", "corrupt");

describe("secrets", () => {
  test("are in no line of the log, and in no note", { timeout: 120_000 }, async () => {
    const world = new InsightWorld();
    const good = (await world.token("acme", { scopes: ["ingest", "read", "admin", "metrics"] })).text;
    const app = world.app();
    let logged = 0;
    await fc.assert(
      fc.asyncProperty(arbPlanted, arbShard, fc.boolean(), async (planted, shard, isOpen) => {
        const {
          secret,
          path = "/v1/traces",
          method = "POST",
          body = batchOf(spanWith({ name: secret })),
        } = planted;
        lines.length = 0;
        world.notes.length = 0;
        await pass(world);
        world.append = async () => {
          if (shard === "throws")
            throw new SyntaxError(`Unexpected token 'z', "${secret}" is not valid JSON`);
          if (shard === "corrupt") throw new AppError("corrupt", `stored bytes are wrong: "${secret}"`);
          if (shard === "ok") return { ok: true };
          return { ok: false, kind: "rate_limited", message: "more than 5 spans a second", retryAfterMs: 1 };
        };
        const target = isOpen ? world.app({ mode: "open", isMultitenant: false }) : app;
        const headers = new Headers({
          "content-type": "application/x-protobuf",
          authorization: `Bearer ${good}`,
          ...planted.headers,
        });
        await target.request(`https://rubato.example${path}`, {
          method,
          headers,
          ...(method === "POST" ? { body: typeof body === "string" ? body : new Uint8Array(body) } : {}),
        });
        await world.later.pass(60_000);
        logged += lines.length;
        const said = lines.join("\n");
        expect(said).not.toContain(secret);
        expect(said).not.toContain(good);
        for (const line of lines)
          expect(JSON.parse(line)).toMatchObject({ level: expect.any(String), message: expect.any(String) });
        const notes = JSON.stringify(world.notes);
        expect(notes).not.toContain(good);
        const mayShow = planted.isShown === true && !secret.startsWith("rbt_");
        expect(mayShow ? "" : notes).not.toContain(secret);
      }),
      { numRuns: 2_000 },
    );
    // It would see one if there were any.
    expect(logged).toBeGreaterThan(1_000);
  });

  test("the operator's secret is in none either", async () => {
    const world = new InsightWorld();
    lines.length = 0;
    const app = world.app();
    for (const authorization of [`Bearer ${ADMIN_TOKEN}`, ADMIN_TOKEN, `Bearer ${ADMIN_TOKEN}x`]) {
      await app.request("/v1/traces", { method: "POST", headers: { authorization } });
      await pass(world);
    }
    expect(lines.length).toBe(3);
    expect(lines.join("\n") + JSON.stringify(world.notes)).not.toContain(ADMIN_TOKEN);
  });
});
