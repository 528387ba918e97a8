// An app whose only shard keeps what is appended, for tests of the ingest routes.
import { fromBinary } from "@bufbuild/protobuf";
import { createApp } from "../../src/http/app.ts";
import type { AppDeps } from "../../src/http/deps.ts";
import type { Limits } from "../../src/model/limits.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { TracesDataSchema } from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { decodeHead, openBody } from "../../src/segment/frame.ts";
import { MemoryStore } from "../../src/store/memory-store.ts";
import type { AppendBatch, AppendResult, TraceShardRpc } from "../../src/store/rpc.ts";
import type { ShardDirectory } from "../../src/tenant/tenant-shards.ts";
import type { NormalSpan } from "./normal-span.ts";
import { normalizeTracesData } from "./normal-span.ts";

/** A directory in which every tenant has the same one shard; a method that is not given finds or does nothing. */
export function oneShard(
  given: Partial<
    Pick<
      TraceShardRpc,
      "append" | "findTrace" | "findBeyond" | "noteFailedReads" | "snapshot" | "readSegments"
    >
  >,
): ShardDirectory {
  const shard = {
    append: async () => ({ ok: true }) as const,
    findTrace: async () => ({ live: new Uint8Array(), blocks: [] }),
    findBeyond: async () => [],
    noteFailedReads: async () => {},
    snapshot: async () => ({ epochs: [], blocks: [] }),
    readSegments: async () => ({ kind: "gone" }) as const,
    ...given,
  };
  return {
    forWriting: async () => ({ count: 1, shard: () => shard }),
    forReading: async () => [{ name: "single-tenant/0", shard }],
    forScanning: async () => [{ name: "single-tenant/0", shard }],
    limitsOf: async () => undefined,
  };
}

export const NOW_MS = 1_795_392_000_000;

export function makeServer(
  result: AppendResult | Error = { ok: true },
  overrides: Partial<Limits> = {},
  deps: Partial<AppDeps> = {},
) {
  const batches: AppendBatch[] = [];
  const append: TraceShardRpc["append"] = async (batch) => {
    if (result instanceof Error) throw result;
    batches.push(batch);
    return result;
  };
  const app = createApp({
    limits: { ...DEFAULT_LIMITS, ...overrides },
    clock: { now: () => NOW_MS },
    objects: new MemoryStore(),
    shards: oneShard({ append }),
    ...deps,
  });
  return {
    app,
    batches,
    post: (path: string, body: BodyInit | null, headers: Record<string, string> = {}) =>
      Promise.resolve(app.request(path, { method: "POST", headers, body, duplex: "half" } as RequestInit)),
    /** Spans of all stored batches, by the generated decoder. */
    spans: (): NormalSpan[] =>
      batches.flatMap(({ head, body }) =>
        normalizeTracesData(fromBinary(TracesDataSchema, openBody(decodeHead(head), body))),
      ),
  };
}
