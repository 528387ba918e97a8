// Names and values of tags over HTTP.
import { fromBinary, toJson } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import {
  SearchTagsResponseSchema,
  SearchTagsV2ResponseSchema,
  SearchTagValuesResponseSchema,
  SearchTagValuesV2ResponseSchema,
} from "../../../src/otlp/gen/tempopb/search_pb.ts";
import { pathOf, type PlainAttribute, queryApp, SHOP, START } from "../../support/query-app.ts";

const TAGS = "/api/v2/search/tags";
const valuesOf = (name: string): string => `/api/v2/search/tag/${name}/values`;

interface Answer {
  readonly tagValues: readonly { readonly type: string; readonly value: string }[];
  readonly scopes: readonly { readonly name: string; readonly tags: readonly string[] }[];
}

const METRICS = {
  inspectedBytes: expect.stringMatching(/^\d+$/),
  totalJobs: 1,
  completedJobs: 1,
};

describe("tag names", () => {
  test("version 1: one list, without intrinsics", async () => {
    const app = await queryApp({ live: SHOP });
    expect(await (await app.get("/api/search/tags")).json()).toEqual({
      tagNames: ["http.status_code", "http.url", "k8s.pod.name", "ratio", "retried", "service.name"],
      metrics: METRICS,
    });
  });

  test("version 2: by scope, and Tempo's 25 intrinsics", async () => {
    const app = await queryApp({ live: SHOP });
    const body = await (await app.get(TAGS)).json<Answer>();
    expect(body).toEqual({
      scopes: [
        { name: "resource", tags: ["k8s.pod.name", "service.name"] },
        { name: "span", tags: ["http.status_code", "http.url", "ratio", "retried"] },
        { name: "intrinsic", tags: expect.arrayContaining(["duration", "span:status", "trace:id"]) },
      ],
      metrics: METRICS,
    });
    expect(new Set(body.scopes[2]?.tags).size).toBe(25);
  });

  test.each([
    ["", ["resource", "span", "intrinsic"]],
    ["none", ["resource", "span", "intrinsic"]],
    ["resource", ["resource"]],
    ["span", ["span"]],
    ["event", []],
    ["link", []],
    ["instrumentation", []],
    ["trace", []],
    ["intrinsic", ["intrinsic"]],
  ])("scope %j", async (scope, expected) => {
    const app = await queryApp({ live: SHOP });
    const body = await (await app.get(pathOf(TAGS, { scope }))).json<Answer>();
    expect(body.scopes.map(({ name }) => name)).toEqual(expected);
  });

  test("version 1 lists intrinsics for scope=intrinsic", async () => {
    const body = await (
      await (await queryApp({})).get("/api/search/tags?scope=intrinsic")
    ).json<{ tagNames: string[] }>();
    expect(body.tagNames).toHaveLength(25);
  });

  test("a limit counts in each scope, q narrows down, others are ignored", async () => {
    const app = await queryApp({ live: SHOP });
    const limited = await (
      await app.get(pathOf(TAGS, { limit: 1, maxStaleValues: 3, tag: "x" }))
    ).json<Answer>();
    expect(limited.scopes.map(({ name, tags }) => [name, tags.length])).toEqual([
      ["resource", 1],
      ["span", 1],
      ["intrinsic", 25],
    ]);
    const q = '{ resource.service.name = "worker" && .b = }';
    const filtered = await (await app.get(pathOf(TAGS, { q, scope: "span" }))).json<Answer>();
    expect(filtered.scopes).toEqual([]);
  });

  test("only what lies in the range", async () => {
    const app = await queryApp({ blocks: [SHOP] });
    const inside = pathOf("/api/search/tags", { start: START - 10, end: START + 10 });
    expect(await (await app.get(inside)).json()).toMatchObject({ metrics: { totalBlocks: 1 } });
    const before = pathOf("/api/search/tags", { start: START - 86_400, end: START - 80_000 });
    expect(await (await app.get(before)).json()).toEqual({ tagNames: [], metrics: {} });
  });

  test.each([
    ["scope=x", "invalid scope: x"],
    ["start=5&end=4", "http parameter start must be before end. received start=5 end=4"],
    ["start=x", 'invalid start: "x" is no time in Unix seconds'],
    ["limit=x", 'invalid limit: "x" is no whole number'],
  ])("%s: 400", async (query, message) => {
    const app = await queryApp({});
    for (const path of ["/api/search/tags", TAGS]) {
      const response = await app.get(`${path}?${query}`);
      expect([response.status, await response.text()]).toEqual([400, `${message}\n`]);
    }
  });
});

