// What a tenant far over its limit does to another one: p99 of the quiet tenant's batches and lookups, with and without
// 64 clients of the noisy one, in turn.
//   node test/bench/neighbour.bench.ts
// On this machine Worker and objects of all tenants share one thread, and the clients two cores with it: in production each
// tenant's objects are their own, and the Worker is many. What stands here is the worst case: what one refusal costs.
import { fork } from "node:child_process";
import { connect } from "node:net";
import { loadavg, setPriority } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { makeGenerator } from "../support/generator.ts";
import { cpuNs } from "../support/process-stats.ts";
import { testServers } from "../support/server.ts";
import { findSpans } from "../support/span-ids.ts";

const SECRET = "an-admin-secret-of-the-bench";
const ROUNDS = 5;
const WINDOW_SECONDS = 6;
const CLIENTS = 64;
/** What the noisy tenant may send: a batch a second. */
const NOISY_SPANS = 512;
const QUIET_PER_SECOND = 25;
const QUIET_SPANS = 64;
/** So nice are the noisy clients. */
const NOISE_NICE = 10;
const TARGET_RATIO = 2;

interface NoiseCounts {
  stored: number;
  refused: number;
  others: number;
}

async function post(url: string, token: string, body: Uint8Array): Promise<number> {
  const response = await fetch(`${url}/v1/traces`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/x-protobuf",
      "content-encoding": "gzip",
    },
    body: body as BodyInit,
  });
  await response.arrayBuffer();
  return response.status;
}

/**
 * One client: a socket on which the same request is sent again as soon as it was answered. It costs a fraction of what
 * `fetch` does: the clients are not to be what is measured.
 */
function client(
  url: string,
  request: Uint8Array,
  flag: { isOver: boolean },
  counts: NoiseCounts,
): Promise<void> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(request));
    let answer = "";
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("the connection was closed")));
    socket.on("data", (data) => {
      answer += data.toString("latin1");
      const [head = "", body] = answer.split("\r\n\r\n", 2);
      const [, length = "0"] = /^content-length: *(\d+)/im.exec(head) ?? [];
      if (body === undefined || body.length < Number(length)) return;
      const [, status] = /^HTTP\/1\.1 (\d+)/.exec(head) ?? [];
      answer = "";
      if (status === "200") counts.stored++;
      else if (status === "429" && /^retry-after: \d+/im.test(head)) counts.refused++;
      else counts.others++;
      if (!flag.isOver) return void socket.write(request);
      resolve();
      socket.destroy();
    });
  });
}

