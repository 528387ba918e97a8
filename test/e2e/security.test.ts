// A closed server, as somebody sees it who wants in: raw bytes on a socket, one connection each.
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { spansData } from "../support/query-app.ts";
import { type TestServers, testServers } from "../support/server.ts";

const SECRET = "an-admin-secret-of-the-test";
const TRACE = "0af7651916cd43dd8448eb211c80319c";
const MARK = "persimmon";
const TENANT = "single-tenant";

let servers: TestServers;
let url: string;

beforeAll(async () => {
  servers = await testServers();
  ({ url } = await servers.start({ ACCESS: "tokens", ADMIN_TOKEN: SECRET }));
  const span = { traceId: TRACE, spanId: "00000000000000a1", name: MARK, durationMs: 1 };
  const response = await fetch(`${url}/v1/traces`, {
    method: "POST",
    headers: { ...AUTH, "content-type": "application/x-protobuf" },
    body: spansData([span], Date.now()) as BodyInit,
  });
  if (response.status !== 200) throw new Error(`the span is refused: ${response.status}`);
});
afterAll(() => servers.end());

const AUTH = { authorization: `Bearer ${SECRET}`, "x-scope-orgid": TENANT };
const AUTH_LINES = [`Authorization: Bearer ${SECRET}`, `X-Scope-OrgID: ${TENANT}`];

interface Raw {
  /** All that came back until the server closed the connection or was silent for so long. */
  readonly text: string;
  readonly statuses: readonly number[];
}

/** Sends bytes as they are. */
function raw(bytes: string | Uint8Array, silenceMs = 1_500): Promise<Raw> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    const end = (): void => {
      socket.destroy();
      const statuses = Array.from(text.matchAll(/^HTTP\/1\.1 (\d{3})/gm), ([, status]) => Number(status));
      resolve({ text, statuses });
    };
    socket.setTimeout(silenceMs, end);
    socket.on("data", (data) => (text += data.toString("latin1")));
    socket.on("error", end);
    socket.on("close", end);
  });
}

function request(method: string, target: string, lines: readonly string[] = [], body = ""): string {
  return [`${method} ${target} HTTP/1.1`, "Host: localhost", "Connection: close", ...lines, "", body].join(
    "\r\n",
  );
}

const READ = `/api/v2/traces/${TRACE}`;

