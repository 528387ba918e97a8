// Trace by id, Tempo's versions 1 and 2.
import { type Context, Hono } from "hono";
import { parseTraceId } from "../../model/ids.ts";
import { filterTrace } from "../../query/filter-trace.ts";
import type { FoundTrace } from "../../query/find-trace.ts";
import { failureText, traceBody } from "../../query/trace-body.ts";
import { type Encoding, encodingOf, llmAnswer } from "../answers/answer.ts";
import { llmTrace } from "../answers/llm-trace.ts";
import { traceJson } from "../answers/trace-json.ts";
import { compressible } from "../compress.ts";
import { tenantsOf } from "../access.ts";
import type { AppDeps, AppEnv } from "../deps.ts";
import { lookUpTrace } from "../look-up-trace.ts";
import { readTraceFilter } from "../params/trace-filter.ts";
import { streamChunks } from "../stream-chunks.ts";
import { readTraceParams } from "../trace-params.ts";

type Version = 1 | 2;

/** `/api/traces/{id}` and `/api/v2/traces/{id}`, by any method as in Tempo. Errors are thrown as AppErrors. */
export function traceRoutes(deps: AppDeps): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.all("/api/v2/traces/:id", (c) => traceById(c, deps, c.req.param("id"), 2));
  app.all("/api/traces/:id", (c) => traceById(c, deps, c.req.param("id"), 1));
  return app;
}

async function traceById(c: Context<AppEnv>, deps: AppDeps, id: string, version: Version): Promise<Response> {
  const request = c.req.raw;
  const traceId = parseTraceId(id);
  const params = new URL(request.url).searchParams;
  const query = { traceId, tenants: tenantsOf(c), ...readTraceParams(params) };
  // Version 1 knows neither.
  const filter = version === 2 ? readTraceFilter(params) : undefined;
  const accepted = encodingOf(request);
  const encoding = version === 1 && accepted === "llm" ? "json" : accepted;
  const { limits } = deps;
  const maxOut = encoding === "llm" ? limits.maxDecodedTraceBytes : limits.maxTraceBytes;
  const maxBytes = filter === undefined ? maxOut : limits.maxOpenedTraceBytes;
  const whole = await lookUpTrace(deps, query, { signal: request.signal, maxBytes });
  const found =
    filter === undefined ? whole : await filterTrace(whole, filter, { ...limits, maxTraceBytes: maxOut });
  const sources = { "rubato-sources": `live=${found.liveSpans}, blocks=${found.blocks}` };
  const refused = version === 1 ? refusal(found, sources) : undefined;
  return (
    refused ?? answer(request, found, { version, encoding, maxValueDepth: limits.maxValueDepth, sources })
  );
}

interface AnswerFormat {
  readonly version: Version;
  readonly encoding: Encoding;
  readonly maxValueDepth: number;
  readonly sources: Readonly<Record<string, string>>;
}

function answer(request: Request, found: FoundTrace, format: AnswerFormat): Response {
  const { version, encoding, maxValueDepth, sources } = format;
  if (encoding === "llm") return llmAnswer(request, llmTrace(traceJson(found, maxValueDepth)));
  const body = traceBody(found, { version, encoding, maxValueDepth }, streamChunks);
  return compressible(request, body, { ...sources, "content-type": `application/${encoding}` });
}

/** Version 1 has no way to say "partial": better no answer than one that looks complete. */
function refusal(found: FoundTrace, headers: Readonly<Record<string, string>>): Response | undefined {
  const { exceededBytes, spanCount } = found.trace;
  if (exceededBytes !== undefined) {
    return text(422, `trace exceeds max size (max bytes: ${exceededBytes})\n`, headers);
  }
  const failed = failureText(found);
  if (failed !== undefined) return text(500, `${failed}\n`, headers);
  return spanCount === 0 ? new Response(null, { status: 404, headers }) : undefined;
}

function text(status: number, body: string, headers: Readonly<Record<string, string>>): Response {
  return new Response(body, {
    status,
    headers: { ...headers, "content-type": "text/plain; charset=utf-8" },
  });
}
