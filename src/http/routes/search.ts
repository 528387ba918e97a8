// Search, Tempo's `/api/search`.
import { toBinary } from "@bufbuild/protobuf";
import { Hono } from "hono";
import { SearchResponseSchema } from "../../otlp/gen/tempopb/search_pb.ts";
import { runSearch } from "../../query/run-search.ts";
import { encodingOf, longJsonAnswer, missingText, protobufAnswer } from "../answers/answer.ts";
import { searchHeaders, searchJson, searchMessage } from "../answers/search-answer.ts";
import type { AppDeps } from "../deps.ts";
import { readSearchParams } from "../params/search-params.ts";
import type { ScanPorts } from "../scan-ports.ts";

/** By any method, as in Tempo. Errors are thrown as AppErrors. */
export function searchRoutes(deps: AppDeps, scan: ScanPorts): Hono {
  const app = new Hono();
  app.all("/api/search", async ({ req: { raw: request } }) => {
    const params = new URL(request.url).searchParams;
    const { hasSpansets, ...input } = readSearchParams(params, deps.clock.now(), deps.limits);
    const run = await runSearch(await scan(), { ...input, signal: request.signal });
    missingText(run);
    const headers = searchHeaders(run);
    return encodingOf(request) === "protobuf"
      ? protobufAnswer(request, toBinary(SearchResponseSchema, searchMessage(run, hasSpansets)), headers)
      : longJsonAnswer(request, searchJson(run, hasSpansets), headers);
  });
  return app;
}
