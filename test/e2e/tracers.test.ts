// Clients of Zipkin, Jaeger and gRPC-Web as their users install them, against a running server: what they held is what
// the API answers, at once and from a block.
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  ExportTraceServiceRequestSchema,
  TraceService,
} from "../../src/otlp/gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.ts";
import {
  Span_SpanKind,
  Status_StatusCode,
} from "../../src/otlp/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { startNode } from "../support/child.ts";
import {
  attributes,
  expectSpans,
  int,
  KIND,
  LATE_FLUSH,
  restartToFlush,
  spanOf,
  STATUS,
} from "../support/expect-trace.ts";
import { type NormalSpan, normalizeTracesData } from "../support/normal-span.ts";
import { askTrace, untilFlushed } from "../support/query-client.ts";
import { type TestServer, type TestServers, testServers } from "../support/server.ts";

const FLUSH_TIMEOUT_MS = 30_000;
const CLIENTS = "test/support/clients";

let servers: TestServers;
let server: TestServer;
/** All that was sent, for the last test. */
const sent: NormalSpan[][] = [];

async function expectLive(spans: NormalSpan[]): Promise<void> {
  await expectSpans(server.url, spans, "live");
  sent.push(spans);
}

/** Runs a client to its end; what it prints is what it held. */
async function run<Printed extends { failures: string[] }>(
  name: string,
  env: Record<string, string> = {},
): Promise<Printed> {
  const { code, stdout, stderr } = await startNode(`${CLIENTS}/${name}.cjs`, { RUBATO: server.url, ...env })
    .done;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const printed = JSON.parse(stdout) as Printed;
  expect(printed.failures).toEqual([]);
  return printed;
}

beforeAll(async () => {
  servers = await testServers();
  server = await servers.start(LATE_FLUSH);
});
afterAll(() => servers.end());

// ---- OpenTelemetry's exporters of other formats

interface Story {
  readonly traceId: string;
  readonly rootId: string;
  readonly startNs: string;
  readonly failures: string[];
}

/** What a format makes of the story of otel-story.cjs. */
interface Dialect {
  readonly resource: Record<string, unknown>;
  /** Attributes that each span carries behind its own. */
  readonly common: Record<string, unknown>;
  readonly rootAttributes: Record<string, unknown>;
  readonly failed: Partial<NormalSpan>;
  readonly eventAttributes: Record<string, unknown>;
}

/** The ids of the children are the SDK's; everything else is known. */
async function storyOf({ traceId, rootId, startNs }: Story, dialect: Dialect): Promise<NormalSpan[]> {
  const ids = new Map(
    (await askTrace(server.url, traceId, "v2 JSON")).spans.map(({ name, spanId }) => [name, spanId]),
  );
  expect(ids.size).toBe(5);
  const at = (microseconds: number): string => String(BigInt(startNs) + BigInt(microseconds) * 1000n);
  const common = attributes(dialect.common);
  const resource = attributes(dialect.resource);
  const child = (name: string, from: number, to: number, stated: Partial<NormalSpan>): NormalSpan =>
    spanOf(
      {
        traceId,
        spanId: ids.get(name) ?? "",
        parentSpanId: rootId,
        name,
        startNs: at(from),
        endNs: at(to),
        attributes: common,
        ...stated,
      },
      resource,
    );
  const root = {
    traceId,
    spanId: rootId,
    name: "größe 🎼",
    kind: KIND.server,
    startNs: startNs,
    endNs: at(1_001),
    attributes: [...attributes(dialect.rootAttributes), ...common],
  };
  const event = {
    timeNs: at(200),
    name: "retry ü",
    attributes: attributes(dialect.eventAttributes),
    droppedAttributes: 0,
  };
  return [
    spanOf(root, resource),
    child("fails ✗", 100, 700, { kind: KIND.client, events: [event], ...dialect.failed }),
    // Neither exporter writes the kind INTERNAL.
    child("INTERNAL", 800, 900, {}),
    child("PRODUCER", 803, 900, { kind: KIND.producer, status: { code: STATUS.ok, message: "" } }),
    child("CONSUMER", 804, 900, { kind: KIND.consumer }),
  ];
}

