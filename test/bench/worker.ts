// The Worker with a window into it, for benches only: counters, flush on demand, and a decoder to compare with.
import { fromBinary } from "@bufbuild/protobuf";
import worker, { Tenant as RealTenant } from "../../src/index.ts";
import { SINGLE_TENANT } from "../../src/model/ids.ts";
import { TracesDataSchema } from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import type { Bindings } from "../../src/store/bindings.ts";
import { shardName } from "../../src/store/keys.ts";
import type { TenantPorts } from "../../src/tenant/tenant.ts";

export { Compactor, TraceShard } from "../../src/index.ts";

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
