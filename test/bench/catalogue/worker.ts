// A shard whose catalogue can be filled with synthetic blocks, and that looks traces up many at a time. The filters are
// real, of random trace ids; metas and page indexes are made up.
import { create, toBinary } from "@bufbuild/protobuf";
import { TraceShard as RealTraceShard } from "../../../durable-objects/trace-shard.ts";
import { ShardSql } from "../../../durable-objects/shard-sql.ts";
import { buildFilter } from "../../../src/block/binary-fuse.ts";
import { writeBlock } from "../../../src/block/block-writer.ts";
import { buildFilterRows } from "../../../src/block/filter-rows.ts";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import { TracesDataSchema } from "../../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { NO_CHANGE } from "../../../src/shard/storage.ts";
import type { BlockTail, CatalogueBlock } from "../../../src/store/catalogue.ts";
import { mix32 } from "../../../src/util/hash.ts";
import { makeGenerator } from "../../support/generator.ts";

const TRACES = 50_000;
const ID_BYTES = 16;
/** 2026-11-23. */
const FIRST_ID = 1_795_392_000_000;

/** The trace ids of a block, by the set of filters that it is in and its place there. */
function idsOf(set: number, index: number, count = TRACES): Uint8Array {
  const words = new Uint32Array((count * ID_BYTES) / 4);
  const block = mix32((set + 1) * 4096 + index);
  for (let i = 0; i < words.length; i++) words[i] = mix32(mix32(i ^ 0x5bd1e995) + block);
  return new Uint8Array(words.buffer);
}

function blockOf(id: number, traceCount: number): CatalogueBlock {
  return {
    id,
    key: `tenant=t/date=2026-11-23/shard=00/${String(id).padStart(16, "0")}.parquet`,
    etag: "0123456789abcdef0123456789abcdef",
    byteLength: 50_000_000,
    spanCount: 10 * traceCount,
    traceCount,
    rawBytes: 4000 * traceCount,
    minStartSeconds: Math.floor(id / 1000) - 60,
    maxEndSeconds: Math.floor(id / 1000),
    version: 2,
    arrivedMs: id,
  };
}

/** The page index and resources of a block whose range of ids holds nearly all there are. */
async function makeTail(): Promise<Pick<BlockTail, "traceIndex" | "resources">> {
  const span = (byte: number) => ({
    traceId: new Uint8Array(ID_BYTES).fill(byte),
    spanId: new Uint8Array(8).fill(1),
  });
  const ends = { resourceSpans: [{ scopeSpans: [{ spans: [span(0x00), span(0xff)] }] }] };
  const batches = [
    makeGenerator({ seed: 1 }).batch(20_000),
    toBinary(TracesDataSchema, create(TracesDataSchema, ends)),
  ];
  const { traceIndex, resources } = await writeBlock(
    (async function* source() {
      yield* batches;
    })(),
    () => undefined,
    { zstdLevel: 1, arrivedMs: FIRST_ID },
  );
  return { traceIndex, resources };
}

interface Fill {
  /** Of the set of filters; equal ones are made once. */
  readonly set: number;
  /** Number of the first block. */
  readonly first: number;
  readonly blocks: number;
  /** 0: young. */
  readonly bits: 0 | 16 | 32;
  readonly traces: number;
}

interface Looked {
  /** Blocks that were to be read, all in all. */
  readonly refs: number;
  /** Since the object was opened. */
  readonly rowsRead: number;
}

export class TraceShard extends RealTraceShard {
  #tail: Promise<Pick<BlockTail, "traceIndex" | "resources">> | undefined;
  readonly #sets = new Map<string, Uint8Array[]>();

  async fill({ set, first, blocks, bits, traces }: Fill): Promise<void> {
    this.#tail ??= makeTail();
    const tail = await this.#tail;
    const storage = new ShardSql(this.ctx.storage, DEFAULT_LIMITS.maxRowBytes);
    const members = Array.from({ length: blocks }, (_, i) => FIRST_ID + first + i);
    const filterOf = (index: number): Uint8Array =>
      bits === 0 ? buildFilter({ ids: idsOf(set, index, traces) }, 16) : new Uint8Array(0);
    storage.change({
      ...NO_CHANGE,
      add: members.map((id, index) => ({
        block: blockOf(id, traces),
        tail: { ...tail, filter: filterOf(index) },
      })),
    });
    if (bits === 0) return;
    const slot = storage.filterGroups().length;
    storage.change({
      ...NO_CHANGE,
      groups: [{ slot, id: FIRST_ID + first, bits, members }],
      rows: { slot, blocks: members, filters: this.#rowsOf(set, blocks, bits) },
    });
    await storage.sync();
  }

  #rowsOf(set: number, blocks: number, bits: 16 | 32): Uint8Array[] {
    const name = `${set}/${bits}`;
    const made = this.#sets.get(name);
    if (made !== undefined) return made;
    const ids = Array.from({ length: blocks }, (_, index) => ({ index, traceIds: idsOf(set, index) }));
    const rows = buildFilterRows(ids, bits);
    // A few: the object's memory is bounded.
    if (this.#sets.size > 3) this.#sets.clear();
    this.#sets.set(name, rows);
    return rows;
  }

  /** Looks up `count` traces of a block, or ones that are in none. */
  async look(set: number, index: number, count: number): Promise<Looked> {
    const ids = idsOf(set, index, TRACES);
    let refs = 0;
    for (let i = 0; i < count; i++) {
      const at = (i * 997 * ID_BYTES) % ids.length;
      refs += (await this.findTrace(ids.slice(at, at + ID_BYTES))).blocks.length;
    }
    return { refs, rowsRead: (await this.stats()).rowsRead };
  }

  /** The next call finds the object as after an eviction. */
  async evict(): Promise<void> {
    this.ctx.abort("evicted");
  }
}

interface BenchBindings {
  readonly TRACE_SHARD: DurableObjectNamespace<TraceShard>;
}

export default {
  async fetch(request, env): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const number = (name: string): number => Number(searchParams.get(name));
    const shard = env.TRACE_SHARD.getByName(`t/${number("shard")}`);
    switch (pathname) {
      case "/fill":
        await shard.fill(await request.json<Fill>());
        return Response.json({});
      case "/look":
        return Response.json(await shard.look(number("set"), number("index"), number("count")));
      case "/stats":
        return Response.json(await shard.stats());
      case "/evict":
        await shard.evict().catch(() => undefined);
        return Response.json({});
      default:
        return new Response(null, { status: 404 });
    }
  },
} satisfies ExportedHandler<BenchBindings>;
