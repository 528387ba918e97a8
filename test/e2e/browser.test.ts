// Real pages in headless Chromium, on another origin than the server: OpenTelemetry's web SDK, what is sent as a page is
// left, and what CORS allows and refuses.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { bundleForPage, launchChromium, type PageServer, servePages } from "../support/browser.ts";
import { ROOT } from "../support/child.ts";
import { expectSpans, LATE_FLUSH, restartToFlush } from "../support/expect-trace.ts";
import type { NormalSpan } from "../support/normal-span.ts";
import { askTrace, untilFlushed } from "../support/query-client.ts";
import { type TestServer, type TestServers, testServers } from "../support/server.ts";

const FLUSH_TIMEOUT_MS = 30_000;
const SHOWN_TIMEOUT_MS = 10_000;
const INSTALL_TIMEOUT_MS = 600_000;

/** What web-page.js and web-others.ts put on `globalThis.page`. */
interface PageFunctions {
  traced(
    url: string,
    format: string,
  ): Promise<{ spans: NormalSpan[]; failures: string[]; headers: { byFetch: string; byXhr: string } }>;
  request(
    url: string,
    init?: { method: string; headers: Record<string, string>; body: string; credentials?: "include" },
  ): Promise<{ status?: number; body?: string; retryAfter?: string | null; type?: string; refused?: string }>;
  /** The functions of web-others.ts. */
  zipkin(url: string): Promise<string>;
  oldOtlp(url: string, headers?: Record<string, string>): Promise<string>;
  grpcWeb(url: string, traceId: string): Promise<string>;
  beacon(url: string, body: string, type?: string): boolean;
  sendWhenLeft(how: "beacon" | "keepalive", url: string, body: string): void;
}

let servers: TestServers;
let server: TestServer;
let pages: PageServer;
/** What the pages run, by the name of the page. */
const scripts: Record<string, string> = {};
let browser: Browser;
let page: Page;
/** Preflights of the page: status and headers. */
let preflights: { status: number; headers: Record<string, string> }[];

/** Calls a function that a script put on `globalThis.page`. */
function inPage<Name extends keyof PageFunctions>(
  name: Name,
  ...args: Parameters<PageFunctions[Name]>
): Promise<Awaited<ReturnType<PageFunctions[Name]>>> {
  return page.evaluate(
    ([called, given]) =>
      (globalThis as unknown as { page: Record<string, (...all: unknown[]) => unknown> }).page[called]?.(
        ...given,
      ),
    [name, args] as const,
  ) as Promise<Awaited<ReturnType<PageFunctions[Name]>>>;
}

/** Opens a page in a fresh context and notes its preflights. */
async function open(name: string): Promise<Page> {
  const context = await browser.newContext();
  const opened = await context.newPage();
  const session = await context.newCDPSession(opened);
  await session.send("Network.enable");
  session.on("Network.responseReceived", ({ type, response }) => {
    if (type !== "Preflight") return;
    const headers = Object.entries(response.headers).map(([key, value]) => [key.toLowerCase(), value]);
    preflights.push({ status: response.status, headers: Object.fromEntries(headers) });
  });
  await opened.goto(`${pages.origin}/${name}.html`);
  return opened;
}

/** OTLP JSON of one span with the given name. */
function otlpBody(name: string): { readonly traceId: string; readonly body: string } {
  const traceId = randomBytes(16).toString("hex");
  const times = { startTimeUnixNano: "1795000000000000001", endTimeUnixNano: "1795000000000000002" };
  const span = { traceId, spanId: randomBytes(8).toString("hex"), name, kind: 1, ...times };
  return { traceId, body: JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] }) };
}

/** Waits for a trace whose sender gets no answer. */
async function untilShown(traceId: string): Promise<NormalSpan[]> {
  const deadline = Date.now() + SHOWN_TIMEOUT_MS;
  while ((await fetch(`${server.url}/api/traces/${traceId}`)).status === 404) {
    if (Date.now() > deadline) throw new Error(`trace ${traceId} did not come within ${SHOWN_TIMEOUT_MS} ms`);
    await new Promise((done) => setTimeout(done, 20));
  }
  return (await askTrace(server.url, traceId, "v1 JSON")).spans;
}

/** The JavaScript under `**Browser.**` in the README, with the address of this server. */
function readmeSnippet(): string {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const [, code = ""] = /\*\*Browser\.\*\*.*?```js\n(.*?)```/s.exec(readme) ?? [];
  expect(code).toContain("http://localhost:8787");
  return code.replaceAll("http://localhost:8787", server.url);
}

beforeAll(async () => {
  browser = await launchChromium();
  servers = await testServers();
  server = await servers.start(LATE_FLUSH);
  const [web, others] = await Promise.all([
    bundleForPage({
      entryPoints: ["test/support/clients/web-page.js"],
      // The web SDK's last release wants an API before 1.10.
      alias: { "@opentelemetry/api": "@opentelemetry/api-1.9" },
    }),
    bundleForPage({ entryPoints: ["test/support/clients/web-others.ts"] }),
  ]);
  Object.assign(scripts, { web, others });
  pages = await servePages(scripts);
}, INSTALL_TIMEOUT_MS);

