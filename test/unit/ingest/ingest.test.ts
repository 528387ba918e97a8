// A batch for several shards: who gets what, and what a refusal of one of them means.
import { gzipSync } from "node:zlib";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { ingestConverted, ingestOtlp } from "../../../src/ingest/ingest.ts";
import { DEFAULT_LIMITS, type Limits } from "../../../src/model/limits.ts";
import { decodeHead, openBody } from "../../../src/segment/frame.ts";
import type { AppendBatch, AppendResult } from "../../../src/store/rpc.ts";
import { shardOfHash } from "../../../src/util/hash.ts";
import { makeGenerator } from "../../support/generator.ts";
import { batchOf, decode, encode, SPAN_ID, spansOf, spanWith } from "../../support/otlp.ts";
import { spanBag } from "../../support/span-bag.ts";

interface Call {
  readonly shard: number;
  readonly batch: AppendBatch;
}

const OK: AppendResult = { ok: true };
const refusal = (kind: "rate_limited" | "unavailable", retryAfterMs: number): AppendResult => ({
  ok: false,
  kind,
  message: `${kind} ${retryAfterMs}`,
  retryAfterMs,
});

function setUp(count: number, answer: (shard: number) => AppendResult | Error = () => OK) {
  const calls: Call[] = [];
  const state = { running: 0, most: 0 };
  const shards = {
    count,
    shard: (index: number) => ({
      append: async (batch: AppendBatch): Promise<AppendResult> => {
        calls.push({ shard: index, batch });
        state.most = Math.max(state.most, ++state.running);
        await new Promise((done) => setTimeout(done, 1));
        state.running--;
        const result = answer(index);
        if (result instanceof Error) throw result;
        return result;
      },
    }),
  };
  const send = (bytes: Uint8Array, limits: Partial<Limits> = {}) =>
    ingestOtlp(
      shards,
      "protobuf",
      { codec: "gzip", bytes: gzipSync(bytes) },
      { ...DEFAULT_LIMITS, ...limits },
    );
  return { calls, state, shards, send };
}

function opened({ batch }: Call): Uint8Array {
  return openBody(decodeHead(batch.head), batch.body);
}

const generator = makeGenerator({ seed: 3 });

function newestEndOf(batch: Uint8Array): number {
  const ends = [...spansOf(decode(batch))].map((span) => span.endTimeUnixNano);
  return Number(ends.reduce((a, b) => (a > b ? a : b), 0n) / 1_000_000n);
}

beforeEach(() => void vi.spyOn(console, "warn").mockReturnValue());

describe("ingest to several shards", () => {
  test("each shard gets the spans of its traces, together all of them, in buffers of their own", async () => {
    const { calls, send } = setUp(4);
    const batch = generator.batch(400);
    expect(await send(batch)).toEqual({
      acceptedSpans: 400,
      rawBytes: batch.length,
      rejected: { tooLarge: 0, traceId: 0, spanId: 0, traceTooLarge: 0 },
      counts: { truncatedAttributes: 0, droppedAttributes: 0, implausibleStarts: 0 },
      newestEndMs: newestEndOf(batch),
      message: "",
    });
    expect(calls.map(({ shard }) => shard)).toEqual([0, 1, 2, 3]);
    for (const call of calls) {
      const head = decodeHead(call.batch.head);
      for (const hash of head.traceHashes ?? []) expect(shardOfHash(hash, 4)).toBe(call.shard);
      expect(spanBag([opened(call)])).toHaveLength(head.spanCount);
      expect(call.batch.body.buffer.byteLength).toBe(call.batch.body.length);
    }
    expect(spanBag(calls.map(opened))).toEqual(spanBag([batch]));
  });

  test("converted spans are spread as well", async () => {
    const { calls, shards } = setUp(8);
    const batch = generator.batch(300);
    await ingestConverted(shards, batch.slice(), DEFAULT_LIMITS);
    expect(calls.length).toBeGreaterThan(4);
    expect(spanBag(calls.map(opened))).toEqual(spanBag([batch]));
  });

  test("one shard, or a batch whose traces all belong to one: it goes on as it was received", async () => {
    const bytes = batchOf(...Array.from({ length: 50 }, (_, i) => spanWith({ name: `span ${i}` })));
    for (const count of [1, 64]) {
      const { calls, send } = setUp(count);
      await send(bytes);
      expect(calls).toHaveLength(1);
      expect(decodeHead(calls[0]!.batch.head).codec).toBe("gzip");
      expect(Buffer.compare(calls[0]!.batch.body, gzipSync(bytes))).toBe(0);
    }
  });

  test("at most six appends at a time", async () => {
    const { calls, state, send } = setUp(64);
    await send(generator.batch(2_000));
    expect(calls).toHaveLength(64);
    expect(state.most).toBe(6);
  });

  test("bad spans are left out and counted, whichever shard they would go to", async () => {
    const { calls, send } = setUp(4);
    const id = (i: number) => Uint8Array.from({ length: 16 }, (_, at) => at + i + 1);
    const spans = Array.from({ length: 20 }, (_, i) => ({
      traceId: i % 5 === 0 ? new Uint8Array(3) : id(i),
      spanId: i % 5 === 1 ? new Uint8Array(8) : SPAN_ID,
    }));
    const result = await send(encode({ resourceSpans: [{ scopeSpans: [{ spans }] }] }));
    expect(result).toMatchObject({
      acceptedSpans: 12,
      rejected: { tooLarge: 0, traceId: 4, spanId: 4, traceTooLarge: 0 },
      // These spans have no times.
      newestEndMs: 0,
    });
    expect(spanBag(calls.map(opened))).toHaveLength(12);
  });

  test("a batch without a valid span reaches no shard", async () => {
    const { calls, send } = setUp(4);
    await send(encode({ resourceSpans: [{ scopeSpans: [{ spans: [{ name: "no ids" }] }] }] }));
    expect(calls).toEqual([]);
  });
});

