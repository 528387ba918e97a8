// Comparison of two traces over HTTP.
import { describe, expect, test } from "vitest";
import { spanTree } from "../../../src/http/diff/span-tree.ts";
import { tracePatch } from "../../../src/http/diff/trace-patch.ts";
import { traceSummary } from "../../../src/http/diff/trace-summary.ts";
import type { JsonTrace } from "../../../src/http/answers/trace-json.ts";
import { type PlainSpan, type QueryApp, queryApp } from "../../support/query-app.ts";

const BASE = "000000000000000000000000000000a1";
const COMPARE = "000000000000000000000000000000b2";

function hex(value: number): string {
  return value.toString(16).padStart(16, "0");
}

function span(traceId: string, id: number, parent: number, more: Partial<PlainSpan>): PlainSpan {
  return {
    traceId,
    spanId: hex(id),
    ...(parent > 0 && { parentSpanId: hex(parent) }),
    name: "x",
    atMs: id % 16,
    durationMs: 10,
    ...more,
  };
}

/** A frontend that calls a database twice. The ids of its spans begin with `first`. */
function shop(traceId: string, first: number): PlainSpan[] {
  const frontend = { resource: { "service.name": "frontend" } };
  const db = { resource: { "service.name": "db" }, kind: 3 as const, name: "SELECT" };
  return [
    span(traceId, first + 1, 0, { ...frontend, name: "GET", kind: 2, durationMs: 100 }),
    span(traceId, first + 2, first + 1, { ...db, attributes: { table: "a", rows: 1n } }),
    span(traceId, first + 3, first + 1, { ...db, attributes: { table: "b", rows: 2n } }),
  ];
}

interface Patch {
  readonly stats: Readonly<Record<string, unknown>>;
  readonly [key: string]: unknown;
}

function ask(app: QueryApp, body: unknown, method = "POST"): Promise<Response> {
  return app.send("/api/v2/traces/diff", {
    method,
    ...(method === "POST" && { body: JSON.stringify(body) }),
  });
}

async function diff<T>(compare: readonly PlainSpan[], format?: string, base = shop(BASE, 16)): Promise<T> {
  const app = await queryApp({ live: [...base, ...compare] });
  const response = await ask(app, {
    base: { traceId: BASE, start: 0, end: 0 },
    compare: { traceId: COMPARE },
    ...(format !== undefined && { format }),
  });
  expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/json"]);
  return response.json<T>();
}

describe("trace diff: patch", () => {
  test("the same program twice: nothing changed, whatever ids and small differences of time", async () => {
    const compare = shop(COMPARE, 32).map((each) =>
      Object.assign(each, { durationMs: (each.durationMs ?? 0) * 1.1 }),
    );
    expect(await diff(compare)).toEqual({
      version: "trace-patch-v0",
      base: { traceId: BASE, spanCount: 3 },
      compare: { traceId: COMPARE, spanCount: 3 },
      stats: {
        spanCountA: 3,
        spanCountB: 3,
        matchedSpans: 3,
        modifiedSpans: 0,
        addedSpans: 0,
        removedSpans: 0,
        fieldChanges: 0,
        attributeChanges: 0,
        eventChanges: 0,
        truncated: false,
      },
      modified: [],
      added: [],
      removed: [],
      warnings: [],
    });
  });

  test("fields and attributes", async () => {
    const [root, first, second] = shop(COMPARE, 32) as [PlainSpan, PlainSpan, PlainSpan];
    const patch = await diff<Patch>([
      { ...root, status: { code: 2 } },
      { ...first, durationMs: 50, attributes: { table: "a", rows: 9n, cached: true } },
      { ...second, attributes: { table: "b" } },
    ]);
    const db = { service: "db", name: "SELECT", kind: "SPAN_KIND_CLIENT" };
    const attribute = (key: string) => ({ type: "attribute", scope: "span", key });
    expect(patch["modified"]).toEqual([
      {
        span: { path: [0], service: "frontend", name: "GET", kind: "SPAN_KIND_SERVER" },
        changes: [
          { op: "modify", target: { type: "field", name: "status" }, before: "unset", after: "error" },
        ],
      },
      {
        span: { path: [0, 0], ...db },
        changes: [
          {
            op: "modify",
            target: { type: "field", name: "duration_nanos" },
            before: 10_000_000,
            after: 50_000_000,
          },
          { op: "add", target: attribute("cached"), before: null, after: true },
          { op: "modify", target: attribute("rows"), before: 1, after: 9 },
        ],
      },
      {
        span: { path: [0, 1], ...db },
        changes: [{ op: "remove", target: attribute("rows"), before: 2, after: null }],
      },
    ]);
    expect(patch.stats).toMatchObject({ modifiedSpans: 3, fieldChanges: 2, attributeChanges: 3 });
  });

  test("added and removed spans", async () => {
    const [root, first] = shop(COMPARE, 32) as [PlainSpan, PlainSpan];
    const added = span(COMPARE, 40, 34, { name: "retry", status: { code: 2 }, durationMs: 2 });
    const patch = await diff<Patch>([root, first, added]);
    expect(patch["added"]).toEqual([
      {
        target: { type: "span", path: [0, 0, 0], parentPath: [0, 0], index: 0 },
        span: {
          path: [0, 0, 0],
          service: "shop",
          name: "retry",
          kind: "SPAN_KIND_INTERNAL",
          duration_nanos: 2_000_000,
          status: "error",
        },
      },
    ]);
    expect(patch["removed"]).toMatchObject([
      { target: { type: "span", path: [0, 1] }, span: { name: "SELECT", status: "unset" } },
    ]);
  });

  test("a span that is called by another one now is still the same", async () => {
    const [root, first, second] = shop(COMPARE, 32) as [PlainSpan, PlainSpan, PlainSpan];
    const pool = span(COMPARE, 48, 33, { name: "pool", resource: { "service.name": "db" } });
    const patch = await diff<Patch>([root, pool, first, { ...second, parentSpanId: hex(48) }]);
    expect(patch.stats).toMatchObject({ matchedSpans: 3, modifiedSpans: 0, addedSpans: 1, removedSpans: 0 });
  });
});

