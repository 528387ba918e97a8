// Plain spans the way they really go: as OTLP into blocks or live columns, and from there to the engine.
import { writeColumns } from "../../src/block/block-writer.ts";
import { mergeBlocks } from "../../src/block/merge.ts";
import { bytesSource, openBlock } from "../../src/block/reader.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { blockSources } from "../../src/scan/block-source.ts";
import { ScanCache } from "../../src/scan/scan-cache.ts";
import type { SpanSource } from "../../src/traceql/storage.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import { buildBlock } from "./block-model.ts";
import type { PlainAttributes, PlainScalar, PlainSpan, PlainValue } from "./oracle/trace.ts";
import { encode } from "./otlp-codec.ts";

type TracesInit = Parameters<typeof encode>[0];
type SpanInit = NonNullable<
  NonNullable<NonNullable<TracesInit["resourceSpans"]>[number]["scopeSpans"]>[number]["spans"]
>[number];
type StatusInit = NonNullable<SpanInit["status"]>;
type AttributeInit = NonNullable<SpanInit["attributes"]>[number];
type ValueInit = NonNullable<AttributeInit["value"]>;

function scalar(value: PlainScalar): ValueInit {
  if (typeof value === "string") return { value: { case: "stringValue", value } };
  if (typeof value === "boolean") return { value: { case: "boolValue", value } };
  if (typeof value === "bigint") return { value: { case: "intValue", value } };
  return { value: { case: "doubleValue", value } };
}

function anyValue(value: PlainValue): ValueInit {
  if (value === null) return { value: { case: "kvlistValue", value: {} } };
  if (typeof value !== "object") return scalar(value);
  return { value: { case: "arrayValue", value: { values: value.map(scalar) } } };
}

function attributes(plain: PlainAttributes): AttributeInit[] {
  return [...plain].map(([key, value]) => ({ key, value: anyValue(value) }));
}

function bytes(hex: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(hex, "hex"));
}

// Kinds and statuses are what was sent, known or not.
function spanInit(span: PlainSpan): SpanInit {
  return {
    traceId: bytes(span.traceId),
    spanId: bytes(span.spanId),
    parentSpanId: bytes(span.parentSpanId),
    name: span.name,
    kind: span.kind as Exclude<SpanInit["kind"], undefined>,
    startTimeUnixNano: span.start,
    endTimeUnixNano: span.end,
    attributes: attributes(span.attributes),
    events: span.events.map((event) => ({
      timeUnixNano: event.time,
      name: event.name,
      attributes: attributes(event.attributes),
    })),
    links: span.links.map((link) => ({
      traceId: bytes(link.traceId),
      spanId: bytes(link.spanId),
      attributes: attributes(link.attributes),
    })),
    status: { code: span.statusCode as Exclude<StatusInit["code"], undefined>, message: span.statusMessage },
  };
}

/** One OTLP message. */
export function encodeSpans(spans: readonly PlainSpan[]): Uint8Array {
  return encode({
    resourceSpans: spans.map((span) => ({
      resource: { attributes: attributes(span.resource) },
      scopeSpans: [
        {
          scope: {
            name: span.scope.name,
            version: span.scope.version,
            attributes: attributes(span.scope.attributes),
          },
          spans: [spanInit(span)],
        },
      ],
    })),
  });
}

/** The file of a block as a flush writes it. */
export async function flushed(spans: readonly PlainSpan[]): Promise<Uint8Array> {
  return (await buildBlock([encodeSpans(spans)])).file;
}

/** Columns of live spans. */
export function live(spans: readonly PlainSpan[]): Promise<Uint8Array> {
  return writeColumns([encodeSpans(spans)]);
}

/** The file of a block as compaction makes it of others. */
export async function merged(files: readonly Uint8Array[], rowGroupSpans: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  await mergeBlocks(files.map(bytesSource), (chunk) => void chunks.push(chunk), {
    zstdLevel: 3,
    rowGroupSpans,
    arrivedMs: 0,
    replaces: [],
    pause: async () => undefined,
  });
  return concatBytes(chunks);
}

/** The sources of a file: one for each row group. */
export async function fileSources(file: Uint8Array): Promise<SpanSource[]> {
  const block = await openBlock(bytesSource(file));
  return blockSources(
    { block, attributes: await block.attributes() },
    {
      key: "file",
      readsMax: Infinity,
      heldBytesMax: 0,
      io: { inspectedBytes: 0, heldBytes: 0 },
      caches: new ScanCache(DEFAULT_LIMITS.scan),
      readParts: (_, parts) => Promise.all(parts.map((part) => bytesSource(file).read(part))),
    },
  );
}
