// `npm run deploy`, with a wrangler that only writes down its calls, and a Worker on this machine's loopback.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { deploy } from "../../../src/cli/deploy/deployment.ts";

interface Call {
  readonly args: readonly string[];
  readonly stdin: string;
}

interface WranglerState {
  deployFails?: string;
  listFails?: boolean;
  putFails?: boolean;
  secrets?: Record<string, string>;
  targets?: readonly string[];
}

type Answer = readonly [status: number, body: object | string];

const TOKENS = "/api/admin/tenants/single-tenant/tokens";
const SECRET = "an-admin-secret-of-the-environment";
let dir: string;
let worker: StubWorker;

/** Answers as a deployed Worker would, as far as the command asks it. */
class StubWorker {
  /** Statuses that come before the real answer to a request for that path, one each. */
  refusals: [path: string, status: number][] = [];
  adminToken = "";
  readonly tokens = new Map<string, { id: string; scopes: string[]; name: string }>();
  readonly traces = new Map<string, string>();
  readonly requests: string[] = [];
  readonly server: Server = createServer((request, response) => void this.#serve(request, response));

  get url(): string {
    const address = this.server.address();
    return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url = "", headers } = request;
    let text = "";
    for await (const chunk of request) text += String(chunk);
    this.requests.push(`${method} ${url}`);
    const bearer = headers.authorization?.slice("Bearer ".length) ?? "";
    const [status, body] = this.#refusal(url) ?? this.#answer(method, url, bearer, text);
    const isText = typeof body === "string";
    response.writeHead(status, { "content-type": isText ? "text/plain" : "application/json" });
    response.end(isText ? body : JSON.stringify(body));
  }

  #refusal(url: string): Answer | undefined {
    const index = this.refusals.findIndex(([path]) => url.startsWith(path));
    const [[, status] = []] = index < 0 ? [] : this.refusals.splice(index, 1);
    return status === undefined ? undefined : [status, { error: { message: `refused with ${status}` } }];
  }

  #answer(method: string, url: string, bearer: string, text: string): Answer {
    if (url === "/ready") return [200, "ready\n"];
    if (url.startsWith(TOKENS)) {
      if (bearer !== this.adminToken) return [401, { error: { message: "unknown" } }];
      return method === "DELETE" ? this.#revoke(url.slice(TOKENS.length + 1)) : this.#make(text);
    }
    const scopes = this.tokens.get(bearer)?.scopes ?? [];
    if (url === "/v1/traces" && scopes.includes("ingest")) {
      const [, traceId = ""] = /"traceId":"([0-9a-f]{32})"/.exec(text) ?? [];
      this.traces.set(traceId, text);
      return [200, {}];
    }
    const trace = scopes.includes("read") && this.traces.get(url.replace("/api/v2/traces/", ""));
    return trace ? [200, { trace: JSON.parse(trace) as object }] : [404, "trace not found\n"];
  }

  #make(text: string): Answer {
    const token = `rbt_single-tenant_${String(this.tokens.size).padStart(40, "0")}`;
    const request = JSON.parse(text) as { scopes: string[]; name: string };
    const made = { id: `id${this.tokens.size}`, ...request };
    this.tokens.set(token, made);
    return [201, { ...made, token }];
  }

  #revoke(revoked: string): Answer {
    for (const [token, { id }] of this.tokens) if (id === revoked) this.tokens.delete(token);
    return [200, { revoked }];
  }
}

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "rubato-deploy-test-"));
  worker = new StubWorker();
  await new Promise<void>((done) => worker.server.listen(0, "127.0.0.1", done));
});
afterEach(async () => {
  worker.server.closeAllConnections();
  worker.server.close();
  await rm(dir, { recursive: true, force: true });
});

/** Runs the command; the Worker knows the secret that wrangler was given. */
async function run(
  state: WranglerState = {},
  {
    env = {},
    args = [],
    totalMs = 5_000,
  }: { env?: Record<string, string>; args?: string[]; totalMs?: number } = {},
): Promise<{ code: number; printed: string; calls: Call[]; secrets: Record<string, string> }> {
  const path = join(dir, "wrangler.json");
  const filled = { secrets: {}, targets: [`https://${worker.url.slice("http://".length)}/`], ...state };
  await writeFile(path, JSON.stringify(filled));
  await rm(`${path}.calls`, { force: true });
  process.env["FAKE_WRANGLER"] = path;
  let printed = "";
  const code = await deploy({
    script: resolve("test/support/fake-wrangler.mjs"),
    args,
    // The Worker's address is https, which this stub is not.
    env: { RUBATO_URL: worker.url, ...env },
    patience: { totalMs, pauseMs: 1 },
    print: (text) => {
      printed += `${text}\n`;
      // What a deployed Worker learns by itself.
      const [, made] = /\n {2}([0-9a-f]{40})$/m.exec(text) ?? [];
      worker.adminToken = made ?? worker.adminToken;
    },
  });
  const calls = await readFile(`${path}.calls`, "utf8");
  const { secrets } = JSON.parse(await readFile(path, "utf8")) as { secrets: Record<string, string> };
  return {
    code,
    printed,
    secrets,
    calls: calls
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Call),
  };
}