/** All clients, in a process of their own, which yields to the server: theirs would be other machines. */
async function makeNoise(url: string, token: string, body: Buffer): Promise<void> {
  setPriority(NOISE_NICE);
  const counts = { stored: 0, refused: 0, others: 0 };
  const flag = { isOver: false };
  process.once("message", () => (flag.isOver = true));
  const head =
    `POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Encoding: gzip\r\n` +
    `Content-Type: application/x-protobuf\r\nContent-Length: ${body.length}\r\n\r\n`;
  const request = Buffer.concat([Buffer.from(head), body]);
  await Promise.all(Array.from({ length: CLIENTS }, () => client(url, request, flag, counts)));
  process.send?.(counts);
  process.disconnect();
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

async function measure(): Promise<void> {
  const servers = await testServers();
  const server = await servers.start({ ACCESS: "tokens", MULTITENANCY: "on", ADMIN_TOKEN: SECRET });
  const { url } = server;
  const generator = makeGenerator({ seed: 64 });

  async function admin<T>(method: string, path: string, body: object): Promise<T> {
    const response = await fetch(`${url}/api/admin/tenants/${path}`, {
      method,
      headers: { authorization: `Bearer ${SECRET}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
    return response.json<T>();
  }
  async function tokenOf(tenant: string): Promise<string> {
    const scopes = ["ingest", "read"];
    return (await admin<{ token: string }>("POST", `${tenant}/tokens`, { name: "bench", scopes })).token;
  }
  const quiet = await tokenOf("quiet");
  const noisy = await tokenOf("noisy");
  await admin("PATCH", "noisy/limits", {
    "ingestion.rate_limit_spans": NOISY_SPANS,
    "ingestion.burst_size_spans": 3 * NOISY_SPANS,
  });

  async function quietWindow(): Promise<{ ingestMs: number[]; lookupMs: number[] }> {
    const ingestMs: number[] = [];
    const lookupMs: number[] = [];
    const count = WINDOW_SECONDS * QUIET_PER_SECOND;
    const batches = Array.from({ length: count }, () => {
      const raw = generator.batch(QUIET_SPANS);
      return { gzip: gzipSync(raw), traceId: findSpans(raw)[0]?.traceId ?? "" };
    });
    const start = performance.now();
    const one = async ({ gzip, traceId }: (typeof batches)[number]): Promise<void> => {
      const sent = performance.now();
      const status = await post(url, quiet, gzip);
      const accepted = performance.now();
      if (status !== 200) throw new Error(`a batch of the quiet tenant was answered ${status}`);
      const found = await fetch(`${url}/api/traces/${traceId}`, {
        headers: { authorization: `Bearer ${quiet}`, accept: "application/protobuf" },
      });
      await found.arrayBuffer();
      if (found.status !== 200) throw new Error(`a trace of the quiet tenant was answered ${found.status}`);
      ingestMs.push(accepted - sent);
      lookupMs.push(performance.now() - accepted);
    };
    const running: Promise<void>[] = [];
    for (const [i, batch] of batches.entries()) {
      await sleep(Math.max(0, start + (1000 * i) / QUIET_PER_SECOND - performance.now()));
      running.push(one(batch));
    }
    await Promise.all(running);
    return { ingestMs, lookupMs };
  }

  const noise = [url, noisy, gzipSync(generator.batch(NOISY_SPANS)).toString("base64")];
  /** A window, and the CPU of the runtime meanwhile. */
  async function withCpu(): Promise<Awaited<ReturnType<typeof quietWindow>> & { cpuMs: number }> {
    const pid = (await server.server.runtimePid()) ?? 0;
    const before = cpuNs(pid);
    const window = await quietWindow();
    return { ...window, cpuMs: (cpuNs(pid) - before) / 1e6 };
  }
  async function noisyWindow(aloneCpuMs: number): Promise<Awaited<ReturnType<typeof quietWindow>>> {
    const clients = fork(import.meta.filename, noise);
    await sleep(1_000);
    const startMs = performance.now();
    const { cpuMs, ...window } = await withCpu();
    const seconds = (performance.now() - startMs) / 1000;
    const counted = new Promise<unknown>((resolve) => clients.once("message", resolve));
    clients.send("over");
    const counts = (await counted) as NoiseCounts;
    if (counts.others > 0) throw new Error(`${counts.others} of the noisy tenant's were neither 200 nor 429`);
    const perSecond = (counts.stored + counts.refused) / (seconds + 1);
    const cpuUs = (1000 * (cpuMs - aloneCpuMs)) / (perSecond * seconds);
    console.log(
      `noise: ${counts.stored} stored, ${counts.refused} refused; ${perSecond.toFixed(0)} requests/s, ` +
        `${cpuUs.toFixed(0)} us CPU each; CPU of the runtime ${(cpuMs / aloneCpuMs).toFixed(2)} times that alone`,
    );
    return window;
  }

  const ratios = { ingest: [] as number[], lookup: [] as number[] };
  // The first round warms up.
  for (let round = 0; round <= ROUNDS; round++) {
    const alone = await withCpu();
    const beside = await noisyWindow(alone.cpuMs);
    const p99 = [alone, beside].map(({ ingestMs, lookupMs }) => [
      percentile(ingestMs, 0.99),
      percentile(lookupMs, 0.99),
    ]);
    const [[ingestAlone = 0, lookupAlone = 0] = [], [ingestBeside = 0, lookupBeside = 0] = []] = p99;
    console.log(
      `p99 alone / beside: ingest ${ingestAlone.toFixed(1)} / ${ingestBeside.toFixed(1)} ms, ` +
        `lookup ${lookupAlone.toFixed(1)} / ${lookupBeside.toFixed(1)} ms; ` +
        `p50 ingest ${median(alone.ingestMs).toFixed(1)} / ${median(beside.ingestMs).toFixed(1)} ms; ` +
        `load ${loadavg()[0]?.toFixed(1)}`,
    );
    if (round === 0) continue;
    ratios.ingest.push(ingestBeside / ingestAlone);
    ratios.lookup.push(lookupBeside / lookupAlone);
  }
  for (const [what, each] of Object.entries(ratios)) {
    const ratio = median(each);
    console.log(
      `p99 of ${what} beside ${CLIENTS} clients over their limit against alone: ${ratio.toFixed(2)} ` +
        `(rounds ${Math.min(...each).toFixed(2)} to ${Math.max(...each).toFixed(2)}; target ${TARGET_RATIO}: ` +
        `${ratio <= TARGET_RATIO ? "met" : "MISSED"})`,
    );
  }
  await servers.end();
}

const [url, token, body] = process.argv.slice(2);
if (url === undefined || token === undefined || body === undefined) await measure();
else await makeNoise(url, token, Buffer.from(body, "base64"));
