// Limits as clients meet them: an app over a real shard in memory, whose tenant has limits of its own.
import { fromBinary } from "@bufbuild/protobuf";
import { gzipSync } from "node:zlib";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { Caller } from "../../../src/access/caller.ts";
import { createApp } from "../../../src/http/app.ts";
import { REFUSAL_MS, WAITING_MAX } from "../../../src/http/ingest-entry.ts";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import type { TenantLimitOverrides } from "../../../src/model/tenant-limits.ts";
import { ExportTraceServiceResponseSchema } from "../../../src/otlp/gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.ts";
import { TracesDataSchema } from "../../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { decodeHead, openBody } from "../../../src/segment/frame.ts";
import { MemoryShardStorage } from "../../../src/shard/memory-storage.ts";
import { Shard } from "../../../src/shard/shard.ts";
import { MemoryStore } from "../../../src/store/memory-store.ts";
import type { AppendBatch } from "../../../src/store/rpc.ts";
import { shardOfHash } from "../../../src/util/hash.ts";
import { oneShard } from "../../support/fake-shard.ts";
import { batchOf, SPAN_ID } from "../../support/otlp.ts";

const NOW = Date.UTC(2026, 10, 30);
const NOW_NS = BigInt(NOW) * 1_000_000n;
const PROTOBUF = { "content-type": "application/x-protobuf" };
const JSON_TYPE = { "content-type": "application/json" };

beforeEach(() => {
  vi.spyOn(console, "log").mockReturnValue();
  vi.spyOn(console, "warn").mockReturnValue();
});

interface Settings {
  readonly limits?: TenantLimitOverrides;
  /** Of the shards, when they know something else. */
  readonly shardLimits?: TenantLimitOverrides;
  readonly count?: number;
  readonly caller?: Partial<Caller>;
  readonly wait?: (ms: number) => Promise<unknown>;
}

async function setUp({ limits = {}, shardLimits = limits, count = 1, caller = {}, wait }: Settings = {}) {
  const clock = { ms: NOW, now: () => clock.ms };
  const appended: AppendBatch[] = [];
  const shards = Array.from({ length: count }, (_, shard) => {
    const ports = {
      storage: new MemoryShardStorage(),
      objects: new MemoryStore(),
      clock,
      pause: () => Promise.resolve(),
      sleep: async () => undefined,
      wakeCompactor: async () => undefined,
      requestGrowth: async () => undefined,
      reportSpend: async () => undefined,
    };
    return new Shard({ tenant: "single-tenant", shard }, DEFAULT_LIMITS, ports, null);
  });
  for (const shard of shards) await shard.configure({ limits: shardLimits });
  const gate = { wait: Promise.resolve() };
  const reading = oneShard({
    snapshot: async () => {
      await gate.wait;
      return { epochs: [], blocks: [] };
    },
  });
  const app = createApp({
    limits: DEFAULT_LIMITS,
    clock,
    objects: new MemoryStore(),
    ...(wait && { wait }),
    authenticator: {
      caller: async () => ({
        kind: "open",
        actor: "anyone",
        tenants: ["single-tenant"],
        scopes: new Set(["ingest", "read"]),
        ...caller,
      }),
    },
    shards: {
      ...reading,
      limitsOf: async () => limits,
      forWriting: async () => ({
        count,
        limits,
        shard: (index) => ({
          append: async (batch) => {
            appended.push(batch);
            return shards[index]!.append(batch);
          },
        }),
      }),
    },
  });
  const post = async (
    body: Uint8Array | string,
    headers: Record<string, string> = PROTOBUF,
    path = "/v1/traces",
  ) => app.request(path, { method: "POST", headers, body });
  const get = async (path: string) => app.request(path);
  const live = () => shards.reduce((sum, shard) => sum + shard.stats().liveSpans, 0);
  return { app, appended, clock, gate, get, live, post, shards };
}

function idOf(trace: number): Uint8Array {
  const id = new Uint8Array(16).fill(9);
  new DataView(id.buffer).setUint32(0, trace);
  return id;
}

const spanOf = (trace: number, more: object = {}) => ({ traceId: idOf(trace), spanId: SPAN_ID, ...more });
const many = (count: number) => Array.from({ length: count }, (_, i) => spanOf(i));
const attribute = (key: string, value: string) => ({
  key,
  value: { value: { case: "stringValue" as const, value } },
});