afterAll(async () => {
  await browser?.close();
  await pages?.stop();
  await servers?.end();
});

beforeEach(async () => {
  preflights = [];
  page = await open("web");
});
afterEach(() => page.context().close());

describe("web SDK", () => {
  const sent: NormalSpan[][] = [];

  for (const format of ["json", "protobuf"]) {
    test(`${format}: fetch, XMLHttpRequest and a user's own spans read back as recorded`, async () => {
      const { spans, failures, headers } = await inPage("traced", server.url, format);
      expect(failures).toEqual([]);
      expect(spans.map(({ name, kind }) => `${kind} ${name}`).sort()).toEqual([
        "1 click größe",
        "1 seite geladen 🎼",
        "3 GET",
        "3 GET",
        "3 fails ✗",
      ]);
      const traces = Map.groupBy(spans, ({ traceId }) => traceId);
      expect(traces.size).toBe(2);
      for (const trace of traces.values()) {
        await expectSpans(server.url, trace, "live");
        sent.push(trace);
      }
      // What the page's own server got is the id of a span that was sent.
      const click = spans.find(({ name }) => name === "click größe");
      for (const traceparent of [headers.byFetch, headers.byXhr]) {
        const [, traceId, spanId] = traceparent.split("-");
        const span = spans.find((one) => one.spanId === spanId);
        expect({ traceId, name: span?.name }).toEqual({ traceId: click?.traceId, name: "GET" });
        expect(span?.parentSpanId).toBe(click?.spanId);
      }
      expect(preflights).toHaveLength(1);
    });
  }

  test("all of it reads the same from blocks", async () => {
    expect(sent).toHaveLength(4);
    server = await restartToFlush(servers);
    for (const spans of sent) {
      await untilFlushed(server.url, spans[0]?.traceId ?? "", FLUSH_TIMEOUT_MS);
      await expectSpans(server.url, spans, "blocks");
    }
    server = await servers.restart(LATE_FLUSH);
  });
});

describe("as users write it", () => {
  test("the README's snippet", async () => {
    scripts["readme"] = await bundleForPage({ stdin: { contents: readmeSnippet(), resolveDir: ROOT } });
    // The processor sends every five seconds.
    const exported = page.waitForRequest((request) => request.url().endsWith("/v1/traces"));
    await page.goto(`${pages.origin}/readme.html`);
    const [, traceId = ""] = /"traceId":"(\w{32})"/.exec((await exported).postData() ?? "") ?? [];
    const [span] = await untilShown(traceId);
    expect(span?.name).toBe("my first span");
  });

  test("Zipkin's exporter, by beacon", async () => {
    await page.goto(`${pages.origin}/others.html`);
    const traceId = await inPage("zipkin", server.url);
    const spans = await untilShown(traceId);
    expect(spans.map(({ name, kind }) => ({ name, kind }))).toEqual([{ name: "größe 🎼", kind: 3 }]);
    expect(spans[0]?.resource.attributes).toContainEqual(["service.name", { string: "läden" }]);
    expect(preflights).toEqual([]);
  });

  test("a web exporter of 2025: its beacons do not come, with `headers: {}` its spans do", async () => {
    await page.goto(`${pages.origin}/others.html`);
    const lost = await inPage("oldOtlp", server.url);
    await expect.poll(() => preflights.length).toBe(1);
    const traceId = await inPage("oldOtlp", server.url, {});
    expect((await untilShown(traceId)).map(({ name }) => name)).toEqual(["größe 🎼"]);
    expect((await fetch(`${server.url}/api/traces/${lost}`)).status).toBe(404);
  });

  test("gRPC-Web: read back, and the trailers of a refusal reach the page", async () => {
    await page.goto(`${pages.origin}/others.html`);
    const traceId = randomBytes(16).toString("hex");
    expect(await inPage("grpcWeb", server.url, traceId)).toMatch(/^InvalidArgument: .*trace id/);
    const { spans } = await askTrace(server.url, traceId, "v2 protobuf");
    expect(spans.map(({ name, kind }) => ({ name, kind }))).toEqual([{ name: "größe 🎼", kind: 3 }]);
  });
});