describe("tag values", () => {
  test("version 1: texts", async () => {
    const app = await queryApp({ live: SHOP });
    expect(await (await app.get("/api/search/tag/service.name/values")).json()).toEqual({
      tagValues: ["checkout", "frontend", "worker"],
      metrics: METRICS,
    });
  });

  test.each([
    ["status.code", ["unset", "ok", "error"]],
    ["error", ["true"]],
    ["http.status_code", ["500"]],
    ["name", ["GET /cart", "GET /checkout", "late", "refund"]],
    ["root.name", ["GET /checkout", "refund"]],
    ["root.service.name", ["frontend"]],
    ["resource.k8s.pod.name", ["worker-7d"]],
    ["no.such.tag", []],
  ])("version 1: %s", async (name, expected) => {
    const app = await queryApp({ live: SHOP });
    expect(await (await app.get(`/api/search/tag/${name}/values`)).json()).toMatchObject({
      tagValues: expected,
    });
  });

  test.each([
    [
      "resource.service.name",
      [
        ["string", "checkout"],
        ["string", "frontend"],
        ["string", "worker"],
      ],
    ],
    [
      ".service.name",
      [
        ["string", "checkout"],
        ["string", "frontend"],
        ["string", "worker"],
      ],
    ],
    ["span.http.status_code", [["int", "500"]]],
    ["span.ratio", [["float", "0.5"]]],
    ["span.retried", [["bool", "true"]]],
    [
      "status",
      [
        ["keyword", "error"],
        ["keyword", "ok"],
        ["keyword", "unset"],
      ],
    ],
    [
      "span:status",
      [
        ["keyword", "error"],
        ["keyword", "ok"],
        ["keyword", "unset"],
      ],
    ],
    [
      "span:kind",
      ["client", "consumer", "internal", "producer", "server", "unspecified"].map((kind) => [
        "keyword",
        kind,
      ]),
    ],
    ["duration", []],
    ["traceDuration", []],
    ["trace:id", []],
    ["span:id", []],
    ["rootServiceName", [["string", "frontend"]]],
    ["instrumentation:name", [["string", "lib"]]],
    ["statusMessage", [["string", "boom"]]],
  ])("version 2: %s", async (name, expected) => {
    const app = await queryApp({ live: SHOP });
    const { tagValues } = await (await app.get(valuesOf(name))).json<Answer>();
    const found = tagValues.map(({ type, value }) => [type, value]);
    expect(new Set(found.map(String))).toEqual(new Set(expected.map(String)));
    expect(found).toHaveLength(expected.length);
  });

  test.each([
    ["app.user.id", "unknown identifier: app"],
    ["span.", ""],
  ])("version 2: %j is no identifier", async (name, message) => {
    const response = await (await queryApp({})).get(valuesOf(name));
    const text = await response.text();
    expect(response.status).toBe(400);
    expect(text).toContain(
      `please provide a valid tagName: failed to parse identifier ${name}: parse error at`,
    );
    expect(text).toContain(message);
  });

  test("q narrows down, also when it is not complete or its types do not fit", async () => {
    const app = await queryApp({ live: SHOP });
    for (const [q, expected] of [
      ["{ kind = server && .b = }", ["GET /checkout", "refund"]],
      ['{ resource.service.name="checkout" && status="error" }', ["GET /cart"]],
      ['{name="refund"', ["refund"]],
      ["{ oops", ["GET /cart", "GET /checkout", "late", "refund"]],
      ["nonsense", ["GET /cart", "GET /checkout", "late", "refund"]],
      ['{ name = "late" } | rate()', ["late"]],
    ] as const) {
      const { tagValues } = await (
        await app.get(pathOf(valuesOf("name"), { q, tag: "name" }))
      ).json<Answer>();
      expect([q, tagValues.map(({ value }) => value).sort()]).toEqual([q, expected]);
    }
  });

  test("more than 100 groups of conditions: 400", async () => {
    const q = `{ ${Array.from({ length: 101 }, (_, i) => `.a = ${i}`).join(" || ")} }`;
    const response = await (await queryApp({})).get(pathOf(valuesOf("name"), { q }));
    expect(response.status).toBe(400);
    expect(await response.text()).toContain("maximum condition groups reached (limit: 100)");
  });

  test("for language models: values by type", async () => {
    const app = await queryApp({ live: SHOP });
    const response = await app.get(valuesOf("resource.service.name"), {
      accept: "application/vnd.grafana.llm",
    });
    expect(response.headers.get("content-type")).toBe("application/vnd.grafana.llm+json");
    expect(await response.json()).toEqual({ tagValues: { string: ["checkout", "frontend", "worker"] } });
    // The other endpoints have no such form.
    const tags = await app.get(TAGS, { accept: "application/vnd.grafana.llm" });
    expect(tags.headers.get("content-type")).toBe("application/json");
  });

  test("a limit", async () => {
    const app = await queryApp({ live: SHOP });
    const { tagValues } = await (await app.get(`${valuesOf("name")}?limit=2`)).json<Answer>();
    expect(tagValues).toHaveLength(2);
    const cut = await queryApp({ live: SHOP }, { maxTagBytes: 10 });
    expect((await (await cut.get(valuesOf("name"))).json<Answer>()).tagValues.length).toBeLessThan(3);
  });

  test("all four answers exist as protobuf", async () => {
    const app = await queryApp({ live: SHOP });
    for (const [path, schema] of [
      ["/api/search/tags", SearchTagsResponseSchema],
      [TAGS, SearchTagsV2ResponseSchema],
      ["/api/search/tag/name/values", SearchTagValuesResponseSchema],
      [valuesOf("name"), SearchTagValuesV2ResponseSchema],
    ] as const) {
      const json: unknown = await (await app.get(path)).json();
      const response = await app.get(path, { accept: "application/protobuf" });
      expect(response.headers.get("content-type")).toBe("application/protobuf");
      const message = fromBinary<typeof schema>(schema, new Uint8Array(await response.arrayBuffer()));
      expect(toJson<typeof schema>(schema, message)).toEqual(json);
    }
  });
});

