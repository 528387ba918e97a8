// The Worker with a window into it, for benches only: counters, flush on demand, and a decoder to compare with.
import { fromBinary } from "@bufbuild/protobuf";
import type { CompactorPorts } from "../../src/compaction/compactor.ts";
import worker, {
  Compactor as RealCompactor,
  Tenant as RealTenant,
  TraceShard as RealShard,
} from "../../src/index.ts";
import { SINGLE_TENANT } from "../../src/model/ids.ts";
import { TracesDataSchema } from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import type { ShardPorts } from "../../src/shard/shard.ts";
import type { Bindings } from "../../src/store/bindings.ts";
import { shardName } from "../../src/store/keys.ts";
import type { ObjectStore } from "../../src/store/object-store.ts";
import type { TenantPorts } from "../../src/tenant/tenant.ts";
import { RemoteStore } from "./remote-store.ts";

interface BenchBindings extends Bindings {
  /** Where remote-store-server.ts is; without it objects go to the local R2. */
  readonly BENCH_STORE?: string;
}

/** The store of a bench in place of the usual one. */
function storeOf({ BENCH_STORE }: BenchBindings): { readonly objects?: ObjectStore } {
  return BENCH_STORE === undefined ? {} : { objects: new RemoteStore(BENCH_STORE) };
}

export class TraceShard extends RealShard {
  protected override ports(state: DurableObjectState, env: BenchBindings): ShardPorts {
    return { ...super.ports(state, env), ...storeOf(env) };
  }
}

export class Compactor extends RealCompactor {
  protected override ports(state: DurableObjectState, env: BenchBindings, name: string): CompactorPorts {
    const ports = super.ports(state, env, name);
    // `shard` is a getter, which a copy would call once and for all.
    return Object.assign(Object.create(ports), storeOf(env));
  }
}

// Later than any epoch's age, earlier than anything is deleted.
const FAR_MS = 2 * 3_600_000;

// Longer than a change of the shard map takes to come into effect.
const PAST_MS = 600_000;

/** A tenant whose changes have been made long ago: a bench does not wait for them. */
export class Tenant extends RealTenant {
  protected override ports(name: string, state: DurableObjectState, env: Bindings): TenantPorts {
    return { ...super.ports(name, state, env), clock: { now: () => Date.now() - PAST_MS } };
  }
}

async function decodeTimes(request: Request, times: number): Promise<Response> {
  const bytes = new Uint8Array(await request.arrayBuffer());
  let resources = 0;
  for (let i = 0; i < times; i++) resources += fromBinary(TracesDataSchema, bytes).resourceSpans.length;
  return Response.json({ resources });
}

export default {
  async fetch(request, env): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const index = Number(searchParams.get("shard") ?? 0);
    const shard = env.TRACE_SHARD.getByName(shardName(SINGLE_TENANT, index));
    switch (pathname) {
      case "/bench/stats":
        return Response.json(await shard.stats());
      case "/bench/flush":
        return Response.json(await shard.tick(Date.now() + FAR_MS));
      case "/bench/shards":
        return Response.json(
          await env.TENANT.getByName(SINGLE_TENANT).setShardCount(Number(searchParams.get("count"))),
        );
      case "/bench/decode":
        return decodeTimes(request, Number(searchParams.get("times")));
      default:
        return worker.fetch(request, env);
    }
  },
} satisfies ExportedHandler<Bindings>;
