// The Worker with a window into it, for benches only: counters, flush on demand, and a decoder to compare with.
import { fromBinary } from "@bufbuild/protobuf";
import worker from "../../src/index.ts";
import { SINGLE_TENANT } from "../../src/model/ids.ts";
import { TracesDataSchema } from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import type { Bindings } from "../../src/store/bindings.ts";
import { shardName } from "../../src/store/keys.ts";

export { Compactor, TraceShard } from "../../src/index.ts";

// Later than any epoch's age, earlier than anything is deleted.
const FAR_MS = 2 * 3_600_000;

async function decodeTimes(request: Request, times: number): Promise<Response> {
  const bytes = new Uint8Array(await request.arrayBuffer());
  let resources = 0;
  for (let i = 0; i < times; i++) resources += fromBinary(TracesDataSchema, bytes).resourceSpans.length;
  return Response.json({ resources });
}

export default {
  async fetch(request, env): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const shard = env.TRACE_SHARD.getByName(shardName(SINGLE_TENANT, 0));
    switch (pathname) {
      case "/bench/stats":
        return Response.json(await shard.stats());
      case "/bench/flush":
        return Response.json(await shard.tick(Date.now() + FAR_MS));
      case "/bench/decode":
        return decodeTimes(request, Number(searchParams.get("times")));
      default:
        return worker.fetch(request, env);
    }
  },
} satisfies ExportedHandler<Bindings>;
