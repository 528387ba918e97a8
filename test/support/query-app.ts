// The whole query API over a shard in memory with a few traces that a test knows by heart.
import { createApp } from "../../src/http/app.ts";
import { DEFAULT_LIMITS, type Limits } from "../../src/model/limits.ts";
import { parseTraceId } from "../../src/model/ids.ts";
import type {
  Span_SpanKind,
  Status_StatusCode,
} from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { type SpanInit, tracesData } from "./query-fakes.ts";
import type { TraceShardRpc } from "../../src/store/rpc.ts";
import { oneShard } from "./fake-shard.ts";
import { ScanWorld } from "./scan-world.ts";
import { START_MS } from "./shard-world.ts";

export type PlainAttribute = string | number | bigint | boolean;

export interface PlainSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind?: Span_SpanKind;
  /** Milliseconds after START_MS. */
  readonly atMs?: number;
  readonly durationMs?: number;
  readonly status?: { code: Status_StatusCode; message?: string };
  readonly attributes?: Readonly<Record<string, PlainAttribute>>;
  readonly resource?: Readonly<Record<string, PlainAttribute>>;
}

function valueOf(value: PlainAttribute) {
  if (typeof value === "string") return { case: "stringValue", value } as const;
  if (typeof value === "bigint") return { case: "intValue", value } as const;
  if (typeof value === "number") return { case: "doubleValue", value } as const;
  return { case: "boolValue", value } as const;
}

function keyValues(attributes: Readonly<Record<string, PlainAttribute>>) {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: { value: valueOf(value) } }));
}

function spanInit(span: PlainSpan, startMs: number): SpanInit {
  const startNs = BigInt(Math.round((startMs + (span.atMs ?? 0)) * 1000)) * 1000n;
  return {
    traceId: parseTraceId(span.traceId),
    spanId: Uint8Array.from(Buffer.from(span.spanId, "hex")),
    parentSpanId: Uint8Array.from(Buffer.from(span.parentSpanId ?? "", "hex")),
    name: span.name,
    kind: span.kind ?? 1,
    startTimeUnixNano: startNs,
    endTimeUnixNano: startNs + BigInt(Math.round((span.durationMs ?? 1) * 1e6)),
    status: span.status ?? {},
    attributes: keyValues(span.attributes ?? {}),
  };
}

/** Each span in a resource of its own. */
export function spansData(spans: readonly PlainSpan[], startMs = START_MS): Uint8Array<ArrayBuffer> {
  return tracesData(
    spans.map((span) => ({
      resource: { attributes: keyValues(span.resource ?? { "service.name": "shop" }) },
      scopeSpans: [{ scope: { name: "lib", version: "1.2" }, spans: [spanInit(span, startMs)] }],
    })),
  );
}

export interface QueryApp {
  readonly world: ScanWorld;
  get(path: string, headers?: Readonly<Record<string, string>>, method?: string): Promise<Response>;
  send(path: string, init: { readonly method: string; readonly body?: string }): Promise<Response>;
}

/** The app, a minute after START_MS, over the spans: those of `blocks` flushed, those of `live` in the buffer. */
export async function queryApp(
  { live = [], blocks = [] }: { live?: readonly PlainSpan[]; blocks?: readonly (readonly PlainSpan[])[] },
  scan: Partial<Limits["scan"]> = {},
  limits: Partial<Limits> = {},
): Promise<QueryApp> {
  const world = new ScanWorld(1);
  for (const spans of blocks) {
    await world.appendBatch(spansData(spans));
    world.clock.ms += world.limits.flushAgeMs;
    await world.tick();
  }
  if (live.length > 0) await world.appendBatch(spansData(live));
  const findTrace: TraceShardRpc["findTrace"] = async (traceId, range) =>
    world.shard.findTrace(traceId, range);
  const app = createApp({
    limits: { ...DEFAULT_LIMITS, ...limits, scan: { ...DEFAULT_LIMITS.scan, ...scan } },
    clock: { now: () => START_MS + 60_000 },
    objects: world.objects,
    shards: {
      ...oneShard({}),
      forReading: async () => [{ name: "t/0", shard: { ...world.scanned.shard, findTrace } }],
      forScanning: async () => [world.scanned],
    },
  });
  return {
    world,
    send: async (path, init) => app.request(`http://tempo.test${path}`, init),
    get: async (path, headers = {}, method = "GET") =>
      app.request(`http://tempo.test${path}`, { headers, method }),
  };
}

/** A path with parameters, encoded. */
export function pathOf(path: string, params: Readonly<Record<string, string | number>>): string {
  const query = new URLSearchParams(Object.entries(params).map(([name, value]) => [name, String(value)]));
  return `${path}?${query.toString()}`;
}

export const CHECKOUT = "2f7e42c49fb7b54526f062afab690d75";
export const REFUND = "00000000000000000000000000000abc";
export const ORPHAN = "ffffffffffffffffffffffffffffff01";

/** Three traces: a failed checkout of two services, a refund of one span, and a span whose parent never came. */
export const SHOP: readonly PlainSpan[] = [
  {
    traceId: CHECKOUT,
    spanId: "1e3d034874a36241",
    name: "GET /checkout",
    kind: 2,
    durationMs: 1042.9,
    resource: { "service.name": "frontend" },
    attributes: { "http.url": "/checkout?a=b" },
  },
  {
    traceId: CHECKOUT,
    spanId: "9269350c17d7bf60",
    parentSpanId: "1e3d034874a36241",
    name: "GET /cart",
    kind: 3,
    atMs: 10,
    durationMs: 42,
    status: { code: 2, message: "boom" },
    resource: { "service.name": "checkout" },
    attributes: { "http.status_code": 500n, ratio: 0.5, retried: true },
  },
  {
    traceId: REFUND,
    spanId: "00000000000000a1",
    name: "refund",
    kind: 2,
    atMs: 2000,
    durationMs: 5,
    resource: { "service.name": "frontend" },
  },
  {
    traceId: ORPHAN,
    spanId: "00000000000000b1",
    parentSpanId: "00000000000000ff",
    name: "late",
    atMs: 1000,
    durationMs: 0.5,
    resource: { "service.name": "worker", "k8s.pod.name": "worker-7d" },
  },
];

/** Unix seconds around SHOP. */
export const START = START_MS / 1000;