async function partialOf(response: Response) {
  expect(response.status).toBe(200);
  const bytes = new Uint8Array(await response.arrayBuffer());
  const { partialSuccess } = fromBinary(ExportTraceServiceResponseSchema, bytes);
  return partialSuccess === undefined
    ? undefined
    : { rejected: Number(partialSuccess.rejectedSpans), message: partialSuccess.errorMessage };
}

describe("one request", () => {
  test("as many spans as it may have, and one more: 413, and no shard is asked", async () => {
    const { appended, live, post } = await setUp({ limits: { maxSpansPerRequest: 5 } });
    expect(await partialOf(await post(batchOf(...many(5))))).toBeUndefined();
    expect((await post(batchOf(...many(6)))).status).toBe(413);
    expect([live(), appended.length]).toEqual([5, 1]);
  });

  test("as many bytes, inflated, and one more", async () => {
    const bytes = batchOf(...many(50));
    const gzip = { ...PROTOBUF, "content-encoding": "gzip" };
    for (const [less, status] of [
      [0, 200],
      [1, 413],
    ] as const) {
      const { post } = await setUp({ limits: { maxBytesPerRequest: bytes.length - less } });
      expect((await post(gzipSync(bytes), gzip)).status).toBe(status);
      expect((await post(bytes)).status).toBe(status);
    }
  });
});

describe("attributes", () => {
  const limits = { maxAttributeKeyBytes: 128, maxAttributeValueBytes: 128, maxAttributesPerSpan: 64 };

  test("what is too long is cut, stored and told, with no span rejected", async () => {
    const { appended, live, post } = await setUp({ limits });
    const attributes = [attribute("k".repeat(129), "v".repeat(128)), attribute("k", "v".repeat(500))];
    const response = await post(batchOf(spanOf(1, { attributes })));
    expect(await partialOf(response)).toEqual({
      rejected: 0,
      message: "truncated 2 attributes longer than the limit of 128 bytes for keys and 128 bytes for values",
    });
    const [batch] = appended;
    const stored = fromBinary(TracesDataSchema, openBody(decodeHead(batch!.head), batch!.body));
    expect(
      stored.resourceSpans[0]!.scopeSpans[0]!.spans[0]!.attributes.map(({ key, value }) => [
        key.length,
        JSON.stringify(value?.value.value).length - '""'.length,
      ]),
    ).toEqual([
      [128, 128],
      [1, 128],
    ]);
    expect(live()).toBe(1);
    const whole = [attribute("k".repeat(128), "v".repeat(128))];
    expect(await partialOf(await post(batchOf(spanOf(1, { attributes: whole }))))).toBeUndefined();
  });

  test("too many of them, in JSON and for several shards", async () => {
    const { live, post } = await setUp({ limits, count: 4 });
    const attributes = Array.from({ length: 66 }, (_, i) => ({ key: `k${i}`, value: { intValue: i } }));
    const spans = Array.from({ length: 20 }, (_, i) => ({
      traceId: Buffer.from(idOf(i)).toString("hex"),
      spanId: "eee19b7ec3c1b174",
      attributes,
    }));
    const response = await post(JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans }] }] }), JSON_TYPE);
    expect(await response.json()).toEqual({
      partialSuccess: {
        errorMessage:
          "dropped 40 attributes beyond the limit of 64 for a span, event, link, scope or resource",
      },
    });
    expect(live()).toBe(20);
  });

  test("formats without a partial answer: 202, and a line in the log", async () => {
    const { live, post } = await setUp({ limits });
    const span = { traceId: "5b8efff798038103", id: "eee19b7ec3c1b174", tags: { k: "v".repeat(500) } };
    const response = await post(JSON.stringify([span]), JSON_TYPE, "/api/v2/spans");
    expect([response.status, live()]).toEqual([202, 1]);
    const logged = vi.mocked(console.warn).mock.calls.map(([line]) => JSON.parse(String(line)) as object);
    expect(logged).toMatchObject([
      {
        message: "attributes cut",
        acceptedSpans: 1,
        reason: expect.stringContaining("128 bytes for values"),
      },
    ]);
  });
});

