// What a client of another format must find again: spans written out by hand, compared whole in each form of the API.
import { expect } from "vitest";
import type { NormalAttributes, NormalSpan, NormalValue } from "./normal-span.ts";
import { sortSpans } from "./normal-span.ts";
import { askTrace, FORMS } from "./query-client.ts";
import type { TestServer, TestServers } from "./server.ts";

export const KIND = { unspecified: 0, internal: 1, server: 2, client: 3, producer: 4, consumer: 5 } as const;
export const STATUS = { unset: 0, ok: 1, error: 2 } as const;

/** Attributes from plain values: integers must be wrapped in `int`, since most formats know only numbers. */
export function attributes(plain: Readonly<Record<string, unknown>>): NormalAttributes {
  return Object.entries(plain).map(([key, value]) => [key, valueOf(value)]);
}

/** An integer among `attributes`. */
export function int(value: number): bigint {
  return BigInt(value);
}

function valueOf(value: unknown): NormalValue {
  if (typeof value === "string") return { string: value };
  if (typeof value === "boolean") return { bool: value };
  if (typeof value === "number") return { double: String(value) };
  if (typeof value === "bigint") return { int: String(value) };
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString("base64") };
  throw new Error(`no value of an attribute: ${JSON.stringify(value)}`);
}

type Stated = Pick<NormalSpan, "traceId" | "spanId" | "name" | "startNs" | "endNs"> &
  Partial<Omit<NormalSpan, "resource" | "scope">>;

/** A span of `service` with the named fields; the rest is empty. */
export function spanOf(
  stated: Stated,
  resource: NormalAttributes,
  scope: { readonly name: string; readonly version: string } = { name: "", version: "" },
): NormalSpan {
  return {
    parentSpanId: "",
    traceState: "",
    flags: 0,
    kind: KIND.unspecified,
    attributes: [],
    droppedAttributes: 0,
    events: [],
    droppedEvents: 0,
    links: [],
    droppedLinks: 0,
    status: { code: STATUS.unset, message: "" },
    ...stated,
    resource: { attributes: resource, schemaUrl: "" },
    scope: { ...scope, attributes: [], schemaUrl: "" },
  };
}

/** Where the answer must have come from. */
export type Source = "live" | "blocks";

/** Asks for a trace in every form and compares all of it, and where it came from. */
export async function expectSpans(
  url: string,
  expected: readonly NormalSpan[],
  source: Source,
): Promise<void> {
  const spans = sortSpans([...expected]);
  const traceId = spans[0]?.traceId ?? "";
  expect(new Set(spans.map((span) => span.traceId))).toEqual(new Set([traceId]));
  for (const form of FORMS) {
    const answer = await askTrace(url, traceId, form);
    expect({ form, spans: answer.spans }).toEqual({ form, spans });
    if (source === "live") expect(answer.sources).toEqual({ live: spans.length, blocks: 0 });
    else expect(answer.sources.live).toBe(0);
  }
}

/** Long enough that nothing is flushed while answers from the buffer are checked. */
export const LATE_FLUSH = { FLUSH_AGE_SECONDS: "600" };

/** Restarts the server with an early flush and sends a span, which makes the shard look for what is due. */
export async function restartToFlush(servers: TestServers): Promise<TestServer> {
  const server = await servers.restart({ FLUSH_AGE_SECONDS: "0.1" });
  const span = { traceId: "f".repeat(32), spanId: "f".repeat(16), name: "wakes the shard" };
  const response = await fetch(`${server.url}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] }),
  });
  expect(response.status).toBe(200);
  return server;
}