describe("OpenTelemetry's exporters", () => {
  test("exporter-zipkin: what Zipkin's format holds of a trace", async () => {
    const story = await run<Story>("otel-zipkin");
    const spans = await storyOf(story, {
      resource: { "service.name": "läden", "host.name": "h-1" },
      common: {},
      rootAttributes: { "text.ü": 'grüße 🎼 " \\ \n', int: "42", double: "0.25", bool: "true" },
      // The message stands in the tag `error`, which stays an attribute; links and attributes of events are lost.
      failed: {
        attributes: attributes({ error: "gave up ✗" }),
        status: { code: STATUS.error, message: "" },
      },
      eventAttributes: {},
    });
    expect(spans).toHaveLength(5);
    await expectLive(spans);
  });

  test("exporter-jaeger: what Jaeger's format holds of a trace", async () => {
    const story = await run<Story>("otel-jaeger");
    const link = {
      traceId: "0af7651916cd43dd8448eb211c80319c",
      spanId: "b7ad6b7169203331",
      traceState: "",
      attributes: attributes({ "opentracing.ref_type": "follows_from" }),
      droppedAttributes: 0,
      flags: 0,
    };
    const spans = await storyOf(story, {
      // The exporter sends the resource with each span, and of the process only the name.
      resource: { "service.name": "läden" },
      common: {
        "service.name": "läden",
        "host.name": "h-1",
        "otel.library.name": "story",
        "otel.library.version": "1.2.3",
      },
      // Its numbers are all doubles.
      rootAttributes: { "text.ü": 'grüße 🎼 " \\ \n', int: 42, double: 0.25, bool: true },
      failed: { status: { code: STATUS.error, message: "gave up ✗" }, links: [link] },
      eventAttributes: { attempt: 2, host: "ä" },
    });
    expect(spans).toHaveLength(5);
    await expectLive(spans);
  });

  test("exporter-trace-otlp-grpc: its user is told that no connection comes about", async () => {
    const { code, stdout, stderr } = await startNode(`${CLIENTS}/otel-grpc.cjs`, { RUBATO: server.url }).done;
    expect(code).toBe(0);
    // What the README quotes.
    expect(stderr).toContain("14 UNAVAILABLE: No connection established");
    const { traceId, failures } = JSON.parse(stdout) as Story;
    expect(failures).toHaveLength(5);
    expect((await fetch(`${server.url}/api/traces/${traceId}`)).status).toBe(404);
  });
});

// ---- Zipkin's own client

interface ZipkinPrinted {
  readonly spans: {
    readonly traceId: string;
    readonly id: string;
    readonly parentId?: string;
    readonly name: string;
    readonly timestamp: number;
    readonly duration: number;
    readonly annotations: { readonly timestamp: number; readonly value: string }[];
    readonly shared?: boolean;
  }[];
  readonly failures: string[];
}

/** What differs between the versions of Zipkin's format. */
interface ZipkinDialect {
  /** Names of Remote Procedure Calls: the client writes them in small letters. */
  readonly client: Record<string, unknown>;
  readonly server: Record<string, unknown>;
  readonly serverResource: Record<string, unknown>;
  readonly producerEvent?: string;
  readonly consumerEvent?: string;
}

const ZIPKIN_DIALECTS: Readonly<Record<string, ZipkinDialect>> = {
  JSON_V2: {
    client: { "peer.service": "stock", "http.path": "/größe", "http.status_code": "200" },
    server: {
      "net.host.ip": "192.0.2.7",
      "net.host.port": int(8080),
      "http.path": "/größe",
      "http.status_code": "500",
    },
    serverResource: { "service.name": "stock" },
  },
  // Version 1 has neither endpoints of a span nor its kind: what it has instead are annotations.
  JSON_V1: {
    client: { "http.path": "/größe", "http.status_code": "200", sa: true, "peer.service": "stock" },
    server: { "http.path": "/größe", "http.status_code": "500" },
    serverResource: { "service.name": "stock", ipv4: "192.0.2.7", port: "8080" },
    producerEvent: "ws",
    consumerEvent: "wr",
  },
};