describe("rates", () => {
  test("the burst passes, one span more is 429 with Retry-After and RetryInfo, until then", async () => {
    const { clock, live, post } = await setUp({ limits: { rateSpans: 2, burstSpans: 10 } });
    expect((await post(batchOf(...many(10)))).status).toBe(200);
    // As long as the least batch has to wait: how many spans there are nobody has looked.
    const refused = await post(batchOf(...many(3)), PROTOBUF);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "1"]);
    const asJson = await post(JSON.stringify({ resourceSpans: [] }), JSON_TYPE);
    expect(await asJson.json()).toEqual({
      code: 8,
      message:
        "RATE_LIMITED: ingestion rate limit (local: 2 spans, global: 2 spans, burst: 10 spans) exceeded " +
        "while adding 1 spans for user single-tenant",
      details: [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "0.500s" }],
    });
    clock.ms += 1_500;
    expect((await post(batchOf(...many(3)))).status).toBe(200);
    expect(live()).toBe(13);
  });

  test("the isolate refuses by itself what is too much, before anything is inflated; nothing else", async () => {
    const { appended, post } = await setUp({ limits: { rateSpans: 1, burstSpans: 10 } });
    await post(batchOf(...many(10)));
    const junk = await post("no gzip at all", { ...PROTOBUF, "content-encoding": "gzip" });
    expect(junk.status).toBe(429);
    expect(appended).toHaveLength(1);
    const fresh = await setUp({ limits: { rateSpans: 1, burstSpans: 10 } });
    expect((await fresh.post("no gzip at all", { ...PROTOBUF, "content-encoding": "gzip" })).status).toBe(
      400,
    );
    expect((await fresh.post(batchOf(...many(10)))).status).toBe(200);
  });

  test("the shard has the last word, and what it refuses is not held against the sender here", async () => {
    const { post, shards } = await setUp({
      limits: { rateSpans: 1, burstSpans: 10 },
      shardLimits: { rateSpans: 1, burstSpans: 5 },
    });
    expect((await post(batchOf(...many(5)))).status).toBe(200);
    expect((await post(batchOf(...many(5)))).status).toBe(429);
    await shards[0]!.configure({ limits: { rateSpans: 1, burstSpans: 100 } });
    expect((await post(batchOf(...many(5)))).status).toBe(200);
  });

  test("a batch that never passes is 413, which exporters do not repeat", async () => {
    const { post } = await setUp({ limits: { burstBytes: 1_024 } });
    const response = await post(batchOf(...many(100)));
    expect([response.status, response.headers.get("retry-after")]).toEqual([413, null]);
    expect(Buffer.from(await response.arrayBuffer()).toString()).toContain(
      "exceeds ingestion limit (burst: 1024 bytes) for user single-tenant: send smaller batches",
    );
  });

  test("a token's own rates, and those of a browser key that has none", async () => {
    const record = {
      id: "7f3a",
      hash: "",
      name: "t",
      scopes: ["ingest"],
      tenants: [],
      createdMs: 0,
    } as const;
    const own = await setUp({
      caller: { kind: "token", token: { ...record, origins: [], limits: { rateSpans: 1, burstSpans: 3 } } },
    });
    expect((await own.post(batchOf(...many(3)))).status).toBe(200);
    expect((await own.post(batchOf(...many(1)))).status).toBe(429);
    expect(own.appended[0]!.caller).toEqual({ tokenId: "7f3a", limits: { rateSpans: 1, burstSpans: 3 } });
    const browser = await setUp({
      caller: { kind: "token", token: { ...record, origins: ["https://shop.example"] } },
    });
    expect((await browser.post(batchOf(...many(25_000)))).status).toBe(200);
    expect((await browser.post(batchOf(...many(1)))).status).toBe(429);
    const plain = await setUp({ caller: { kind: "token", token: { ...record, origins: [] } } });
    await plain.post(batchOf(...many(1)));
    expect(plain.appended[0]!.caller).toEqual({ tokenId: "7f3a" });
  });

  test("who goes on over the limit waits for the answer, not longer than Retry-After says, and not all at once", async () => {
    const waits: { readonly ms: number; readonly end: () => void }[] = [];
    const { post } = await setUp({
      limits: { rateSpans: 0.1, burstSpans: 10 },
      wait: (ms) => new Promise<void>((end) => waits.push({ ms, end })),
    });
    expect((await post(batchOf(...many(10)))).status).toBe(200);
    expect(waits).toHaveLength(0);
    const answers = Array.from({ length: WAITING_MAX }, () => post(batchOf(...many(3))));
    await expect.poll(() => waits.length).toBe(WAITING_MAX);
    expect((await post(batchOf(...many(3)))).status).toBe(429);
    expect(waits).toHaveLength(WAITING_MAX);
    for (const { ms } of waits) {
      expect(ms).toBeGreaterThanOrEqual(REFUSAL_MS / 2);
      expect(ms).toBeLessThan(1_000);
    }
    for (const { end } of waits) end();
    for (const answer of await Promise.all(answers)) expect(answer.status).toBe(429);
    const last = post(batchOf(...many(3)));
    await expect.poll(() => waits.length).toBe(WAITING_MAX + 1);
    waits.at(-1)?.end();
    expect((await last).status).toBe(429);
  });

  test("a batch below the burst is not inflated for the eleventh time only to be refused", async () => {
    const { clock, post } = await setUp({ limits: { rateSpans: 1, burstSpans: 15 } });
    const batch = gzipSync(batchOf(...many(10)));
    const headers = { ...PROTOBUF, "content-encoding": "gzip" };
    expect((await post(batch, headers)).status).toBe(200);
    for (let i = 0; i < 10; i++) expect((await post(batch, headers)).status).toBe(429);
    // What cannot be inflated is 400 to whoever is looked at.
    expect((await post("no gzip at all", headers)).status).toBe(429);
    clock.ms += 5_000;
    expect((await post("no gzip at all", headers)).status).toBe(400);
    expect((await post(batch, headers)).status).toBe(200);
  });

  test("Zipkin: 429 with Retry-After as well", async () => {
    const { post } = await setUp({ limits: { rateSpans: 1, burstSpans: 1 } });
    const spans = JSON.stringify([{ traceId: "5b8efff798038103", id: "eee19b7ec3c1b174" }]);
    expect((await post(spans, JSON_TYPE, "/api/v2/spans")).status).toBe(202);
    const refused = await post(spans, JSON_TYPE, "/api/v2/spans");
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "1"]);
  });
});

