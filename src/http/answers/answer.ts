// Answers of the query API: which encoding a client takes, and what is said when something could not be read.
import { type DescMessage, type MessageShape, toBinary, toJson } from "@bufbuild/protobuf";
import type { ScanReport } from "../../query/query-scan.ts";
import { logError } from "../../util/log.ts";
import { compressible } from "../compress.ts";

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

export function llmAnswer(request: Request, json: unknown): Response {
  return jsonAnswer(request, JSON.stringify(json), {}, `${LLM_TYPE}+json`);
}

export interface MessageAnswer<Desc extends DescMessage> {
  readonly schema: Desc;
  readonly message: MessageShape<Desc>;
  /** Fields that JSON has even when they are empty, in which case protobuf's mapping leaves them out. */
  readonly lists: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
}

/** A message as JSON, or as protobuf for who asks for it. */
export function messageAnswer<Desc extends DescMessage>(
  request: Request,
  { schema, message, lists, headers = {} }: MessageAnswer<Desc>,
): Response {
  if (encodingOf(request) === "protobuf") {
    const bytes = Uint8Array.from(toBinary(schema, message));
    return compressible(request, bytes, { ...headers, "content-type": "application/protobuf" });
  }
  const json = toJson(schema, message);
  const empty = Object.fromEntries(lists.map((name) => [name, []]));
  return jsonAnswer(request, JSON.stringify(Object.assign(empty, json)), headers);
}

/** Sources named in a message; with hundreds of blocks the rest is only counted. */
const MAX_NAMED = 3;

/** What is missing, for people; undefined when everything was read. What failed is logged. */
export function missingText({ failures }: Pick<ScanReport, "failures">): string | undefined {
  for (const failure of failures) {
    // A limit that does its work is no fault.
    if (failure.kind !== "too_large") logError("a part of the spans could not be read", { ...failure });
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