function zipkinSpans({ spans }: ZipkinPrinted, dialect: ZipkinDialect): NormalSpan[] {
  const micros = (value: number): string => String(BigInt(value) * 1000n);
  const find = (name: string, shared = false): ZipkinPrinted["spans"][number] => {
    const span = spans.find((one) => one.name === name && (one.shared ?? false) === shared);
    if (span === undefined) throw new Error(`the client made no span ${name}`);
    return span;
  };
  const timed = (span: ZipkinPrinted["spans"][number], stated: Partial<NormalSpan>) => ({
    traceId: span.traceId,
    spanId: span.id,
    parentSpanId: span.parentId ?? "",
    name: span.name,
    startNs: micros(span.timestamp),
    endNs: micros(span.timestamp + span.duration),
    ...stated,
  });
  const front = attributes({ "service.name": "läden" });
  const event = (timeMicros: number, name: string) => ({
    timeNs: micros(timeMicros),
    name,
    attributes: [],
    droppedAttributes: 0,
  });
  const failed = (message: string): Partial<NormalSpan> => ({
    status: { code: STATUS.error, message: "" },
    attributes: attributes({ error: message }),
  });
  const root = find("größe 🎼");
  const client = find("get");
  const called = find("get", true);
  const work = find("wählt 🎼");
  const producer = find("producer");
  const consumer = find("consumer");
  expect({ id: called.id, parent: called.parentId }).toEqual({ id: client.id, parent: root.id });
  expect(work.parentId).toBe(client.id);
  const [message] = work.annotations;
  const served = "0000000000000001";
  const { producerEvent, consumerEvent } = dialect;
  return [
    spanOf(timed(root, { attributes: attributes({ "text.ü": 'grüße 🎼 " \\ \n', int: "42" }) }), front),
    spanOf(timed(client, { kind: KIND.client, attributes: attributes(dialect.client) }), front),
    // The shared id stays the client's; the server's side gets one of its own below it, and so do its children.
    spanOf(
      timed(called, {
        ...failed("Error: gave up ✗"),
        spanId: served,
        parentSpanId: client.id,
        kind: KIND.server,
        attributes: attributes({ ...dialect.server, error: "Error: gave up ✗" }),
      }),
      attributes(dialect.serverResource),
    ),
    spanOf(
      timed(work, {
        ...failed("gave up ✗"),
        parentSpanId: served,
        events: [event(message?.timestamp ?? 0, "läuft ü")],
      }),
      attributes({ "service.name": "stock" }),
    ),
    spanOf(
      timed(producer, {
        kind: KIND.producer,
        events:
          producerEvent === undefined ? [] : [event(producer.timestamp + producer.duration, producerEvent)],
      }),
      front,
    ),
    spanOf(
      timed(consumer, {
        kind: KIND.consumer,
        events: consumerEvent === undefined ? [] : [event(consumer.timestamp, consumerEvent)],
      }),
      front,
    ),
  ];
}

describe("zipkin with zipkin-transport-http", () => {
  for (const [encoder, dialect] of Object.entries(ZIPKIN_DIALECTS)) {
    test(`${encoder}: two services that share span ids`, async () => {
      const printed = await run<ZipkinPrinted>("zipkin", { ENCODER: encoder });
      expect(printed.spans).toHaveLength(6);
      await expectLive(zipkinSpans(printed, dialect));
    });
  }
});

// ---- Jaeger's own client

interface JaegerPrinted {
  readonly startMs: number;
  readonly spans: Record<
    "root" | "served" | "later" | "other" | "joins",
    { readonly traceId: string; readonly spanId: string }
  >;
  readonly process: Record<"shop" | "stock", Record<string, string>>;
  readonly failures: string[];
}

describe("jaeger-client", () => {
  test("over HTTP: two services, references, tags of each type", async () => {
    const { startMs, spans, process } = await run<JaegerPrinted>("jaeger");
    const { root, served, later, other, joins } = spans;
    const at = (microseconds: number): string =>
      String((BigInt(Math.round(startMs * 1000)) + BigInt(microseconds)) * 1000n);
    const resourceOf = (service: string, tags: Record<string, string>) => {
      const { hostname, "jaeger.version": version, ...others } = tags;
      expect(hostname).not.toBe("");
      // In the order of the client, which puts its own tags behind those of its user.
      const renamed = Object.entries({ ...others }).filter(([key]) => key === "version.ü");
      return attributes({
        "service.name": service,
        ...Object.fromEntries(renamed),
        "opencensus.exporterversion": `Jaeger-${version}`,
        "host.name": hostname,
        ip: others["ip"],
        "client-uuid": others["client-uuid"],
      });
    };
    const shop = resourceOf("läden", process.shop);
    const stock = resourceOf("stock", process.stock);
    const follows = (to: { traceId: string; spanId: string }) => ({
      ...to,
      traceState: "",
      attributes: attributes({ "opentracing.ref_type": "follows_from" }),
      droppedAttributes: 0,
      flags: 0,
    });
    await expectLive([
      spanOf(
        {
          ...root,
          name: "größe 🎼",
          kind: KIND.client,
          startNs: at(0),
          endNs: at(5_000),
          // The client writes every number as a double.
          attributes: attributes({
            "sampler.type": "const",
            "sampler.param": true,
            "text.ü": "grüße 🎼",
            int: 42,
            double: 0.25,
            bool: true,
            bytes: new Uint8Array([0, 255]),
          }),
          events: [
            {
              timeNs: at(500),
              name: "retry ü",
              attributes: attributes({ attempt: 2, host: "ä" }),
              droppedAttributes: 0,
            },
            {
              timeNs: at(750),
              name: "",
              attributes: attributes({ message: "no name" }),
              droppedAttributes: 0,
            },
          ],
        },
        shop,
      ),
      spanOf(
        {
          ...served,
          parentSpanId: root.spanId,
          name: "GET /stock",
          kind: KIND.server,
          startNs: at(1_000),
          endNs: at(4_250),
          attributes: attributes({ "http.status_code": 503 }),
          status: { code: STATUS.error, message: "" },
        },
        stock,
      ),
      spanOf(
        {
          ...later,
          // The only reference there is: parent and, to say how, link.
          parentSpanId: served.spanId,
          name: "läuft nach",
          startNs: at(2_000),
          endNs: at(4_000),
          links: [follows(served)],
        },
        stock,
      ),
      spanOf(
        {
          ...joins,
          parentSpanId: served.spanId,
          name: "joins",
          startNs: at(3_000),
          endNs: at(3_250),
          // The second tracer makes ids of 64 bits, as is the default.
          links: [follows(other)],
        },
        stock,
      ),
    ]);
  });
});

