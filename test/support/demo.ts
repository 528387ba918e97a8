// `npm run demo`: a minute of realistic traffic for a running server, then where to look at it.
//   RUBATO_URL       server (default http://localhost:8787)
//   --seconds=60     how long
//   --rate=1000      spans a second
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs, promisify } from "node:util";
import { gzip } from "node:zlib";
import { makeGenerator } from "./generator.ts";

const SPANS_PER_TRACE = 10;
const BATCHES_PER_SECOND = 2;
const LINKS_SHOWN = 5;

const compress = promisify(gzip);

class DemoError extends Error {}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new DemoError(`--${name} is no positive number: ${text}`);
  return value;
}

async function post(url: string, batch: Uint8Array): Promise<Response> {
  try {
    return await fetch(`${url}/v1/traces`, {
      method: "POST",
      headers: { "content-type": "application/x-protobuf", "content-encoding": "gzip" },
      body: await compress(batch),
    });
  } catch (error) {
    throw new DemoError(`no server answers at ${url}; start one with "npm start" or set RUBATO_URL`, {
      cause: error,
    });
  }
}

/** Sends the batch until the server takes it: 429 and 503 ask for patience. */
async function send(url: string, batch: Uint8Array): Promise<void> {
  for (;;) {
    const response = await post(url, batch);
    const text = await response.text();
    if (response.ok) return;
    if (response.status !== 429 && response.status !== 503) {
      throw new DemoError(`${url} answers ${response.status}: ${text.trim()}`);
    }
    await sleep(1000 * Number(response.headers.get("retry-after") ?? 1));
  }
}

/** Traces whose spans were all sent: the oldest of the latest hundred. */
function finished(ids: readonly string[]): readonly string[] {
  return ids.slice(-100).slice(0, LINKS_SHOWN);
}

async function demo(url: string, seconds: number, rate: number): Promise<void> {
  const startMs = Date.now();
  const generator = makeGenerator({
    // Other ids each time, or a second demo would add its spans to the first one's traces.
    seed: startMs % 2 ** 32,
    startNs: BigInt(startMs) * 1_000_000n,
    spansPerTrace: SPANS_PER_TRACE,
    tracesPerSecond: rate / SPANS_PER_TRACE,
  });
  const batchSpans = Math.max(1, Math.round(rate / BATCHES_PER_SECOND));
  const batches = Math.ceil(seconds * BATCHES_PER_SECOND);
  console.log(`Sending ${rate} spans a second to ${url} for ${seconds} s`);
  let sent = 0;
  for (let i = 0; i < batches; i++) {
    await sleep(Math.max(0, startMs + (1000 * (i + 1)) / BATCHES_PER_SECOND - Date.now()));
    await send(url, generator.batch(batchSpans));
    sent += batchSpans;
    if ((i + 1) % (5 * BATCHES_PER_SECOND) === 0 || i + 1 === batches) {
      console.log(`${Math.round((Date.now() - startMs) / 1000)} s: ${sent} spans accepted`);
    }
  }
  console.log("\nSome of the traces:");
  for (const id of finished(generator.traceIds())) console.log(`  ${url}/api/traces/${id}`);
}

try {
  const { values } = parseArgs({
    options: { seconds: { type: "string", default: "60" }, rate: { type: "string", default: "1000" } },
  });
  const url = (process.env["RUBATO_URL"] ?? "http://localhost:8787").replace(/\/+$/, "");
  await demo(url, positive("seconds", values.seconds), positive("rate", values.rate));
} catch (error) {
  if (!(error instanceof DemoError || (error instanceof Error && "code" in error))) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
