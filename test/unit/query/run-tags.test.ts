// Names and values of attributes, against those of the spans that were sent, decoded by the generated code.
import { fromBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import type { AnyValue, KeyValue } from "../../../src/otlp/gen/opentelemetry/proto/common/v1/common_pb.ts";
import { type Span, TracesDataSchema } from "../../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { runTagNames, runTagValues } from "../../../src/query/run-tags.ts";
import { parseCondition, parseField } from "../../../src/traceql/parse.ts";
import { ScanWorld } from "../../support/scan-world.ts";

const START_NS = 1_795_392_000_000_000_000n;
const INPUT = {
  window: { startNs: START_NS, endNs: START_NS + 3_600_000_000_000n },
  limit: Infinity,
  maxBytes: Infinity,
};

interface Sent {
  readonly span: Span;
  readonly resource: readonly KeyValue[];
  readonly scope: { readonly name: string; readonly attributes: readonly KeyValue[] };
}

function sentBy(world: ScanWorld): Sent[] {
  return world.batches.flatMap((batch) =>
    fromBinary(TracesDataSchema, batch).resourceSpans.flatMap(({ resource, scopeSpans }) =>
      scopeSpans.flatMap(({ scope, spans }) =>
        spans.map((span) => ({
          span,
          resource: resource?.attributes ?? [],
          scope: { name: scope?.name ?? "", attributes: scope?.attributes ?? [] },
        })),
      ),
    ),
  );
}

const sorted = (texts: Iterable<string>): string[] => [...new Set(texts)].sort();
const keysOf = (attributes: readonly KeyValue[]): string[] => attributes.map(({ key }) => key);

function namesOf(sent: readonly Sent[]) {
  const scopes = {
    resource: sorted(sent.flatMap(({ resource }) => keysOf(resource))),
    span: sorted(sent.flatMap(({ span }) => keysOf(span.attributes))),
    event: sorted(sent.flatMap(({ span }) => span.events.flatMap((event) => keysOf(event.attributes)))),
    link: sorted(sent.flatMap(({ span }) => span.links.flatMap((link) => keysOf(link.attributes)))),
    instrumentation: sorted(sent.flatMap(({ scope }) => keysOf(scope.attributes))),
  };
  return Object.entries(scopes)
    .filter(([, tags]) => tags.length > 0)
    .map(([name, tags]) => ({ name, tags }));
}

/** Elements of lists too. */
function textsIn(value: AnyValue | undefined): string[] {
  if (value?.value.case === "arrayValue")
    return value.value.value.values.flatMap((element) => textsIn(element));
  return value?.value.case === "stringValue" ? [value.value.value] : [];
}

function stringsOf(attributes: readonly KeyValue[], key: string): string[] {
  return attributes.flatMap(({ key: own, value }) => (own === key ? textsIn(value) : []));
}

/** Live spans, a small block and a merged one. */
async function mixedWorld(seed: number): Promise<ScanWorld> {
  const world = new ScanWorld(seed);
  await world.flush(4);
  await world.runJobs();
  await world.flush(1);
  await world.append(300);
  return world;
}

async function values(world: ScanWorld, field: string, filter?: string) {
  const run = await runTagValues(world.deps, {
    ...INPUT,
    field: parseField(field),
    filter: filter === undefined ? undefined : parseCondition(filter),
  });
  expect(run.failures).toEqual([]);
  return run.values;
}

const texts = (found: readonly { readonly value: string }[]): string[] => found.map(({ value }) => value);

describe("tag names", () => {
  test("are those of the spans, scope by scope", async () => {
    const world = await mixedWorld(1);
    const run = await runTagNames(world.deps, INPUT);
    expect(run.scopes).toEqual(namesOf(sentBy(world)));
    expect(run.scopes.map(({ name }) => name)).toContain("event");
    expect(run).toMatchObject({ isTruncated: false, failures: [] });
    expect(run.totalBlocks).toBeGreaterThan(0);
    const span = await runTagNames(world.deps, { ...INPUT, scope: "span" });
    expect(span.scopes).toEqual(run.scopes.filter(({ name }) => name === "span"));
  });

  test("of spans that match a filter", async () => {
    const world = await mixedWorld(2);
    const filter = parseCondition(`kind = consumer && span.messaging.system = "kafka"`);
    const run = await runTagNames(world.deps, { ...INPUT, filter });
    const matching = sentBy(world).filter(
      ({ span }) => span.kind === 5 && stringsOf(span.attributes, "messaging.system").includes("kafka"),
    );
    expect(matching.length).toBeGreaterThan(0);
    expect(run.scopes).toEqual(namesOf(matching));
  });

  test("at most so many in each scope, and so many bytes", async () => {
    const world = await mixedWorld(3);
    const few = await runTagNames(world.deps, { ...INPUT, limit: 3 });
    expect(few.isTruncated).toBe(true);
    expect(few.scopes.find(({ name }) => name === "span")?.tags).toHaveLength(3);
    const short = await runTagNames(world.deps, { ...INPUT, maxBytes: 50, scope: "span" });
    expect(short.scopes[0]?.tags.join("").length).toBeLessThanOrEqual(50);
    expect(short.isTruncated).toBe(true);
  });

  test("span names need one request a block, and none when the block is known", async () => {
    const world = await mixedWorld(4);
    await runTagNames(world.deps, { ...INPUT, scope: "span" });
    expect(world.gets).toHaveLength(world.blockKeys().length);
    world.gets.length = 0;
    await runTagNames(world.deps, { ...INPUT, scope: "span" });
    expect(world.gets).toEqual([]);
  });
});

describe("tag values", () => {
  test("of attributes, frequent and rare, and of resources", async () => {
    const world = await mixedWorld(5);
    const sent = sentBy(world);
    expect(texts(await values(world, "resource.service.name"))).toEqual(
      sorted(sent.flatMap(({ resource }) => stringsOf(resource, "service.name"))),
    );
    const keys = sorted(sent.flatMap(({ span }) => keysOf(span.attributes)));
    expect(keys.length).toBeGreaterThan(100);
    for (const key of keys) {
      const found = await values(world, `span."${key}"`);
      const expected = sorted(sent.flatMap(({ span }) => stringsOf(span.attributes, key)));
      expect(texts(found.filter(({ type }) => type === "string"))).toEqual(expected);
    }
  });

  test("have types, and are those of all scopes without one", async () => {
    const world = await mixedWorld(6);
    const codes = await values(world, "span.http.response.status_code");
    expect(codes).toContainEqual({ type: "int", value: "200" });
    expect(await values(world, ".http.response.status_code")).toEqual(codes);
    expect(await values(world, ".service.name")).toEqual(await values(world, "resource.service.name"));
    expect(await values(world, "span.cache.hit")).toEqual([
      { type: "bool", value: "false" },
      { type: "bool", value: "true" },
    ]);
    expect((await values(world, "span.app.cost")).map(({ type }) => type)).toContain("float");
    expect(await values(world, "span.no_such_key")).toEqual([]);
  });

  test("of intrinsics: looked up, keywords, or none", async () => {
    const world = await mixedWorld(7);
    const sent = sentBy(world);
    expect(texts(await values(world, "name"))).toEqual(sorted(sent.map(({ span }) => span.name)));
    expect(texts(await values(world, "event:name"))).toEqual(["exception"]);
    expect(texts(await values(world, "instrumentation:name"))).toEqual(
      sorted(sent.map(({ scope }) => scope.name)),
    );
    const roots = sent.filter(({ span }) => span.parentSpanId.length === 0);
    expect(texts(await values(world, "rootName"))).toEqual(sorted(roots.map(({ span }) => span.name)));
    expect(await values(world, "status")).toEqual(
      ["error", "ok", "unset"].map((value) => ({ type: "keyword", value })),
    );
    expect(await values(world, "duration")).toEqual([]);
    expect(await values(world, "span:id")).toEqual([]);
  });

  test("of spans that match a filter", async () => {
    const world = await mixedWorld(8);
    const services = await values(world, "resource.service.name", "kind = consumer");
    const consumers = sentBy(world).filter(({ span }) => span.kind === 5);
    expect(texts(services)).toEqual(
      sorted(consumers.flatMap(({ resource }) => stringsOf(resource, "service.name"))),
    );
    const exceptions = await values(world, "event.exception.type", "kind = server");
    const servers = sentBy(world).filter(({ span }) => span.kind === 2);
    expect(texts(exceptions)).toEqual(
      sorted(
        servers.flatMap(({ span }) =>
          span.events.flatMap(({ attributes }) => stringsOf(attributes, "exception.type")),
        ),
      ),
    );
    expect(await values(world, "name", `span.no_such_key = "x"`)).toEqual([]);
  });

  test("at most so many, and so many bytes", async () => {
    const world = await mixedWorld(9);
    const field = parseField("name");
    const few = await runTagValues(world.deps, { ...INPUT, field, limit: 4 });
    expect(few.values).toHaveLength(4);
    expect(few.isTruncated).toBe(true);
    const all = await runTagValues(world.deps, { ...INPUT, field });
    expect(all.isTruncated).toBe(false);
    const exact = await runTagValues(world.deps, { ...INPUT, field, limit: all.values.length });
    expect(exact.values).toEqual(all.values);
    const short = await runTagValues(world.deps, { ...INPUT, field, maxBytes: 60 });
    expect(texts(short.values).join("").length).toBeLessThanOrEqual(60);
  });

  test("a block that cannot be read is left out and named", async () => {
    const world = await mixedWorld(10);
    const [lost = ""] = world.blockKeys();
    await world.objects.delete([lost]);
    const run = await runTagValues(world.deps, { ...INPUT, field: parseField("name") });
    expect(run.failures).toMatchObject([{ source: lost, kind: "not_found" }]);
    expect(run.values.length).toBeGreaterThan(0);
  });
});
