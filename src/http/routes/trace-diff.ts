// Comparison of two traces, Tempo's `/api/v2/traces/diff`.
import { type Context, Hono } from "hono";
import { partialMessage } from "../../query/trace-body.ts";
import type { FoundTrace } from "../../query/find-trace.ts";
import { AppError } from "../../util/errors.ts";
import { jsonAnswer } from "../answers/answer.ts";
import { traceJson } from "../answers/trace-json.ts";
import { tenantsOf } from "../access.ts";
import type { AppDeps, AppEnv } from "../deps.ts";
import { type SpanTree, spanTree } from "../diff/span-tree.ts";
import { tracePatch } from "../diff/trace-patch.ts";
import { composedSummary, traceSummary } from "../diff/trace-summary.ts";
import { lookUpTrace } from "../look-up-trace.ts";
import { type DiffFormat, readTraceDiff } from "../params/trace-diff-params.ts";

/** A body names two traces and a format. */
const BODY_BYTES_MAX = 64 * 1024;

/** POST only. Errors are thrown as AppErrors. */
export function traceDiffRoutes(deps: AppDeps): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.post("/api/v2/traces/diff", (c) => traceDiff(c, deps));
  app.all("/api/v2/traces/diff", (c) => c.text("Method Not Allowed\n", 405, { allow: "POST" }));
  return app;
}

async function traceDiff(c: Context<AppEnv>, deps: AppDeps): Promise<Response> {
  const request = c.req.raw;
  const params = readTraceDiff(await readBody(request));
  const { maxValueDepth, maxDecodedTraceBytes: maxBytes } = deps.limits;
  const tenants = tenantsOf(c);
  const options = { signal: request.signal, maxBytes };
  const base = await lookUpTrace(deps, { ...params.base, tenants }, options);
  const compare = await lookUpTrace(deps, { ...params.compare, tenants }, options);
  if (base.trace.spanCount === 0 || compare.trace.spanCount === 0) return c.text("Not Found\n", 404);
  for (const [side, found] of Object.entries({ base, compare })) {
    const partial = partialMessage(found);
    if (partial !== "") return c.text(`${side} trace is partial: ${partial}\n`, 422);
  }
  const bytes = base.trace.byteLength + compare.trace.byteLength;
  if (bytes > maxBytes) {
    throw new AppError(
      "rate_limited",
      `trace diff input too large: combined trace size ${bytes} bytes exceeds limit ${maxBytes} bytes`,
    );
  }
  const treeOf = (found: FoundTrace): SpanTree => spanTree(traceJson(found, maxValueDepth));
  return jsonAnswer(request, JSON.stringify(documentOf(treeOf(base), treeOf(compare), params.format)));
}

function documentOf(base: SpanTree, compare: SpanTree, format: DiffFormat): object {
  const patch = tracePatch(base, compare);
  if (format === "trace-patch-v0") return patch;
  const summary = traceSummary(base, compare, patch);
  return format === "trace-summary-v0-native" ? summary : composedSummary(summary, patch);
}

async function readBody(request: Request): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.length;
    if (length > BODY_BYTES_MAX) {
      throw new AppError("too_large", `a trace diff request has at most ${BODY_BYTES_MAX} bytes`);
    }
    chunks.push(chunk);
  }
  return new TextDecoder().decode(await new Blob(chunks).arrayBuffer());
}