describe("trace diff: summary", () => {
  test("native", async () => {
    const [root, first] = shop(COMPARE, 32) as [PlainSpan, PlainSpan];
    const summary = await diff<object>(
      [
        { ...root, durationMs: 150 },
        { ...first, status: { code: 2 } },
      ],
      "trace-summary-v0-native",
    );
    expect(summary).toEqual({
      version: "trace-summary-v0-native",
      base: {
        traceId: BASE,
        rootService: "frontend",
        rootName: "GET",
        spanCount: 3,
        errorSpanCount: 0,
        durationMs: 100,
        sumSpanDurationMs: 120,
      },
      compare: expect.objectContaining({
        spanCount: 2,
        errorSpanCount: 1,
        durationMs: 150,
        sumSpanDurationMs: 160,
      }),
      signals: {
        traceLatency: "increased",
        sumSpanDuration: "increased",
        errors: "increased",
        spanCount: "decreased",
        structure: "changed",
      },
      trust: { matchedSpanRatio: 2 / 3, structureOverlap: 1 },
      stats: {
        traceLatencyDeltaMs: 50,
        sumSpanDurationDeltaMs: 40,
        spanCountDelta: -1,
        errorSpanDelta: 1,
        matchedSpans: 2,
        modifiedSpans: 2,
        addedSpans: 0,
        removedSpans: 1,
        fieldChanges: 2,
        attributeChanges: 0,
      },
      changedServices: ["db", "frontend"],
      services: [
        {
          name: "frontend",
          sumSpanDurationDeltaMs: 50,
          modified: 1,
          added: 0,
          removed: 0,
          newErrors: 0,
          resolvedErrors: 0,
        },
        {
          name: "db",
          sumSpanDurationDeltaMs: -10,
          modified: 1,
          added: 0,
          removed: 1,
          newErrors: 1,
          resolvedErrors: 0,
        },
      ],
    });
  });

  test("composed: with the patch when it is small, with its size otherwise", async () => {
    const small = await diff<Patch>(shop(COMPARE, 32), "trace-summary-v0-composed");
    expect(small).toMatchObject({
      version: "trace-summary-v0-composed",
      summary: { version: "trace-summary-v0-native", changedServices: [], services: [] },
      patch: { version: "trace-patch-v0" },
    });
    const many = Array.from({ length: 600 }, (_, i) => span(COMPARE, 100 + i, 33, { name: `new ${i}` }));
    const large = await diff<Patch>([...shop(COMPARE, 32), ...many], "trace-summary-v0-composed");
    expect(large).not.toHaveProperty("patch");
    expect(large["patchOmitted"]).toEqual({ bytes: expect.any(Number), reason: "over_budget" });
  });
});