describe("the first time", () => {
  test("makes the secret and prints it once; a span of its own; snippets with tokens that were made for them", async () => {
    const { code, printed, calls, secrets } = await run();
    expect(code).toBe(0);
    const secret = secrets["ADMIN_TOKEN"] ?? "";
    expect(secret).toMatch(/^[0-9a-f]{40}$/);
    expect(printed.split(secret).length - 1).toBe(1);
    expect(calls.map(({ args }) => args.join(" "))).toEqual([
      "deploy",
      "secret list",
      "secret put ADMIN_TOKEN",
    ]);
    expect(calls[2]?.stdin).toBe(`${secret}\n`);
    expect(printed).toMatch(/Verified: a span was sent to http:\S+ and read back in \d+ ms\./);
    expect(worker.traces.size).toBe(1);
    // That of the span is revoked; two are left.
    const [ingest = "", read = ""] = [...worker.tokens.keys()];
    expect([...worker.tokens.values()].map(({ name, scopes }) => [name, scopes])).toEqual([
      ["services", ["ingest"]],
      ["Grafana", ["read"]],
    ]);
    expect(printed).toContain(`OTEL_EXPORTER_OTLP_ENDPOINT=${worker.url} `);
    expect(printed).toContain(`OTEL_EXPORTER_OTLP_HEADERS=x-api-key=${ingest}\n`);
    expect(printed).toContain(`authorization: 'Bearer ${ingest}'`);
    expect(printed).toContain(`basicAuthPassword: '${read}'`);
  });

  test("with a secret in the environment that one is set, and not printed", async () => {
    worker.adminToken = SECRET;
    const { code, printed, secrets } = await run({}, { env: { ADMIN_TOKEN: SECRET } });
    expect([code, secrets["ADMIN_TOKEN"]]).toEqual([0, SECRET]);
    expect(printed).toContain("Verified");
    expect(printed).toContain("basicAuthPassword");
    expect(printed).not.toContain(SECRET);
  });

  test("an address that is not everywhere yet: 404, 503, 401, a broken connection are waited out", async () => {
    worker.refusals = [
      ["/api/admin", 404],
      ["/api/admin", 503],
      ["/api/admin", 401],
      ["/v1/traces", 503],
      ["/v1/traces", 401],
      ["/api/v2", 404],
    ];
    const { code, printed } = await run();
    expect(code).toBe(0);
    expect(printed).toContain("Verified");
    expect(worker.refusals).toEqual([]);
  });

  test("one that stays away: patience has an end, the secret was printed before, exit 1", async () => {
    worker.refusals = Array.from({ length: 10_000 }, () => ["/api/admin", 503] as [string, number]);
    const { code, printed, secrets } = await run({}, { totalMs: 50 });
    expect(code).toBe(1);
    expect(printed).toContain(secrets["ADMIN_TOKEN"] ?? "none");
    expect(printed).toContain("could not be verified: refused with 503");
    expect(worker.requests.length).toBeLessThan(100);
  });

  test("options that say which Worker it is go to every command, others to deploy alone", async () => {
    const args = ["--env", "staging", "--minify", "--name=other", "-c", "other.toml"];
    const { calls } = await run({}, { args });
    const which = ["--env", "staging", "--name=other", "-c", "other.toml"];
    expect(calls.map((call) => call.args)).toEqual([
      ["deploy", ...args],
      ["secret", "list", ...which],
      ["secret", "put", "ADMIN_TOKEN", ...which],
    ]);
  });
});