describe("a shard that refuses", () => {
  const batch = generator.batch(400);

  test("the batch is refused when one part is, with that shard's reason", async () => {
    const { send } = setUp(4, (shard) => (shard === 2 ? refusal("rate_limited", 5_000) : OK));
    await expect(send(batch)).rejects.toMatchObject({
      kind: "rate_limited",
      message: "rate_limited 5000",
      retryAfterMs: 5_000,
    });
  });

  test("of several refusals the one that lasts longest is told", async () => {
    const answers = [refusal("unavailable", 1_000), refusal("rate_limited", 5_000), OK, new Error("lost")];
    const { send } = setUp(4, (shard) => answers[shard] ?? OK);
    await expect(send(batch)).rejects.toMatchObject({ kind: "rate_limited", retryAfterMs: 5_000 });
  });

  test("a tenant that is being deleted is not to be tried again", async () => {
    const gone = { ok: false, kind: "not_found", message: "being deleted" } as const;
    const { send } = setUp(4, (shard) => (shard === 3 ? gone : refusal("unavailable", 60_000)));
    await expect(send(batch)).rejects.toMatchObject({ kind: "not_found", retryAfterMs: undefined });
  });

  test("a shard out of reach is 503 and says nothing of what was thrown", async () => {
    const { send } = setUp(4, (shard) => (shard === 1 ? new Error("secret") : OK));
    await expect(send(batch)).rejects.toMatchObject({
      kind: "unavailable",
      message: "shard is not reachable",
    });
  });

  test("nothing is under way any more when the refusal is told; of the rest nothing more is sent", async () => {
    const { calls, state, send } = setUp(64, (shard) => (shard === 0 ? refusal("unavailable", 1) : OK));
    await expect(send(generator.batch(2_000))).rejects.toThrow("unavailable 1");
    expect(state.running).toBe(0);
    expect(calls.length).toBeLessThan(20);
  });
});

describe("bounds", () => {
  const tenant = { ...DEFAULT_LIMITS.tenant, maxAttributeValueBytes: 16 * 1024 * 1024 };

  /** Spans of `count` traces under a resource of `bytes`. */
  function heavy(count: number, bytes: number): Uint8Array {
    const spans = Array.from({ length: count }, (_, i) => {
      const traceId = new Uint8Array(16);
      new DataView(traceId.buffer).setUint32(0, i + 1);
      return { traceId, spanId: SPAN_ID };
    });
    const value = { value: { case: "stringValue" as const, value: "v".repeat(bytes) } };
    return encode({
      resourceSpans: [{ resource: { attributes: [{ key: "k", value }] }, scopeSpans: [{ spans }] }],
    });
  }

  test("a resource that takes too much when each shard gets a copy is 413, at the limit it is not", async () => {
    const bytes = heavy(500, 100_000);
    const { send } = setUp(64);
    const takes = 64 * 100_000;
    await expect(send(bytes, { tenant, maxSplitBytes: takes })).rejects.toMatchObject({
      kind: "too_large",
      message: expect.stringMatching(/^the batch takes \d+ bytes with its resources repeated for 64 shards/),
    });
    const text = await send(bytes, { tenant, maxSplitBytes: 1 }).then(String, String);
    const [, exact = ""] = /takes (\d+) bytes/.exec(text) ?? [];
    await expect(send(bytes, { tenant, maxSplitBytes: Number(exact) - 1 })).rejects.toThrow(
      "send fewer spans",
    );
    expect(await send(bytes, { tenant, maxSplitBytes: Number(exact) })).toMatchObject({ acceptedSpans: 500 });
  });

  test("no more bytes are on their way than fit, and one part always may go", async () => {
    const { calls, state, send } = setUp(8);
    await send(heavy(100, 500_000), { tenant, maxBodyBytes: 1_100_000 });
    expect(calls).toHaveLength(8);
    expect(state.most).toBe(2);
    const alone = setUp(8);
    await alone.send(heavy(100, 500_000), { tenant, maxBodyBytes: 600_000 });
    expect(alone.state.most).toBe(1);
    expect(alone.calls).toHaveLength(8);
  });
});
