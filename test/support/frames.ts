// A batch as ingest hands it to a shard.
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { walkBatch } from "../../src/otlp/walk.ts";
import { encodeHead } from "../../src/segment/frame.ts";
import type { AppendBatch } from "../../src/store/rpc.ts";
import type { Codec } from "../../src/util/codec.ts";
import { decompress } from "../../src/util/codec.ts";

/** The frame of `body`, which is TracesData compressed with `codec`. */
export function frameOf(body: Uint8Array, codec: Codec = "raw"): AppendBatch {
  const raw = decompress(codec, body, 64 * 1024 * 1024);
  const { spanCount, minStartNs, maxEndNs, traceHashes } = walkBatch(raw, DEFAULT_LIMITS);
  const head = encodeHead({
    codec,
    body,
    rawLength: raw.length,
    spanCount,
    minStartNs,
    maxEndNs,
    traceHashes,
  });
  return { head, body };
}