describe("a closed server", () => {
  test("control: with the secret the span is read over a raw socket", async () => {
    const { text, statuses } = await raw(request("GET", READ, AUTH_LINES));
    expect(statuses).toEqual([200]);
    expect(text).toContain(MARK);
  });

  test.each([
    READ,
    `/ready/..${READ}`,
    `/ready/%2e%2e${READ}`,
    `/ready%2f..${READ}`,
    `//ready/..${READ}`,
    `/${READ}`,
    `/ready;${READ}`,
    `/ready?${READ}`,
    `/ready#${READ}`,
    `\\ready\\..${READ}`,
    READ.replace("api", "%61pi"),
    READ.replace("api", "API"),
    `http://localhost/ready/..${READ}`,
    `http://user:${SECRET}@localhost${READ}`,
    `${READ}?authorization=Bearer%20${SECRET}&x-scope-orgid=${TENANT}`,
    `${READ}?token=${SECRET}&api_key=${SECRET}&access_token=${SECRET}`,
  ])("no address lets anybody in without a header: %s", async (target) => {
    const { text } = await raw(request("GET", target));
    expect(text).not.toContain(MARK);
    // Another address than that of the trace may be the public one.
    expect(text).toMatch(/^$|^HTTP\/1\.1 4\d\d |^HTTP\/1\.1 200 [^]*\r\n\r\nready\n$/);
  });

  test.each<[string, readonly string[]]>([
    [
      "a good and a bad token",
      [`Authorization: Bearer ${SECRET}`, "Authorization: Bearer other", `X-Scope-OrgID: ${TENANT}`],
    ],
    [
      "a bad and a good token",
      ["Authorization: Bearer other", `Authorization: Bearer ${SECRET}`, `X-Scope-OrgID: ${TENANT}`],
    ],
    ["the same token twice", [...AUTH_LINES, `Authorization: Bearer ${SECRET}`]],
    ["two kinds that differ", [...AUTH_LINES, "X-Api-Key: other"]],
    ["a tenant twice", [...AUTH_LINES, `X-Scope-OrgID: ${TENANT}`]],
    ["a folded header", ["Authorization: Bearer", ` ${SECRET}`, `X-Scope-OrgID: ${TENANT}`]],
    ["a space before the colon", [`Authorization : Bearer ${SECRET}`, `X-Scope-OrgID: ${TENANT}`]],
    ["underscores", [`Authorization: Bearer ${SECRET}`, `X_Scope_OrgID: ${TENANT}`]],
    ["in a cookie", [`Cookie: authorization=Bearer ${SECRET}`, `X-Scope-OrgID: ${TENANT}`]],
    ["in another header", [`Proxy-Authorization: Bearer ${SECRET}`, `X-Forwarded-User: admin`]],
    ["with a zero byte", [`Authorization: Bearer ${SECRET}\0`, `X-Scope-OrgID: ${TENANT}`]],
  ])("headers: %s", async (_, lines) => {
    const { text, statuses } = await raw(request("GET", READ, lines));
    expect(text).not.toContain(MARK);
    for (const status of statuses) expect([400, 401]).toContain(status);
  });

  test.each<[string, string]>([
    ["Content-Length and Transfer-Encoding", "Content-Length: 5\r\nTransfer-Encoding: chunked"],
    ["Transfer-Encoding hidden", "Content-Length: 5\r\nTransfer-Encoding: xchunked"],
    ["two lengths", "Content-Length: 5\r\nContent-Length: 0"],
    ["a length with a sign", "Content-Length: +5"],
  ])("what is smuggled behind a request is not answered with data: %s", async (_, framing) => {
    const smuggled = `GET ${READ} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    const { text, statuses } = await raw(
      `POST /ready HTTP/1.1\r\nHost: localhost\r\n${framing}\r\n\r\n0\r\n\r\n${smuggled}`,
    );
    expect(text).not.toContain(MARK);
    expect(statuses.length).toBeLessThanOrEqual(2);
  });

  test("a header of a megabyte, ten thousand headers, a very long address: refused, and the server goes on", async () => {
    for (const bytes of [
      request("GET", READ, [`X-Big: ${"x".repeat(1024 * 1024)}`]),
      request("GET", READ, [`Authorization: Bearer ${"x".repeat(100_000)}`]),
      request(
        "GET",
        READ,
        Array.from({ length: 10_000 }, (_, i) => `X-${i}: ${i}`),
      ),
      request("GET", `/${"x".repeat(1024 * 1024)}`),
    ]) {
      const { statuses } = await raw(bytes);
      for (const status of statuses) expect([400, 401, 413, 414, 431]).toContain(status);
      expect((await fetch(`${url}/ready`)).status).toBe(200);
    }
  });

  test.each(["DELETE", "PUT", "PATCH", "TRACE", "PROPFIND", "get", "GET\tx"])(
    "method %s without a token does nothing",
    async (method) => {
      const { text, statuses } = await raw(request(method, READ));
      expect(text).not.toContain(MARK);
      for (const status of statuses) expect([400, 401, 405, 501]).toContain(status);
    },
  );

  test("a method cannot be overridden", async () => {
    const lines = [
      ...AUTH_LINES,
      "X-HTTP-Method-Override: DELETE",
      "X-HTTP-Method: DELETE",
      "X-Method-Override: DELETE",
    ];
    const { text } = await raw(request("GET", `/api/admin/tenants/${TENANT}?_method=DELETE`, lines));
    expect(text).toMatch(/"state":"active"/);
    const { statuses } = await raw(
      request("POST", `/api/admin/tenants/${TENANT}`, [...lines, "Content-Length: 0"]),
    );
    expect(statuses).toEqual([404]);
  });

  test("a body that never comes is not waited for when nobody is known, and delays nobody else", async () => {
    const started = Array.from({ length: 20 }, () =>
      raw(
        request("POST", "/v1/traces", ["Content-Type: application/json", "Content-Length: 1000000"], "{"),
        3_000,
      ),
    );
    expect((await fetch(`${url}/ready`)).status).toBe(200);
    expect((await fetch(url + READ, { headers: AUTH })).status).toBe(200);
    for (const { statuses } of await Promise.all(started)) expect(statuses).toEqual([401]);
  });

  test("a page without a token may not send, whatever it claims to be", async () => {
    const response = await fetch(`${url}/v1/traces`, {
      method: "POST",
      headers: { origin: url, "content-type": "application/json", "sec-fetch-site": "same-origin" },
      body: "{}",
    });
    expect(response.status).toBe(401);
  });
});