describe("again", () => {
  const there = { secrets: { ADMIN_TOKEN: SECRET } };

  test("the secret is kept, no token is made, nothing is printed again", async () => {
    const { code, printed, calls, secrets } = await run(there);
    expect([code, secrets]).toEqual([0, there.secrets]);
    expect(calls.map(({ args }) => args[1] ?? args[0])).toEqual(["deploy", "list"]);
    expect(printed).toBe(
      `\nUpgraded: ${worker.url} is ready. With ADMIN_TOKEN set this command sends it a span as well.\n`,
    );
    expect(worker.requests).toEqual(["GET /ready"]);
  });

  test("with the secret in the environment it is verified, and no token is left", async () => {
    worker.adminToken = SECRET;
    const { code, printed } = await run(there, { env: { ADMIN_TOKEN: SECRET } });
    expect(code).toBe(0);
    expect(printed).toMatch(/^\nVerified: .* ms\.\n$/);
    expect(worker.tokens.size).toBe(0);
  });

  test("with a wrong one: no waiting for what will not come", async () => {
    worker.adminToken = SECRET;
    const { code, printed } = await run(there, { env: { ADMIN_TOKEN: "another-secret-than-that" } });
    expect(code).toBe(1);
    expect(printed).toContain("could not be verified: unknown");
    expect(worker.requests.length).toBe(1);
  });

  test("a Worker that does not answer: exit 1", async () => {
    const { code, printed } = await run(there, { env: { RUBATO_URL: "http://127.0.0.1:9" }, totalMs: 20 });
    expect(code).toBe(1);
    expect(printed).toContain("http://127.0.0.1:9 does not answer yet");
  });
});

describe("what wrangler says", () => {
  test("it fails, as without a login: its code, nothing else is done", async () => {
    const { code, printed, calls } = await run({ deployFails: "You are not authenticated" });
    expect(code).toBe(1);
    expect(printed).toContain('"npx wrangler login"');
    expect(calls.length).toBe(1);
    expect(worker.requests).toEqual([]);
  });

  test("it does not tell the secrets: none is made, for it would replace another", async () => {
    const { code, printed, secrets, calls } = await run({ listFails: true });
    expect([code, secrets, calls.length]).toEqual([1, {}, 2]);
    expect(printed).toContain("npx wrangler secret put ADMIN_TOKEN");
  });

  test("it does not take the secret: said, and not printed", async () => {
    const { code, printed, calls } = await run({ putFails: true });
    expect(code).toBe(1);
    expect(printed).toContain("npx wrangler secret put ADMIN_TOKEN");
    expect(printed).not.toContain(calls[2]?.stdin.trim());
  });

  test.each([
    [["https://rubato.invalid", "schedule: * * * * *"], "https://rubato.invalid"],
    [["traces.invalid (custom domain - zone id: 1)"], "https://traces.invalid"],
    [["example.com/x/* (zone name: example.com)"], undefined],
    [[], undefined],
  ])("its targets %j: the address is %s", async (targets, address) => {
    const { printed } = await run(
      { secrets: { ADMIN_TOKEN: SECRET }, targets },
      // Without a server there: only what is asked for is of interest.
      { env: { RUBATO_URL: "" }, totalMs: 0 },
    );
    expect(printed).toContain(address ?? "Wrangler names no address");
  });
});

describe("in a build", () => {
  test.each([["CI"], ["WORKERS_CI"]])(
    "%s: no secret is made or printed; the Worker stays closed, and that is no failure",
    async (name) => {
      const { code, printed, secrets } = await run({}, { env: { [name]: "1" } });
      expect([code, secrets]).toEqual([0, {}]);
      expect(printed).toContain("closed until it has an admin secret");
    },
  );

  test("the form of the button gave one: ready, or not yet, but no failure", async () => {
    const secrets = { ADMIN_TOKEN: SECRET };
    expect(await run({ secrets }, { env: { CI: "1" } })).toMatchObject({ code: 0, secrets });
    const away = { CI: "1", RUBATO_URL: "http://127.0.0.1:9" };
    expect(await run({ secrets }, { env: away, totalMs: 20 })).toMatchObject({ code: 0 });
  });

  test("wrangler may not list secrets there: no failure", async () => {
    expect(await run({ listFails: true }, { env: { CI: "1" } })).toMatchObject({ code: 0 });
  });

  test("a secret of the build's environment is set; no token is printed", async () => {
    worker.adminToken = SECRET;
    const { code, printed, secrets } = await run({}, { env: { CI: "1", ADMIN_TOKEN: SECRET } });
    expect([code, secrets["ADMIN_TOKEN"]]).toEqual([0, SECRET]);
    expect(printed).toMatch(/^\nVerified: .* ms\.\n$/);
  });
});
