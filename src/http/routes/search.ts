// Search, Tempo's `/api/search`.
import { toBinary } from "@bufbuild/protobuf";
import { Hono } from "hono";
import { SearchResponseSchema } from "../../otlp/gen/tempopb/search_pb.ts";
import { runSearch } from "../../query/run-search.ts";
import { encodingOf, longJsonAnswer, missingText, protobufAnswer } from "../answers/answer.ts";
import { searchHeaders, searchJson, searchMessage } from "../answers/search-answer.ts";
import { tenantsOf } from "../access.ts";
import type { AppDeps, AppEnv } from "../deps.ts";
import { readSearchParams } from "../params/search-params.ts";
import type { ScanPorts } from "../scan-ports.ts";

/** By any method, as in Tempo. Errors are thrown as AppErrors. */
export function searchRoutes(deps: AppDeps, scan: ScanPorts): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.all("/api/search", async (c) => {
    const request = c.req.raw;
    const params = new URL(request.url).searchParams;
    const { hasSpansets, ...input } = readSearchParams(params, deps.clock.now(), c.get("limits"));
    const run = await runSearch(await scan(tenantsOf(c)), { ...input, signal: request.signal });
    missingText(run);
    const headers = searchHeaders(run);
    return encodingOf(request) === "protobuf"
      ? protobufAnswer(request, toBinary(SearchResponseSchema, searchMessage(run, hasSpansets)), headers)
      : longJsonAnswer(request, searchJson(run, hasSpansets), headers);
  });
  return app;
}