describe("one trace", () => {
  test.each([1, 4])(
    "over %i shards: spans of a trace that is too large are refused, the rest is stored",
    async (count) => {
      const { appended, live, post, shards } = await setUp({ limits: { maxSpansPerTrace: 3 }, count });
      const others = many(30).slice(1);
      expect(await partialOf(await post(batchOf(spanOf(0), spanOf(0), ...others)))).toBeUndefined();
      const calls = appended.length;
      const bytes = gzipSync(batchOf(spanOf(0), ...others, spanOf(0)));
      expect(await partialOf(await post(bytes, { ...PROTOBUF, "content-encoding": "gzip" }))).toEqual({
        rejected: 2,
        message:
          "rejected 2 spans of traces larger than the limit of 134217728 bytes or 3 spans (trace_too_large)",
      });
      expect(live()).toBe(2 * 29 + 2);
      // The shard of the trace was asked twice, nobody else.
      expect(appended.length - calls).toBe(count + 1);
      expect(shards.every((shard) => shard.stats().liveSpans > 0)).toBe(true);
      expect(await partialOf(await post(batchOf(spanOf(0))))).toBeUndefined();
    },
  );

  test("when nothing is left the answer is 400: to repeat the batch is no use", async () => {
    const { live, post } = await setUp({ limits: { maxSpansPerTrace: 3 } });
    const response = await post(batchOf(...Array.from({ length: 4 }, () => spanOf(1))));
    expect([response.status, live()]).toEqual([400, 0]);
    expect(Buffer.from(await response.arrayBuffer()).toString()).toContain("trace_too_large");
  });

  test("spans with bad ids beside it stay refused, each for its own reason", async () => {
    const { live, post } = await setUp({ limits: { maxSpansPerTrace: 1 } });
    const bad = { traceId: new Uint8Array(3), spanId: SPAN_ID };
    const partial = await partialOf(await post(batchOf(spanOf(1), bad, spanOf(2), spanOf(1))));
    expect(partial).toMatchObject({ rejected: 3 });
    expect(partial?.message).toMatch(/^rejected 1 span with a trace id .*, 2 spans of traces larger/);
    expect(live()).toBe(1);
  });
});