/** What names and values must bear. */
const SPECIAL = [
  "[",
  "]",
  "/",
  " ",
  "&",
  ":",
  "@",
  "#",
  "%",
  "+",
  "~",
  "(",
  ")",
  ",",
  ";",
  "=",
  "?",
  ".",
  '"',
  "'",
  "<",
  ">",
  "{",
  "}",
  "|",
  "\\",
  "*",
  "😀",
  "%20",
  "//",
  "..",
];

describe("tag names and values with special characters", () => {
  const attributes: Record<string, PlainAttribute> = Object.fromEntries(
    SPECIAL.map((char) => [`a${char}b`, `v${char}w`]),
  );
  const span = { traceId: "1", spanId: "00000000000000a1", name: "x", attributes, resource: attributes };

  test.each(SPECIAL)("%s", async (char) => {
    const app = await queryApp({ live: [span] });
    const name = `a${char}b`;
    const quoted = `"${name.replace(/["\\]/g, String.raw`\$&`)}"`;
    for (const scope of ["span.", "resource.", "."]) {
      for (const text of [scope + name, scope + quoted]) {
        const { tagValues } = await (await app.get(valuesOf(encodeURIComponent(text)))).json<Answer>();
        expect([text, tagValues]).toEqual([text, [{ type: "string", value: `v${char}w` }]]);
      }
    }
    const { tagNames } = await (await app.get("/api/search/tags")).json<{ tagNames: string[] }>();
    expect(tagNames).toContain(name);
  });

  test("slashes that are not encoded belong to the name", async () => {
    const app = await queryApp({
      live: [{ ...span, attributes: { "attr/slash": "s", "a/values/b": "t", values: "u" } }],
    });
    for (const [path, value] of [
      ["span.attr/slash", "s"],
      ["span.attr%2Fslash", "s"],
      ["span.a/values/b", "t"],
      ["span.values", "u"],
    ] as const) {
      const doubled = valuesOf(path).replace("/api/v2/", "//api//v2/");
      expect([path, await (await app.get(doubled)).json()]).toMatchObject([path, { tagValues: [{ value }] }]);
      expect([path, await (await app.get(valuesOf(path))).json()]).toMatchObject([
        path,
        { tagValues: [{ value }] },
      ]);
    }
    for (const path of ["/api/v2/search/tag/span.attr/value", "/api/v2/search/tag//values"]) {
      expect((await app.get(path)).status).toBe(404);
    }
    expect((await app.get(valuesOf("span.%zz"))).status).toBe(400);
  });
});
