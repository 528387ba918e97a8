// The runtime is killed under load, again and again: no acknowledged span is lost, none appears twice.
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeGenerator } from "../support/generator.ts";
import { makeRandom } from "../support/random.ts";
import { type TestServer, type TestServers, testServers } from "../support/server.ts";
import { findSpans } from "../support/span-ids.ts";

const TRIALS = 20;
const CLIENTS = 4;
const BATCH_SPANS = 64;
/** Batches that each client sends after the kill at least, so that the restarted runtime has work, too. */
const BATCHES_AFTER = 2;
const RETRY_MS = 25;
const ATTEMPTS_MAX = 600;

let servers: TestServers;
let server: TestServer;

beforeAll(async () => {
  servers = await testServers();
  // Flushes happen all the time, so that kills hit them as well.
  server = await servers.start({ FLUSH_AGE_SECONDS: "0.4", FLUSH_BYTES: "400000" });
});
afterAll(() => servers.end());

/** Sends until acknowledged, as an OpenTelemetry client does; counts how often the runtime was gone. */
async function send(body: Uint8Array, lost: { count: number }): Promise<void> {
  let last = "";
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    try {
      const response = await fetch(`${server.url}/v1/traces`, {
        method: "POST",
        headers: { "content-type": "application/x-protobuf", "content-encoding": "gzip" },
        body: body as BodyInit,
      });
      last = `${response.status} ${await response.text()}`;
      if (response.status === 200) return;
      if (response.status !== 429 && response.status < 500) throw new Error(`answered ${last}`);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      last = String(error.cause);
      lost.count++;
    }
    await sleep(RETRY_MS);
  }
  throw new Error(`the server did not come back: ${last}; ${server.logs.slice(-3).join("; ")}`);
}

async function spanIdsOf(traceId: string): Promise<string[]> {
  const response = await fetch(`${server.url}/api/traces/${traceId}`, {
    headers: { accept: "application/protobuf" },
  });
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (response.status === 404) return [];
  expect(response.status).toBe(200);
  return findSpans(bytes).map(({ spanId }) => spanId);
}

interface Differences {
  lost: number;
  twice: number;
  /** Spans that nobody sent, or of another trace. */
  alien: number;
}

function compareTrace(expected: ReadonlySet<string>, found: readonly string[], into: Differences): void {
  const unique = new Set(found);
  into.twice += found.length - unique.size;
  for (const spanId of expected) if (!unique.has(spanId)) into.lost++;
  for (const spanId of unique) if (!expected.has(spanId)) into.alien++;
}

/** Looks every trace up. */
async function compare(expected: ReadonlyMap<string, ReadonlySet<string>>): Promise<Differences> {
  const differences = { lost: 0, twice: 0, alien: 0 };
  const queue = Array.from(expected);
  const worker = async (): Promise<void> => {
    for (let entry = queue.pop(); entry !== undefined; entry = queue.pop()) {
      compareTrace(entry[1], await spanIdsOf(entry[0]), differences);
    }
  };
  await Promise.all(Array.from({ length: 4 }, worker));
  return differences;
}

const NONE: Differences = { lost: 0, twice: 0, alien: 0 };

test(
  `${TRIALS} kills under load: every acknowledged span is there, exactly once`,
  { timeout: 600_000 },
  async () => {
    const random = makeRandom(20);
    const generator = makeGenerator({ seed: 21 });
    const all = new Map<string, Set<string>>();
    let lostConnections = 0;
    let batches = 0;
    for (let trial = 0; trial < TRIALS; trial++) {
      const expected = new Map<string, Set<string>>();
      const lost = { count: 0 };
      const state = { killed: false };
      const client = async (): Promise<void> => {
        for (let after = 0; after < BATCHES_AFTER;) {
          const batch = generator.batch(BATCH_SPANS);
          await send(gzipSync(batch, { level: 1 }), lost);
          for (const { traceId, spanId } of findSpans(batch)) {
            // Traces go on over batches, so what is expected of one includes earlier trials.
            const spanIds = all.get(traceId) ?? new Set();
            all.set(traceId, spanIds.add(spanId));
            expected.set(traceId, spanIds);
          }
          batches++;
          if (state.killed) after++;
        }
      };
      const before = await server.server.runtimePid();
      const clients = Promise.all(Array.from({ length: CLIENTS }, client));
      await Promise.race([clients, sleep(50 + random.below(500))]);
      await server.server.kill();
      state.killed = true;
      await clients;
      expect(await server.server.runtimePid()).not.toBe(before);
      expect({ trial, ...(await compare(expected)) }).toEqual({ trial, ...NONE });

      lostConnections += lost.count;
    }
    // Kills that hit no request would prove nothing.
    expect(lostConnections).toBeGreaterThan(TRIALS);
    expect(batches).toBeGreaterThan(TRIALS * CLIENTS * BATCHES_AFTER);
    server = await servers.restart({ FLUSH_AGE_SECONDS: "0.4" });
    expect(await compare(all)).toEqual(NONE);
  },
);
