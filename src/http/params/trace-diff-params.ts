// The body of a comparison of two traces.
import { parseTraceId } from "../../model/ids.ts";
import type { TraceQuery } from "../../query/find-trace.ts";
import { badRequest } from "./query-params.ts";

export const DIFF_FORMATS = [
  "trace-patch-v0",
  "trace-summary-v0-native",
  "trace-summary-v0-composed",
] as const;
export type DiffFormat = (typeof DIFF_FORMATS)[number];

export interface TraceDiffParams {
  readonly base: TraceQuery;
  readonly compare: TraceQuery;
  readonly format: DiffFormat;
}

type Json = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readSeconds(side: Json, path: string, name: "start" | "end"): number {
  const value = side[name] ?? 0;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw badRequest(`invalid trace diff request body: ${path}.${name} is no time in Unix seconds`);
}

function readSide(body: Json, path: "base" | "compare"): TraceQuery {
  const side = body[path];
  if (!isObject(side)) throw badRequest(`invalid trace diff request body: ${path} is missing`);
  const { traceId } = side;
  if (typeof traceId !== "string" || traceId === "") {
    throw badRequest(`invalid trace diff request body: ${path}.traceId is missing`);
  }
  const startSeconds = readSeconds(side, path, "start");
  const endSeconds = readSeconds(side, path, "end");
  if (startSeconds > 0 && endSeconds > 0 && endSeconds <= startSeconds) {
    throw badRequest(
      `invalid trace diff request body: ${path}: start must be before end. received start=${startSeconds} end=${endSeconds}`,
    );
  }
  return { traceId: parseTraceId(traceId), mode: "all", startSeconds, endSeconds };
}

/**
 * Reads the request's body.
 * @throws AppError `invalid_argument`
 */
export function readTraceDiff(text: string): TraceDiffParams {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw badRequest("invalid trace diff request body: it is no JSON");
  }
  if (!isObject(body)) throw badRequest("invalid trace diff request body: it is no JSON object");
  const wanted = body["format"] ?? "";
  const format = wanted === "" ? DIFF_FORMATS[0] : DIFF_FORMATS.find((known) => known === wanted);
  if (format === undefined) {
    throw badRequest(
      `unsupported trace diff format ${JSON.stringify(wanted)}, known: ${DIFF_FORMATS.join(", ")}`,
    );
  }
  return { base: readSide(body, "base"), compare: readSide(body, "compare"), format };
}
