// What is kept of a batch at the spend cap, and how a batch is shared among services.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import {
  ResourceSpansSchema,
  SpanSchema,
  StatusSchema,
  type Status_StatusCode,
  TracesDataSchema,
} from "../../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { sampleTraces } from "../../../src/otlp/sample.ts";
import { servicesOf } from "../../../src/otlp/services.ts";
import { makeGenerator } from "../../support/generator.ts";

const textAttribute = (key: string, value: string) => ({
  key,
  value: { value: { case: "stringValue" as const, value } },
});

function idOf(n: number, bytes: number): Uint8Array {
  const id = new Uint8Array(bytes);
  new DataView(id.buffer).setUint32(bytes - 4, n);
  return id;
}

/** A batch of one span for each entry: which trace, and the code of its status. */
function batchOf(
  spans: readonly { readonly trace: number; readonly code?: Status_StatusCode }[],
): Uint8Array {
  return toBinary(
    TracesDataSchema,
    create(TracesDataSchema, {
      resourceSpans: [
        {
          scopeSpans: [
            {
              spans: spans.map(({ trace, code }, i) =>
                create(SpanSchema, {
                  traceId: idOf(trace, 16),
                  spanId: idOf(i + 1, 8),
                  status: create(StatusSchema, { code: code ?? 0, message: "m" }),
                }),
              ),
            },
          ],
        },
      ],
    }),
  );
}

function tracesIn(bytes: Uint8Array): number[] {
  const { resourceSpans } = fromBinary(TracesDataSchema, bytes);
  return resourceSpans
    .flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))
    .map(({ traceId }) => new DataView(traceId.buffer, traceId.byteOffset, 16).getUint32(12));
}

describe("sample", () => {
  test("a trace with an error in the batch is kept whole, whatever the share", () => {
    const batch = batchOf([
      { trace: 1, code: 1 },
      { trace: 2 },
      { trace: 1, code: 2 },
      { trace: 3 },
      { trace: 1 },
    ]);
    const { bytes, leftOut } = sampleTraces(batch, 0);
    expect(tracesIn(bytes)).toEqual([1, 1, 1]);
    expect(leftOut).toBe(2);
  });

  test("nothing is left out at share 1, and the bytes are the same; all is at 0 without errors", () => {
    const batch = batchOf([{ trace: 1 }, { trace: 2, code: 1 }]);
    expect(sampleTraces(batch, 1)).toEqual({ bytes: batch, leftOut: 0 });
    expect(sampleTraces(batch, 0)).toEqual({ bytes: new Uint8Array(0), leftOut: 2 });
  });

  test("a share of the traces, the same ones in every batch", () => {
    const traces = Array.from({ length: 10_000 }, (_, i) => i + 1);
    const one = new Set(tracesIn(sampleTraces(batchOf(traces.map((trace) => ({ trace }))), 0.25).bytes));
    // 2,500, and five standard deviations.
    expect(one.size).toBeGreaterThan(2_280);
    expect(one.size).toBeLessThan(2_720);
    const again = tracesIn(
      sampleTraces(batchOf(traces.toReversed().map((trace) => ({ trace }))), 0.25).bytes,
    );
    expect(new Set(again)).toEqual(one);
    // A smaller share keeps fewer of the same.
    const fewer = tracesIn(sampleTraces(batchOf(traces.map((trace) => ({ trace }))), 0.1).bytes);
    expect(fewer.every((trace) => one.has(trace))).toBe(true);
  });
});

describe("services", () => {
  test("spans and bytes by service.name, the same service in several resources together", () => {
    const resource = (name: string | undefined) => ({
      attributes: [
        textAttribute("host.name", "service.name"),
        ...(name === undefined ? [] : [textAttribute("service.name", name)]),
      ],
    });
    const spans = (count: number) => [
      {
        scope: { name: "s" },
        spans: Array.from({ length: count }, (_, i) => ({ traceId: idOf(i + 1, 16) })),
      },
    ];
    const traces = create(TracesDataSchema, {
      resourceSpans: [
        { resource: resource("shop"), scopeSpans: spans(3), schemaUrl: "x" },
        { resource: resource("käse"), scopeSpans: [...spans(1), ...spans(2)] },
        { resource: resource("shop"), scopeSpans: spans(4) },
        { resource: resource(undefined), scopeSpans: spans(1) },
        { resource: resource("empty"), scopeSpans: [] },
      ],
    });
    const bytes = toBinary(TracesDataSchema, traces);
    const shares = servicesOf(bytes);
    expect(shares.map(({ name, spans: count }) => [name, count])).toEqual([
      ["shop", 7],
      ["käse", 3],
      ["unknown_service", 1],
    ]);
    const whole = (index: number) =>
      toBinary(ResourceSpansSchema, traces.resourceSpans[index] ?? create(ResourceSpansSchema)).length;
    expect(shares[1]?.bytes).toBe(whole(1));
    expect(shares[0]?.bytes).toBe(whole(0) + whole(2));
  });

  test("more than 49 services of a batch are other", () => {
    const batch = (count: number) =>
      toBinary(
        TracesDataSchema,
        create(TracesDataSchema, {
          resourceSpans: Array.from({ length: count }, (_, i) => ({
            resource: { attributes: [textAttribute("service.name", `s${i}`)] },
            scopeSpans: [{ spans: [{ traceId: idOf(1, 16) }] }],
          })),
        }),
      );
    expect(servicesOf(batch(49)).map(({ name }) => name)).not.toContain("other");
    const shares = servicesOf(batch(60));
    expect(shares).toHaveLength(50);
    expect(shares.at(-1)).toMatchObject({ name: "other", spans: 11 });
  });

  test("as the generator made them, and no span is lost", () => {
    const batch = makeGenerator({ seed: 3 }).batch(300);
    const counts = new Map<string, number>();
    for (const { resource, scopeSpans } of fromBinary(TracesDataSchema, batch).resourceSpans) {
      const value = resource?.attributes.find(({ key }) => key === "service.name")?.value?.value;
      const name = value?.case === "stringValue" ? value.value : "unknown_service";
      counts.set(
        name,
        (counts.get(name) ?? 0) + scopeSpans.reduce((sum, { spans }) => sum + spans.length, 0),
      );
    }
    const shares = new Map(servicesOf(batch).map(({ name, spans }) => [name, spans]));
    expect(shares).toEqual(counts);
    expect([...shares.values()].reduce((sum, spans) => sum + spans, 0)).toBe(300);
  });
});