describe("starts", () => {
  test("at the bounds they are plausible, a nanosecond past them they are counted; all are stored", async () => {
    const { walkBatch } = await import("../../../src/otlp/walk.ts");
    const { maxStartAgeMs, maxStartAheadMs } = DEFAULT_LIMITS.tenant;
    const first = NOW_NS - BigInt(maxStartAgeMs) * 1_000_000n;
    const last = NOW_NS + BigInt(maxStartAheadMs) * 1_000_000n;
    const count = (...starts: bigint[]) =>
      walkBatch(
        batchOf(...starts.map((startTimeUnixNano) => spanOf(1, { startTimeUnixNano }))),
        DEFAULT_LIMITS,
        NOW,
      ).implausibleStarts;
    expect(count(first, NOW_NS, last)).toBe(0);
    expect(count(first - 1n, NOW_NS, last)).toBe(1);
    expect(count(first, NOW_NS, last + 1n)).toBe(1);
    expect(count(0n, 2n ** 64n - 1n, first - 10_000_000_000n, last + 10_000_000_000n)).toBe(4);
    const { live, post } = await setUp();
    expect(await partialOf(await post(batchOf(spanOf(1, { startTimeUnixNano: 1n }))))).toBeUndefined();
    expect(live()).toBe(1);
  });
});

describe("queries", () => {
  const HOUR = 3600;

  test("as long a range as may be, and a second more: 400 with the texts that Grafana looks for", async () => {
    const limits = { maxSearchMs: 2 * HOUR * 1000, maxMetricsMs: HOUR * 1000 };
    const { get } = await setUp({ limits });
    const end = Math.floor(NOW / 1000);
    const range = (seconds: number) => `start=${end - seconds}&end=${end}`;
    const rate = encodeURIComponent("{} | rate()");
    for (const [path, seconds, text] of [
      ["/api/search?q=%7B%7D&", 2 * HOUR, "range specified by start and end exceeds 2h0m0s. received start="],
      ["/api/search/tags?", 2 * HOUR, "range specified by start and end exceeds 2h0m0s. received start="],
      ["/api/v2/search/tag/.a/values?", 2 * HOUR, "range specified by start and end exceeds 2h0m0s."],
      [
        `/api/metrics/query_range?q=${rate}&`,
        HOUR,
        "metrics query time range exceeds the maximum allowed duration of 1h0m0s",
      ],
      [
        `/api/metrics/query?q=${rate}&`,
        HOUR,
        "metrics query time range exceeds the maximum allowed duration of 1h0m0s",
      ],
    ] as const) {
      expect((await get(path + range(seconds))).status).toBe(200);
      const refused = await get(path + range(seconds + 1));
      expect(refused.status).toBe(400);
      expect(await refused.text()).toContain(text);
    }
  });

  test("without a range the default is taken, or what is allowed of it", async () => {
    const { get } = await setUp({ limits: { maxSearchMs: 60_000, maxMetricsMs: 60_000 } });
    const rate = encodeURIComponent("{} | rate()");
    for (const path of [
      "/api/search?q=%7B%7D",
      "/api/v2/search/tags",
      `/api/metrics/query_range?q=${rate}`,
    ]) {
      expect((await get(path)).status).toBe(200);
    }
  });

  test("as many at once as may be, and one more: 429 `job queue full`", async () => {
    const { gate, get } = await setUp({ limits: { maxConcurrentQueries: 2 } });
    const { promise, resolve } = Promise.withResolvers<void>();
    gate.wait = promise;
    const running = [get("/api/search?q=%7B%7D"), get("/api/v2/search/tags")];
    const refused = await get(`/api/traces/${"1".repeat(32)}`);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "1"]);
    expect(await refused.text()).toMatch(/^job queue full: 2 queries of user single-tenant/);
    expect((await get("/ready")).status).toBe(200);
    expect((await get("/api/echo")).status).toBe(200);
    resolve();
    expect((await Promise.all(running)).map(({ status }) => status)).toEqual([200, 200]);
    expect((await get("/api/search?q=%7B%7D")).status).toBe(200);
  });
});

test("a batch is told its shards how many they are", async () => {
  const { appended, post } = await setUp({ count: 8 });
  await post(batchOf(...many(100)));
  expect(appended).toHaveLength(8);
  for (const { head, shardCount, traceSizes } of appended) {
    const { traceHashes, spanCount } = decodeHead(head);
    expect(new Set([...traceHashes!].map((hash) => shardOfHash(hash, 8))).size).toBe(1);
    expect(shardCount).toBe(8);
    expect(traceSizes!.slice(traceHashes!.length).reduce((a, b) => a + b, 0)).toBe(spanCount);
  }
});
