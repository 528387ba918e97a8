// Seeing inside a running server: a real Prometheus scrapes it, a doctor looks at it, its log is read.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ROOT } from "../support/child.ts";
import { batchOf, spanWith } from "../support/otlp.ts";
import {
  checkMetrics,
  findPrometheus,
  type Prometheus,
  type RunningPrometheus,
  startPrometheus,
} from "../support/prometheus.ts";
import { testServers, type TestServers } from "../support/server.ts";

const TOKEN = "an-operators-secret-of-some-length";
const MODE = { ACCESS: "tokens", ADMIN_TOKEN: TOKEN, FLUSH_AGE_SECONDS: "0.3" };
const OPERATOR = { authorization: `Bearer ${TOKEN}`, "x-scope-orgid": "single-tenant" };

const run = promisify(execFile);

let servers: TestServers;
let programs: Prometheus;
let url: string;
let running: RunningPrometheus | undefined;

beforeAll(async () => {
  programs = await findPrometheus();
  servers = await testServers();
  ({ url } = await servers.start(MODE));
}, 400_000);

afterAll(async () => {
  await running?.stop();
  await servers.end();
});

function send(spans: number, headers: Readonly<Record<string, string>> = OPERATOR, path = "/v1/traces") {
  const nowNs = BigInt(Date.now()) * 1_000_000n;
  const times = { startTimeUnixNano: nowNs - 1n, endTimeUnixNano: nowNs };
  const batch = batchOf(
    ...Array.from({ length: spans }, (_, i) =>
      spanWith({ ...times, spanId: Uint8Array.from([1, 2, 3, 4, 5, 6, i >> 8, (i & 255) | 1]) }),
    ),
  );
  return fetch(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/x-protobuf", ...headers },
    body: new Uint8Array(batch),
  });
}

const metrics = async (
  headers: Readonly<Record<string, string>> = { authorization: OPERATOR.authorization },
) => fetch(`${url}/metrics`, { headers });

/** As README has it. */
function config(target: string, token: string): string {
  return `
global: { scrape_interval: 1s, scrape_timeout: 1s }
scrape_configs:
  - job_name: rubato
    scheme: http
    authorization: { credentials: "${token}" }
    static_configs: [{ targets: ["${target}"] }]
  - job_name: nobody
    scheme: http
    static_configs: [{ targets: ["${target}"] }]
`;
}

async function valueOf(expression: string): Promise<number | undefined> {
  return (await running?.query(expression))?.[0]?.value;
}

describe("metrics", () => {
  test("promtool finds nothing wrong with what a server tells", async () => {
    expect((await send(40)).status).toBe(200);
    expect((await send(2)).status).toBe(200);
    expect((await fetch(`${url}/api/search`, { headers: OPERATOR })).status).toBe(200);
    const response = await metrics();
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(await checkMetrics(programs, await response.text())).toBe("");
  });

  test("a Prometheus scrapes it with the token, and not without one", async () => {
    running = await startPrometheus(programs, config(new URL(url).host, TOKEN));
    await expect.poll(() => valueOf('up{job="rubato"}'), { timeout: 30_000 }).toBe(1);
    await expect.poll(() => valueOf('up{job="nobody"}'), { timeout: 30_000 }).toBe(0);
    const spans = 'tempo_distributor_spans_received_total{tenant="single-tenant"}';
    await expect.poll(() => valueOf(spans), { timeout: 30_000 }).toBe(42);
    await send(8);
    await expect.poll(() => valueOf(spans), { timeout: 30_000 }).toBe(50);
    // What Tempo's dashboards ask for. What is counted after an answer goes with the next call, a second later at the earliest.
    await new Promise((done) => setTimeout(done, 1_100));
    await send(1);
    await expect
      .poll(() => valueOf('sum(tempo_request_duration_seconds_count{route="v1_traces",status_code="200"})'), {
        timeout: 30_000,
      })
      .toBe(3);
    await expect
      .poll(() => valueOf("sum(tempo_live_store_blocks_completed_total)"), { timeout: 30_000 })
      .toBeGreaterThan(0);
    expect(await valueOf("tempodb_blocklist_length")).toBeGreaterThan(0);
  });

  test("counters do not become less when the objects start anew", async () => {
    const read = async (): Promise<Map<string, number>> =>
      new Map(
        (await (await metrics()).text())
          .split("\n")
          .filter((line) => /^\w+_(total|count)(\{| )/.test(line))
          .map((line) => [
            line.slice(0, line.lastIndexOf(" ")),
            Number(line.slice(line.lastIndexOf(" ") + 1)),
          ]),
      );
    const before = await read();
    await running?.stop();
    running = undefined;
    ({ url } = await servers.restart(MODE));
    const after = await read();
    expect(before.size).toBeGreaterThan(20);
    const less = [...before].filter(([series, value]) => (after.get(series) ?? -1) < value);
    expect(less).toEqual([]);
  });
});

describe("doctor", () => {
  interface Report {
    readonly refused: readonly { readonly code: string; readonly fix: string }[];
    readonly accepted: readonly { readonly protocol: string; readonly spans: number }[];
    readonly selfTest: { readonly ok: boolean; readonly shards: number; readonly freshnessMs: number };
    readonly unassigned: { readonly refused: readonly { readonly code: string }[] };
  }
  const ask = async (): Promise<Report> => {
    const response = await fetch(`${url}/api/doctor?tenant=single-tenant`, { headers: OPERATOR });
    expect(response.status).toBe(200);
    return response.json<Report>();
  };

  test("says what was refused and what to do, what was stored, and that it works", async () => {
    await send(1, {});
    await send(1, OPERATOR, "/v1/trace");
    await send(7);
    const report = await ask();
    expect(report.refused[0]).toMatchObject({
      code: "path_traces",
      fix: expect.stringContaining("/v1/traces"),
    });
    expect(report.accepted).toMatchObject([{ protocol: "otlp/http protobuf", spans: 7 }]);
    expect(report.unassigned.refused.map(({ code }) => code)).toContain("token_missing");
    expect(report.selfTest).toMatchObject({ ok: true, shards: 1 });
  });

  test("npm run admin -- doctor says it for people", async () => {
    const { stdout } = await run(
      process.execPath,
      [join(ROOT, "src/cli/admin.ts"), "doctor", "single-tenant"],
      {
        env: { ...process.env, RUBATO_URL: url, ADMIN_TOKEN: TOKEN },
      },
    );
    expect(stdout).toMatch(/^single-tenant: refused\n {2}POST \/v1\/trace: 404, once, last /);
    expect(stdout).toMatch(/\n {4}-> the path is \/v1\/traces: /);
    expect(stdout).toMatch(/\nlast otlp\/http protobuf: \S+, 7 spans, /);
    expect(stdout).toMatch(/\nself-test: 1 shards write and read within \d+ ms\n/);
    expect(stdout).toMatch(/\nof no tenant that is known:\n/);
  });

  test("the self-test leaves nothing that is found", async () => {
    const found = await fetch(`${url}/api/search?q={}&limit=100`, { headers: OPERATOR });
    const { traces } = await found.json<{ traces: unknown[] }>();
    await ask();
    const again = await fetch(`${url}/api/search?q={}&limit=100`, { headers: OPERATOR });
    expect((await again.json<{ traces: unknown[] }>()).traces).toHaveLength(traces.length);
  });

  test("what was refused is known after a restart", async () => {
    ({ url } = await servers.restart(MODE));
    expect((await ask()).refused.map(({ code }) => code)).toContain("path_traces");
  });
});