describe("trace diff: requests", () => {
  const both = { base: { traceId: BASE }, compare: { traceId: COMPARE } };

  test.each<[unknown, string]>([
    [[], "it is no JSON object"],
    [{ compare: { traceId: "1" } }, "base is missing"],
    [{ base: { traceId: "" }, compare: { traceId: "1" } }, "base.traceId is missing"],
    [{ base: { traceId: "1" } }, "compare is missing"],
    [{ base: { traceId: "xyz" }, compare: { traceId: "1" } }, "trace IDs can only contain hex characters"],
    [{ ...both, format: "html" }, 'unsupported trace diff format "html"'],
    [{ ...both, base: { traceId: "1", start: "now" } }, "base.start is no time in Unix seconds"],
    [{ ...both, base: { traceId: "1", start: 5, end: 5 } }, "start must be before end"],
  ])("%j: 400", async (body, message) => {
    const response = await ask(await queryApp({}), body);
    expect(response.status).toBe(400);
    expect(await response.text()).toContain(message);
  });

  test("other methods: 405", async () => {
    const response = await ask(await queryApp({}), both, "GET");
    expect([response.status, await response.text()]).toEqual([405, "Method Not Allowed\n"]);
  });

  test("no JSON: 400, too much of it: 413", async () => {
    const app = await queryApp({});
    const post = (body: string): Promise<Response> =>
      app.send("/api/v2/traces/diff", { method: "POST", body });
    expect((await post("{")).status).toBe(400);
    expect((await post(JSON.stringify({ ...both, more: "x".repeat(70_000) }))).status).toBe(413);
  });

  test("a side that is missing: 404; partial: 422; both too large together: 429", async () => {
    const spans = [...shop(BASE, 16), ...shop(COMPARE, 32)];
    const missing = await ask(await queryApp({ live: spans.slice(0, 3) }), both);
    expect([missing.status, await missing.text()]).toEqual([404, "Not Found\n"]);
    const partial = await ask(await queryApp({ live: spans }, {}, { maxDecodedTraceBytes: 200 }), both);
    expect(partial.status).toBe(422);
    expect(await partial.text()).toContain("base trace is partial: Trace exceeds maximum size of 200 bytes");
    const large = await ask(await queryApp({ live: spans }, {}, { maxDecodedTraceBytes: 600 }), both);
    expect(large.status).toBe(429);
    expect(await large.text()).toMatch(
      /^trace diff input too large: combined trace size \d+ bytes exceeds limit 600/,
    );
  });
});

/** A trace of one service. */
function traceOf(spans: readonly { id: number; parent: number; start?: string; end?: string }[]): JsonTrace {
  const id = (value: number): string => Buffer.from(hex(value), "hex").toString("base64");
  return {
    trace: {
      resourceSpans: [
        {
          scopeSpans: [
            {
              spans: spans.map(({ id: own, parent, start = "5", end = "9" }) => ({
                spanId: id(own),
                parentSpanId: id(parent),
                startTimeUnixNano: start,
                endTimeUnixNano: end,
              })),
            },
          ],
        },
      ],
    },
  };
}

describe("trace diff: odd traces", () => {
  test("parents in circles, missing, the span itself, shared ids: each span once", () => {
    const tree = spanTree(
      traceOf([
        { id: 1, parent: 2 },
        { id: 2, parent: 1 },
        { id: 3, parent: 99 },
        { id: 4, parent: 4 },
        { id: 5, parent: 0 },
        { id: 5, parent: 0 },
        { id: 6, parent: 5 },
      ]),
    );
    expect(tree.spans).toHaveLength(7);
    for (const [index, { parent }] of tree.spans.entries()) expect(parent ?? -1).toBeLessThan(index);
    expect(tracePatch(tree, tree)).toMatchObject({ modified: [], added: [], removed: [] });
  });

  test("spans without times count as 0 ns and are warned of", () => {
    const tree = spanTree(
      traceOf([
        { id: 1, parent: 0, start: "9000000", end: "1" },
        { id: 2, parent: 1, start: "0" },
      ]),
    );
    const patch = tracePatch(tree, tree);
    expect(patch.warnings).toMatchObject([{ code: "invalid_duration" }, { code: "invalid_duration" }]);
    expect(traceSummary(tree, tree, patch)).toMatchObject({ base: { durationMs: 0, sumSpanDurationMs: 0 } });
  });

  test("a chain of thousands of spans is refused rather than written by the square", () => {
    const chain = Array.from({ length: 30_000 }, (_, i) => ({ id: i + 1, parent: i }));
    expect(() => spanTree(traceOf(chain))).toThrow("nested too deeply");
    expect(spanTree(traceOf(chain.slice(0, 1000))).spans.at(-1)?.path).toHaveLength(1000);
  });
});