// ---- gRPC-Web

function id(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}

describe("gRPC-Web by connect-web", () => {
  const START_NS = BigInt(Date.now()) * 1_000_000n + 123_456_789n;

  function request() {
    const traceId = id(16);
    const root = id(8);
    const times = { startTimeUnixNano: START_NS, endTimeUnixNano: START_NS + 5_001n };
    return create(ExportTraceServiceRequestSchema, {
      resourceSpans: [
        {
          resource: {
            attributes: [{ key: "service.name", value: { value: { case: "stringValue", value: "läden" } } }],
          },
          scopeSpans: [
            {
              scope: { name: "story", version: "1.2.3" },
              spans: [
                { traceId, spanId: root, name: "größe 🎼", kind: Span_SpanKind.SERVER, ...times },
                {
                  traceId,
                  spanId: id(8),
                  parentSpanId: root,
                  name: "fails ✗",
                  kind: Span_SpanKind.CLIENT,
                  ...times,
                  status: { code: Status_StatusCode.ERROR, message: "gave up ✗" },
                  events: [{ timeUnixNano: START_NS + 7n, name: "retry ü" }],
                  links: [{ traceId: id(16), spanId: id(8) }],
                },
              ],
            },
          ],
        },
      ],
    });
  }

  function client() {
    return createClient(TraceService, createGrpcWebTransport({ baseUrl: server.url }));
  }

  test("a trace: acknowledged, and read back to the nanosecond", async () => {
    const message = request();
    const response = await client().export(message);
    expect(response.partialSuccess).toBeUndefined();
    await expectLive(
      normalizeTracesData({ ...message, $typeName: "opentelemetry.proto.trace.v1.TracesData" }),
    );
  });

  test("no spans: acknowledged", async () => {
    expect((await client().export({})).partialSuccess).toBeUndefined();
  });

  test("a span without id beside a good one: partial success", async () => {
    const message = request();
    const spans = message.resourceSpans[0]?.scopeSpans[0]?.spans ?? [];
    const [, bad] = spans;
    if (bad !== undefined) bad.spanId = new Uint8Array(0);
    const { partialSuccess } = await client().export(message);
    expect(partialSuccess?.rejectedSpans).toBe(1n);
    expect(partialSuccess?.errorMessage).toMatch(/span id/);
  });

  test("nothing but spans without ids: INVALID_ARGUMENT with the reason", async () => {
    const message = request();
    for (const span of message.resourceSpans[0]?.scopeSpans[0]?.spans ?? []) span.traceId = new Uint8Array(3);
    const failure = await client()
      .export(message)
      .then(
        () => undefined,
        (error: unknown) => ConnectError.from(error),
      );
    expect(failure?.code).toBe(Code.InvalidArgument);
    expect(failure?.rawMessage).toMatch(/trace id/);
  });
});

// ---- all of them, from blocks

test("no client made the server log anything but the refusals that were meant", () => {
  expect(server.logs.filter((line) => !line.includes("spans refused"))).toEqual([]);
});

test("every trace reads the same from blocks, after a restart", async () => {
  expect(sent).toHaveLength(6);
  server = await restartToFlush(servers);
  for (const spans of sent) {
    await untilFlushed(server.url, spans[0]?.traceId ?? "", FLUSH_TIMEOUT_MS);
    await expectSpans(server.url, spans, "blocks");
  }
});
