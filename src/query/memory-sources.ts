// A few traces as sources for the engine.
import { writeColumns } from "../block/block-writer.ts";
import { bytesSource, openBlock } from "../block/reader.ts";
import { blockSources } from "../scan/block-source.ts";
import type { SpanSource, TraceTable } from "../traceql/storage.ts";
import { LruCache } from "../util/lru-cache.ts";

const TABLE_BYTES_MAX = 64 * 1024 * 1024;

/** The spans of TracesData messages, as columns in memory. @throws AppError `corrupt`, `invalid_argument` when malformed */
export async function memorySources(pieces: readonly Uint8Array[]): Promise<readonly SpanSource[]> {
  const file = bytesSource(await writeColumns(pieces));
  const block = await openBlock(file);
  const traces = new LruCache<TraceTable>(TABLE_BYTES_MAX, ({ ids }) => ids.length);
  const caches = { chunks: undefined, sparse: undefined, traces };
  return blockSources(
    { block, attributes: await block.attributes() },
    {
      key: "trace",
      readsMax: Infinity,
      heldBytesMax: 0,
      io: { inspectedBytes: 0, heldBytes: 0 },
      caches,
      readParts: (_, parts) => Promise.all(parts.map((part) => file.read(part))),
    },
  );
}
