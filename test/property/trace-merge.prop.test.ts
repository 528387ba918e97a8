// Random pieces from random sources -> the merged trace in both encodings, against the plain model.
import { fromBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { TracesDataSchema } from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { traceToJson } from "../../src/otlp/trace-json.ts";
import { findTrace, type FoundTrace } from "../../src/query/find-trace.ts";
import { traceBody } from "../../src/query/trace-body.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import { FakeShard, FakeStore, fakeReadPages, id8, liveStream, TRACE_ID } from "../support/query-fakes.ts";
import { mergedByModel } from "../support/trace-model.ts";

const NONE = new Uint8Array(0);
const utf8 = new TextEncoder();

function varint(value: number, padding: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  bytes.push(rest);
  for (let i = 0; i < padding; i++) {
    bytes[bytes.length - 1]! |= 128;
    bytes.push(0);
  }
  return bytes;
}

/** A length-delimited field; `padding` bytes more than its length needs. */
function field(number: number, body: Uint8Array, padding = 0): Uint8Array {
  return concatBytes([
    Uint8Array.from([...varint(number * 8 + 2, 0), ...varint(body.length, padding)]),
    body,
  ]);
}

const unknown = fc.constantFrom(
  field(100, utf8.encode("unknown")),
  Uint8Array.of(0xc8, 0x06, 0x07), // field 105, a varint
  field(999, new Uint8Array(0)),
);

/** The parts in any order, as one message. */
function message(parts: fc.Arbitrary<Uint8Array[]>): fc.Arbitrary<Uint8Array> {
  return parts
    .chain((all) => fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length }))
    .map((all) => concatBytes(all));
}

const spanId = fc.integer({ min: 1, max: 9 });

const span = message(
  fc
    .record({
      ids: fc.array(spanId, { minLength: 1, maxLength: 2 }),
      oddId: fc.oneof({ weight: 30, arbitrary: fc.constant(null) }, fc.uint8Array({ maxLength: 9 })),
      parents: fc.array(
        spanId.map((n) => id8(n)),
        { maxLength: 2, size: "max" },
      ),
      kind: fc.constantFrom(0, 1, 2, 2, 2, 3, 3, 3, 4, 77),
      name: fc.string({ maxLength: 5 }),
      status: fc.option(fc.constantFrom(Uint8Array.of(), Uint8Array.of(0x18, 2))),
      more: fc.array(unknown, { maxLength: 2 }),
    })
    .map(({ ids, oddId, parents, kind, name, status, more }) =>
      more.concat([
        field(1, TRACE_ID),
        // Of repeated fields the last one counts, so those of one number stay together.
        concatBytes(ids.map((n) => field(2, id8(n), 1)).concat(oddId === null ? NONE : field(2, oddId))),
        concatBytes(parents.map((parent) => field(4, parent))),
        field(5, utf8.encode(name)),
        Uint8Array.of(0x30, kind),
        status === null ? NONE : field(15, status),
      ]),
    ),
);

function group(
  owner: fc.Arbitrary<Uint8Array>,
  child: fc.Arbitrary<Uint8Array>,
  most: number,
): fc.Arbitrary<Uint8Array> {
  return message(
    fc
      .record({
        owner: fc.option(owner, { freq: 3 }),
        // Groups without children are among them, but most have some: otherwise hardly an id would be shared.
        children: fc.array(fc.tuple(child, fc.nat(2)), { maxLength: most, size: "max" }),
        url: fc.option(fc.string({ maxLength: 4 })),
        more: fc.array(unknown, { maxLength: 1 }),
      })
      .map((parts) =>
        parts.more.concat(
          parts.owner === null ? NONE : field(1, parts.owner),
          parts.url === null ? NONE : field(3, utf8.encode(parts.url)),
          parts.children.map(([one, padding]) => field(2, one, padding)),
        ),
      ),
  );
}

const scope = fc.string({ maxLength: 4 }).map((name) => field(1, utf8.encode(name)));
const resource = fc
  .string({ maxLength: 4 })
  .map((key) => field(1, concatBytes([field(1, utf8.encode(key)), field(2, field(1, utf8.encode("v")))])));
const piece = fc
  .array(group(resource, group(scope, span, 5), 3), { maxLength: 2, size: "max" })
  .map((records) => concatBytes(records.map((record) => field(1, record))));

interface Sources {
  readonly live: Uint8Array[];
  readonly blocks: Uint8Array[][];
  readonly chunkBytes: number;
  readonly streamed: boolean;
}

const sources: fc.Arbitrary<Sources> = fc.record({
  live: fc.array(piece, { maxLength: 3, size: "max" }),
  blocks: fc.array(fc.array(piece, { maxLength: 2 }), { maxLength: 3 }),
  chunkBytes: fc.integer({ min: 1, max: 300 }),
  streamed: fc.boolean(),
});

async function find({ live, blocks, chunkBytes, streamed }: Sources): Promise<FoundTrace> {
  const shard = new FakeShard();
  const objects = new FakeStore();
  objects.chunkBytes = chunkBytes;
  const joined = concatBytes(live);
  shard.live = streamed ? liveStream(joined, chunkBytes) : joined;
  for (const [index, pieces] of blocks.entries()) await shard.addBlock(objects, `block-${index}`, pieces);
  return findTrace(
    { limits: DEFAULT_LIMITS, objects, shards: [{ name: "t/0", shard }], readPages: fakeReadPages },
    { traceId: TRACE_ID, mode: "all", startSeconds: 0, endSeconds: 0 },
  );
}

async function answer(given: Sources, version: 1 | 2, encoding: "json" | "protobuf"): Promise<Uint8Array> {
  const made = traceBody(await find(given), { version, encoding, maxValueDepth: 64 });
  return new Uint8Array(await new Response(made as BodyInit).arrayBuffer());
}

test("trace-merge: both encodings and both versions hold the trace that the plain model makes", async () => {
  await fc.assert(
    fc.asyncProperty(sources, async (given) => {
      const expected = mergedByModel([...given.live, ...given.blocks.flat()]);
      const protobuf = await answer(given, 1, "protobuf");
      expect(fromBinary(TracesDataSchema, protobuf)).toEqual(expected);

      // Version 2 holds the same Trace as field 1, with exactly its length in front.
      const v2 = await answer(given, 2, "protobuf");
      const head = field(1, protobuf);
      expect(v2.subarray(0, head.length)).toEqual(head);
      expect(v2[head.length]).toBe(0x12);

      const trace: unknown = JSON.parse(new TextDecoder().decode(traceToJson(protobuf, 64)));
      const v1Json: unknown = JSON.parse(new TextDecoder().decode(await answer(given, 1, "json")));
      const { resourceSpans = [] } = trace as { resourceSpans?: unknown[] };
      expect(v1Json).toEqual({ batches: resourceSpans });
      const v2Json: unknown = JSON.parse(new TextDecoder().decode(await answer(given, 2, "json")));
      expect(v2Json).toMatchObject({ trace });
    }),
    { numRuns: 300 },
  );
});