describe("as a page is left", () => {
  test("beacon with OTLP JSON as text", async () => {
    const { traceId, body } = otlpBody("last words ü");
    await inPage("sendWhenLeft", "beacon", `${server.url}/v1/traces`, body);
    await page.goto("about:blank");
    expect((await untilShown(traceId)).map(({ name }) => name)).toEqual(["last words ü"]);
    expect(preflights).toEqual([]);
  });

  test("fetch with keepalive and OTLP JSON", async () => {
    const { traceId, body } = otlpBody("last words ü");
    await inPage("sendWhenLeft", "keepalive", `${server.url}/v1/traces`, body);
    await page.goto("about:blank");
    expect((await untilShown(traceId)).map(({ name }) => name)).toEqual(["last words ü"]);
  });

  test("a beacon near the browser's limit of 64 KiB", async () => {
    const { traceId, body } = otlpBody("x".repeat(65_000));
    expect(await inPage("beacon", `${server.url}/v1/traces`, body, "text/plain")).toBe(true);
    expect((await untilShown(traceId))[0]?.name).toHaveLength(65_000);
  });

  test("a beacon of type application/json asks for credentials, which are not given: it does not come", async () => {
    const lost = otlpBody("lost");
    expect(await inPage("beacon", `${server.url}/v1/traces`, lost.body, "application/json")).toBe(true);
    await expect.poll(() => preflights.length).toBe(1);
    expect(preflights[0]?.headers).not.toHaveProperty("access-control-allow-credentials");
    // What is sent afterwards does come.
    const later = otlpBody("later");
    await inPage("beacon", `${server.url}/v1/traces`, later.body);
    await untilShown(later.traceId);
    expect((await fetch(`${server.url}/api/traces/${lost.traceId}`)).status).toBe(404);
  });
});

const JSON_HEADERS = { "content-type": "application/json" };

describe("CORS", () => {
  test("one preflight is kept for the requests that follow", async () => {
    for (const name of ["first", "second", "third"]) {
      const { traceId, body } = otlpBody(name);
      const init = { method: "POST", headers: JSON_HEADERS, body };
      expect((await inPage("request", `${server.url}/v1/traces`, init)).status).toBe(200);
      expect((await untilShown(traceId))[0]?.name).toBe(name);
    }
    expect(preflights).toHaveLength(1);
    const { status, headers = {} } = preflights[0] ?? {};
    expect(status).toBe(204);
    expect(headers).toMatchObject({
      "access-control-allow-origin": "*",
      "access-control-allow-methods": "POST",
      "access-control-allow-headers": "content-type",
      "access-control-max-age": "7200",
    });
    expect(headers).not.toHaveProperty("access-control-allow-credentials");
  });

  test("headers that a page adds, as for a token, are allowed", async () => {
    const headers = { ...JSON_HEADERS, authorization: "Bearer x", "x-scope-orgid": "team" };
    const { body } = otlpBody("with headers");
    const answer = await inPage("request", `${server.url}/v1/traces`, { method: "POST", headers, body });
    expect(answer.status).toBe(200);
  });

  const errors = [
    { path: "/v1/traces", type: "application/json", body: "{", status: 400, text: /message/ },
    {
      path: "/v1/traces",
      type: "application/xml",
      body: "<a/>",
      status: 415,
      text: /unsupported media type/,
    },
    { path: "/api/v2/spans", type: "application/json", body: "{", status: 400, text: /./ },
    { path: "/api/v1/spans", type: "application/x-thrift", body: "x", status: 400, text: /./ },
    { path: "/api/traces", type: "application/x-thrift", body: "x", status: 400, text: /./ },
    {
      path: "/api/traces",
      type: "application/json",
      body: "{}",
      status: 415,
      text: /unsupported media type/,
    },
  ];
  for (const { path, type, body, status, text } of errors) {
    test(`the page reads the ${status} of ${path} for ${type}`, async () => {
      const init = { method: "POST", headers: { "content-type": type }, body };
      const answer = await inPage("request", server.url + path, init);
      expect(answer.status).toBe(status);
      expect(answer.body).toMatch(text);
    });
  }

  test("the page reads that a body is too large", async () => {
    const answer = await page.evaluate(
      (url) =>
        fetch(url, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: " ".repeat(20 * 1024 * 1024 + 1),
        }).then((response) => response.status),
      `${server.url}/v1/traces`,
    );
    expect(answer).toBe(413);
  });

  test("with credentials, by another method, or from the query API: refused by the browser", async () => {
    const { traceId, body } = otlpBody("refused");
    const url = `${server.url}/v1/traces`;
    const init = { method: "POST", headers: JSON_HEADERS, body };
    for (const answer of [
      await inPage("request", url, { ...init, credentials: "include" }),
      await inPage("request", url, { ...init, method: "PUT" }),
      await inPage("request", `${server.url}/api/traces/${traceId}`),
    ]) {
      expect(answer).toEqual({ refused: "TypeError: Failed to fetch" });
    }
    expect((await fetch(`${server.url}/api/traces/${traceId}`)).status).toBe(404);
  });

  test("CORS_ALLOWED_ORIGINS: the origins named, no other, none", async () => {
    const post = () =>
      inPage("request", `${server.url}/v1/traces`, {
        method: "POST",
        headers: JSON_HEADERS,
        body: otlpBody("one of several").body,
      });
    const withOrigins = async (origins: string) => {
      server = await servers.restart({ ...LATE_FLUSH, CORS_ALLOWED_ORIGINS: origins });
      preflights = [];
      return post();
    };
    const named = await withOrigins(`https://shop.example, ${pages.origin}`);
    expect(named.status).toBe(200);
    expect(preflights[0]?.headers["access-control-allow-origin"]).toBe(pages.origin);
    const refused = { refused: "TypeError: Failed to fetch" };
    expect(await withOrigins("https://shop.example")).toEqual(refused);
    expect(await withOrigins("none")).toEqual(refused);
  });
});
