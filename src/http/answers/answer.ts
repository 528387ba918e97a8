// Answers of the query API: which encoding a client takes, and what is said when something could not be read.
import { type DescMessage, type MessageShape, toBinary, toJson } from "@bufbuild/protobuf";
import type { ScanReport } from "../../query/query-scan.ts";
import { logError } from "../../util/log.ts";
import type { Chunks } from "../../query/trace-body.ts";
import { compressible } from "../compress.ts";
import { streamChunks } from "../stream-chunks.ts";

export type Encoding = "json" | "protobuf" | "llm";

const LLM_TYPE = "application/vnd.grafana.llm";

/** Tempo looks for these in Accept in this order, as substrings, whatever their weights; otherwise it is JSON. */
export function encodingOf(request: Request): Encoding {
  const accept = request.headers.get("accept") ?? "";
  if (accept.includes("application/protobuf")) return "protobuf";
  return !accept.includes("application/json") && accept.includes(LLM_TYPE) ? "llm" : "json";
}

export function jsonAnswer(
  request: Request,
  json: string,
  headers: Readonly<Record<string, string>> = {},
  type = "application/json",
): Response {
  return compressible(request, new TextEncoder().encode(json), { ...headers, "content-type": type });
}

/** Characters up to which an answer is made at once. */
const WHOLE_CHARS_MAX = 256 * 1024;
/** Characters of a chunk, about. */
const CHUNK_CHARS = 64 * 1024;

function* chunksOf(first: readonly string[], rest: Iterator<string>): Chunks {
  let parts = [...first];
  let chars = CHUNK_CHARS;
  for (let next = rest.next(); next.done !== true; next = rest.next()) {
    if (chars >= CHUNK_CHARS) {
      yield encoded(parts.join(""));
      parts = [];
      chars = 0;
    }
    parts.push(next.value);
    chars += next.value.length;
  }
  yield encoded(parts.join(""));
}

/** A buffer of its own, that the stream may take. */
function encoded(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new TextEncoder().encode(text));
}

/** JSON that is made part by part: a large answer is never in memory as a whole. */
export function longJsonAnswer(
  request: Request,
  json: Iterable<string>,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const parts = json[Symbol.iterator]();
  const first: string[] = [];
  let chars = 0;
  while (chars <= WHOLE_CHARS_MAX) {
    const next = parts.next();
    if (next.done === true) return jsonAnswer(request, first.join(""), headers);
    first.push(next.value);
    chars += next.value.length;
  }
  const body = streamChunks(chunksOf(first, parts));
  return compressible(request, body, { ...headers, "content-type": "application/json" });
}

export function llmAnswer(request: Request, json: unknown): Response {
  return jsonAnswer(request, JSON.stringify(json), {}, `${LLM_TYPE}+json`);
}

export function protobufAnswer(
  request: Request,
  bytes: Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return compressible(request, bytes, { ...headers, "content-type": "application/protobuf" });
}

export interface MessageAnswer<Desc extends DescMessage> {
  readonly schema: Desc;
  readonly message: MessageShape<Desc>;
  /** A field that JSON has even when it is empty, in which case protobuf's mapping leaves it out. */
  readonly list: string;
}

/** A message as JSON, or as protobuf for who asks for it. */
export function messageAnswer<Desc extends DescMessage>(
  request: Request,
  { schema, message, list }: MessageAnswer<Desc>,
): Response {
  if (encodingOf(request) === "protobuf") return protobufAnswer(request, toBinary(schema, message));
  return jsonAnswer(request, JSON.stringify(Object.assign({ [list]: [] }, toJson(schema, message))));
}

/** Sources named in a message; with hundreds of blocks the rest is only counted. */
const MAX_NAMED = 3;

/** Tells the operator of a source that could not be read. */
export function logFailure(
  what: string,
  { source, kind, message }: { readonly source: string; readonly kind: string; readonly message: string },
): void {
  logError(what, { source, kind, reason: message });
}

/** What is missing, for people; undefined when everything was read. What failed is logged. */
export function missingText({ failures }: Pick<ScanReport, "failures">): string | undefined {
  for (const failure of failures) {
    // A limit that does its work is no fault.
    if (failure.kind !== "too_large") logFailure("a part of the spans could not be read", failure);
  }
  if (failures.length === 0) return undefined;
  const named = failures
    .slice(0, MAX_NAMED)
    .map(({ source, kind, message }) =>
      kind === "too_large" ? `${source} (${message})` : `${source} (${kind})`,
    );
  const more = failures.length > MAX_NAMED ? ` and ${failures.length - MAX_NAMED} more` : "";
  return `The answer may be incomplete, not read: ${named.join(", ")}${more}`;
}
