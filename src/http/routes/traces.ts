// Trace by id, Tempo's versions 1 and 2.
import { type Context, Hono } from "hono";
import { parseTraceId, SINGLE_TENANT } from "../../model/ids.ts";
import { findTrace, type FoundTrace } from "../../query/find-trace.ts";
import { failureText, traceBody } from "../../query/trace-body.ts";
import { AppError } from "../../util/errors.ts";
import { traceHash } from "../../util/hash.ts";
import { logError } from "../../util/log.ts";
import { compressible } from "../compress.ts";
import type { AppDeps } from "../deps.ts";
import { streamChunks } from "../stream-chunks.ts";
import { readTraceParams } from "../trace-params.ts";

type Version = 1 | 2;

// Tempo looks for these in Accept in this order, as substrings, whatever their weights; otherwise it is JSON.
function encodingOf(accept: string | null): "json" | "protobuf" {
  return accept?.includes("application/protobuf") === true ? "protobuf" : "json";
}

/** `/api/traces/{id}` and `/api/v2/traces/{id}`, by any method as in Tempo. Errors are thrown as AppErrors. */
export function traceRoutes(deps: AppDeps): Hono {
  const app = new Hono();
  app.all("/api/v2/traces/:id", (c) => traceById(c, deps, c.req.param("id"), 2));
  app.all("/api/traces/:id", (c) => traceById(c, deps, c.req.param("id"), 1));
  return app;
}

async function traceById(c: Context, deps: AppDeps, id: string, version: Version): Promise<Response> {
  const request = c.req.raw;
  const traceId = parseTraceId(id);
  const params = new URL(request.url).searchParams;
  const query = { traceId, ...readTraceParams(params) };
  if (version === 2 && (params.get("q") ?? "") !== "") {
    throw new AppError(
      "invalid_argument",
      "filtering the spans of a trace by TraceQL (q) is not available yet",
    );
  }
  const shards = await deps.shards.forReading(SINGLE_TENANT, traceHash(traceId));
  const found = await findTrace(
    { limits: deps.limits, objects: deps.objects, shards },
    query,
    request.signal,
  );
  for (const failure of found.failures) logError("part of a trace could not be read", { ...failure });
  const sources = { "rubato-sources": `live=${found.liveSpans}, blocks=${found.blocks}` };
  const refused = version === 1 ? refusal(found, sources) : undefined;
  if (refused !== undefined) return refused;
  const encoding = encodingOf(request.headers.get("accept"));
  const format = { version, encoding, maxValueDepth: deps.limits.maxValueDepth };
  const body = traceBody(found, format, streamChunks);
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
