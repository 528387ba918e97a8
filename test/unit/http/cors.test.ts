import { describe, expect, test } from "vitest";
import { readConfig } from "../../../src/model/config.ts";
import { makeServer } from "../../support/fake-shard.ts";
import { makeGenerator } from "../../support/generator.ts";

const PATHS = [
  "/v1/traces",
  "/api/v2/spans",
  "/api/v1/spans",
  "/api/traces",
  "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
];
const ORIGIN = "https://shop.example";
const allowed = (corsAllowedOrigins: string[]) => makeServer({ ok: true }, {}, { corsAllowedOrigins });

describe.each(PATHS)("%s", (path) => {
  const preflight = (server: ReturnType<typeof makeServer>, origin = ORIGIN) =>
    server.app.request(path, {
      method: "OPTIONS",
      headers: {
        origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,x-custom",
      },
    });

  test("preflight, all origins", async () => {
    const { status, headers } = await preflight(makeServer());
    expect(status).toBe(204);
    expect(headers.get("access-control-allow-origin")).toBe("*");
    expect(headers.get("access-control-allow-methods")).toBe("POST");
    expect(headers.get("access-control-allow-headers")).toBe("content-type,x-custom");
    expect(headers.get("access-control-max-age")).toBe("7200");
    expect(headers.get("access-control-allow-credentials")).toBeNull();
  });

  test("preflight, listed origins: only they are answered, and caches are told", async () => {
    const server = allowed(["https://a.example", ORIGIN]);
    const good = await preflight(server);
    expect(good.headers.get("access-control-allow-origin")).toBe(ORIGIN);
    expect(good.headers.get("vary")?.toLowerCase()).toContain("origin");
    expect(
      (await preflight(server, "https://evil.example")).headers.get("access-control-allow-origin"),
    ).toBeNull();
    expect((await preflight(allowed([]))).headers.get("access-control-allow-origin")).toBeNull();
  });

  test.each([
    ["415", { "content-type": "image/png" }],
    ["400 or gRPC's error", { "content-type": "application/json" }],
    ["415, encoding", { "content-type": "application/json", "content-encoding": "br" }],
  ])("on errors too: %s", async (_name, headers) => {
    const response = await makeServer().post(path, "{", { ...headers, origin: ORIGIN });
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("access-control-expose-headers")).toContain("retry-after");
  });

  test("on 405, 429 and 503 too", async () => {
    const put = await makeServer().app.request(path, { method: "PUT", headers: { origin: ORIGIN } });
    expect([put.status, put.headers.get("access-control-allow-origin")]).toEqual([405, "*"]);
  });

  test("without an Origin nothing is added", async () => {
    const response = await makeServer().post(path, "{", { "content-type": "application/json" });
    expect([...response.headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual([]);
  });
});

describe("pages", () => {
  const { protobuf, json } = makeGenerator({ seed: 5 }).batchBoth(20);

  test("fetch from another origin: accepted and readable", async () => {
    const server = makeServer();
    const response = await server.post("/v1/traces", protobuf, {
      "content-type": "application/x-protobuf",
      origin: ORIGIN,
    });
    expect([response.status, response.headers.get("access-control-allow-origin")]).toEqual([200, "*"]);
    expect(server.spans()).toHaveLength(20);
  });

  test("429 can be read by the page", async () => {
    const server = makeServer({ ok: false, kind: "rate_limited", message: "full", retryAfterMs: 5000 });
    const response = await server.post("/v1/traces", protobuf, {
      "content-type": "application/x-protobuf",
      origin: ORIGIN,
    });
    expect([response.status, response.headers.get("retry-after")]).toEqual([429, "5"]);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
  });

  test("sendBeacon of a text: OTLP JSON as text/plain", async () => {
    const server = makeServer();
    const response = await server.post("/v1/traces", json, {
      "content-type": "text/plain;charset=UTF-8",
      origin: ORIGIN,
    });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(server.spans()).toHaveLength(20);
  });

  test("other routes have no CORS", async () => {
    const response = await makeServer().app.request("/api/echo", { headers: { origin: ORIGIN } });
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
  });
});

describe("CORS_ALLOWED_ORIGINS", () => {
  test.each([
    [undefined, ["*"]],
    ["", ["*"]],
    ["*", ["*"]],
    ["none", []],
    ["https://a.example, http://localhost:3000", ["https://a.example", "http://localhost:3000"]],
  ])("%j", (text, origins) => {
    const variables = text === undefined ? {} : { CORS_ALLOWED_ORIGINS: text };
    expect(readConfig(variables).corsAllowedOrigins).toEqual(origins);
  });

  test.each([
    "example.com",
    "https://a.example/",
    "https://a.example/path",
    "https://a.example,",
    "https://A.example",
  ])("%j is no origin", (text) =>
    expect(() => readConfig({ CORS_ALLOWED_ORIGINS: text })).toThrow("variable CORS_ALLOWED_ORIGINS must be"),
  );
});
