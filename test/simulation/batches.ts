// Small batches: a few spans of a few traces, mostly tiny, some too long for one row.
import { type Codec, compressZstd } from "../../src/util/codec.ts";
import { toHex } from "../../src/util/hex.ts";
import { gzipSync } from "node:zlib";
import { encodeProtobuf, type SpanRecord } from "../support/otlp-writer.ts";
import type { Random } from "../support/random.ts";

export interface SentSpan {
  readonly traceId: string;
  readonly spanId: string;
}

export interface Batch {
  readonly number: number;
  /** As it is sent. */
  readonly body: { readonly codec: Codec; readonly bytes: Uint8Array };
  /** Its TracesData. */
  readonly raw: Uint8Array;
  readonly spans: readonly SentSpan[];
}

/** Traces that are being sent at a time. */
const OPEN_TRACES = 6;
const NS_PER_MS = 1_000_000n;

/** Bytes of an attribute that makes a batch longer than a row. */
const LONG_BYTES = 6000;

export class Batches {
  #count = 0;
  #spans = 0;
  readonly #open: Uint8Array[] = [];
  /** Trace ids so far, as hex. */
  readonly traceIds: string[] = [];

  /** The traces that spans are sent of now. */
  get openTraces(): string[] {
    return this.#open.map((id) => toHex(id));
  }

  make(random: Random, nowMs: number): Batch {
    const spans = Array.from({ length: 1 + random.below(5) }, () => this.#span(random, nowMs));
    const services = random.chance(0.3) ? ["a", "b"] : [random.pick(["a", "b", "c"])];
    const groups = services.map((service, i) => ({
      attributes: [{ key: "service.name", type: "string" as const, value: service }],
      scopes: [{ name: "sim", version: "1", spans: spans.filter((_, at) => at % services.length === i) }],
    }));
    const raw = encodeProtobuf(groups.filter(({ scopes }) => scopes.some((scope) => scope.spans.length > 0)));
    const codec = random.pick(["raw", "gzip", "zstd"] as const);
    const compress = {
      raw: () => raw,
      gzip: () => new Uint8Array(gzipSync(raw)),
      zstd: () => compressZstd(raw, 1),
    };
    return {
      number: ++this.#count,
      body: { codec, bytes: compress[codec]() },
      raw,
      spans: spans.map(({ traceId, spanId }) => ({ traceId: toHex(traceId), spanId: toHex(spanId) })),
    };
  }

  #traceId(random: Random): Uint8Array {
    if (this.#open.length < OPEN_TRACES || random.chance(0.12)) {
      const id = random.bytes(16);
      // Neighbours in a page, and ids that share their first half as those of 64 bits do.
      if (random.chance(0.3)) id.fill(1, 0, 12);
      this.#open.push(id);
      this.traceIds.push(toHex(id));
    }
    if (this.#open.length > OPEN_TRACES) this.#open.shift();
    return random.pick(this.#open);
  }

  #span(random: Random, nowMs: number): SpanRecord {
    const number = ++this.#spans;
    const spanId = new Uint8Array(8);
    new DataView(spanId.buffer).setUint32(4, number);
    const startNs = BigInt(nowMs) * NS_PER_MS;
    return {
      traceId: this.#traceId(random),
      spanId,
      parentSpanId: undefined,
      traceState: "",
      flags: 0x101,
      name: `s${number}`,
      kind: 1 + random.below(5),
      startNs,
      endNs: startNs + BigInt(random.below(1000)) * NS_PER_MS,
      attributes: random.chance(0.02)
        ? [{ key: "long", type: "string", value: random.hex(random.below(LONG_BYTES)) }]
        : [],
      events: [],
      links: [],
      statusCode: 0,
      statusMessage: "",
    };
  }
}
