// Spans in a format that is not OTLP: read, inflate, convert, store; 202 or a text.
import type { Context } from "hono";
import { ingestConverted, rejectedCount } from "../ingest/ingest.ts";
import { codecOf, readBody } from "../ingest/read-body.ts";
import type { Limits } from "../model/limits.ts";
import type { Converted } from "../otlp/batch-builder.ts";
import { decompress } from "../util/codec.ts";
import { AppError } from "../util/errors.ts";
import { logWarning } from "../util/log.ts";
import type { AppDeps, AppEnv } from "./deps.ts";
import { errorResponse } from "./errors.ts";
import type { FindEntry } from "./ingest-entry.ts";

/** Makes OTLP of an inflated body, which it may use up. */
export type Convert = (body: Uint8Array, limits: Limits) => Converted;

export interface ConvertPorts {
  readonly deps: AppDeps;
  readonly findEntry: FindEntry;
}

/**
 * Stores the spans of a request. The answer is an empty 202 when any was stored (or none was sent), whatever else was
 * refused: these formats have no partial answer, so refusals are logged, by number and first reason, never by value.
 * @param format for the log
 */
export async function convertAndIngest(
  c: Context<AppEnv>,
  { deps, findEntry }: ConvertPorts,
  format: string,
  convert: Convert,
): Promise<Response> {
  const report = c.get("report");
  try {
    const request = c.req.raw;
    const codec = codecOf(request.headers.get("content-encoding"));
    const sent = await readBody(request, deps.limits);
    const { target, limits } = await findEntry(c, sent);
    const body = decompress(codec, sent, limits.maxBodyBytes);
    target.meter?.body({ sentBytes: sent.length, inflatedBytes: body.length, isConverted: true });
    const { traces, refusedSpans, firstRefusal } = convert(body, limits);
    if (refusedSpans > 0) target.meter?.refused(refusedSpans, "format");
    const result = await ingestConverted(target, traces, limits);
    report.ingested(format, sent, result);
    const { acceptedSpans, rejected, leftOut, message } = result;
    const refused = refusedSpans + rejectedCount(rejected);
    const reason = firstRefusal ?? message;
    if (refused > 0) {
      logWarning("spans refused", { format, refusedSpans: refused, acceptedSpans, reason });
      if (acceptedSpans === 0 && leftOut === undefined) throw new AppError("invalid_argument", reason);
      report.partial(reason);
    } else if (leftOut !== undefined)
      logWarning("spans left out", { format, leftOut, acceptedSpans, reason });
    else if (message !== "") logWarning("attributes cut", { format, acceptedSpans, reason });
    return new Response(null, { status: 202 });
  } catch (error) {
    report.failed(error);
    return errorResponse(error);
  }
}

/** 405 for any method but POST. */
export function methodNotAllowed(): Response {
  return plainText(405, "405 method not allowed, supported: [POST]", { allow: "POST" });
}

/** 415 that says what is supported. */
export function unsupportedMediaType(supported: readonly string[]): Response {
  return plainText(415, `415 unsupported media type, supported: [${supported.join(", ")}]`);
}

export function plainText(
  status: number,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(`${message}\n`, {
    status,
    headers: { "content-type": "text/plain; charset=utf-8", ...headers },
  });
}
