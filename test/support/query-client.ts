// Asks a server for a trace in each of the four forms: API v1 and v2, JSON and protobuf.
import { fromBinary } from "@bufbuild/protobuf";
import { TracesDataSchema } from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { type NormalSpan, normalizeTempoJson, normalizeTracesData } from "./normal-span.ts";

export interface Sources {
  /** Spans that came from the buffer. */
  readonly live: number;
  /** Blocks that were read. */
  readonly blocks: number;
}

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly sources: Sources;
  readonly spans: NormalSpan[];
}

export const FORMS = ["v1 JSON", "v1 protobuf", "v2 JSON", "v2 protobuf"] as const;
export type Form = (typeof FORMS)[number];

function sourcesOf(header: string | null): Sources {
  const [, live, blocks] = /^live=(\d+), blocks=(\d+)$/.exec(header ?? "") ?? [];
  if (live === undefined) throw new Error(`no sources in the header: ${header}`);
  return { live: Number(live), blocks: Number(blocks) };
}

/** The content of field 1 of a TraceByIDResponse, which must come first and may be followed by fields 2 to 4. */
function traceField(bytes: Uint8Array): Uint8Array {
  if (bytes[0] !== 0x0a) throw new Error("a v2 answer must begin with its trace");
  let length = 0;
  let at = 1;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++] ?? 0;
    length += (byte & 127) * 2 ** shift;
    if (byte < 128) break;
  }
  if (at + length > bytes.length) throw new Error("a v2 answer is shorter than it says");
  return bytes.subarray(at, at + length);
}

function decode(form: Form, bytes: Uint8Array): NormalSpan[] {
  if (form.endsWith("protobuf")) {
    const trace = form === "v2 protobuf" ? traceField(bytes) : bytes;
    return normalizeTracesData(fromBinary(TracesDataSchema, trace));
  }
  const json = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)) as {
    batches?: unknown;
    trace?: { resourceSpans?: unknown };
  };
  return normalizeTempoJson(form === "v2 JSON" ? json.trace?.resourceSpans : json.batches);
}

/** The trace as the server answers in `form`. Throws when it does not answer 200. */
export async function askTrace(url: string, traceId: string, form: Form): Promise<Answer> {
  const path = form.startsWith("v2") ? "/api/v2/traces/" : "/api/traces/";
  const accept = form.endsWith("protobuf") ? "application/protobuf" : "application/json";
  const response = await fetch(`${url}${path}${traceId}`, { headers: { accept } });
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (response.status !== 200) {
    throw new Error(
      `${form} of ${traceId}: ${response.status} ${new TextDecoder().decode(bytes.subarray(0, 500))}`,
    );
  }
  return {
    status: response.status,
    contentType: response.headers.get("content-type") ?? "",
    sources: sourcesOf(response.headers.get("rubato-sources")),
    spans: decode(form, bytes),
  };
}

/** Polls until the trace comes from blocks and nothing of it is in the buffer. */
export async function untilFlushed(url: string, traceId: string, timeoutMs: number): Promise<Sources> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const { sources } = await askTrace(url, traceId, "v1 protobuf");
    if (sources.live === 0 && sources.blocks > 0) return sources;
    if (Date.now() > deadline) throw new Error(`not flushed in ${timeoutMs} ms: ${JSON.stringify(sources)}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}
