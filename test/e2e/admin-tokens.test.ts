// `npm run admin` against a server that asks for tokens: from the first tenant to a token that is revoked.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { firstSpan } from "../../src/cli/first-span.ts";
import { deploy } from "../../src/cli/deploy/deployment.ts";
import { type Child, recordingOf, ROOT, startNode } from "../support/child.ts";

let dataDir: string;
let server: Child;
let url: string;

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function admin(line: string, env: Record<string, string> = {}): Promise<Ended> {
  const { ADMIN_TOKEN: _, ...inherited } = process.env;
  const child = spawn(process.execPath, [resolve(ROOT, "src/cli/admin.ts"), ...line.split(" ")], {
    cwd: ROOT,
    env: { ...inherited, RUBATO_URL: url, RUBATO_DATA: dataDir, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

/** Makes a token; gives its text, its id and what the command printed. */
async function create(line: string, env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await admin(`create-token ${line}`, env);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const [, id = ""] = /^token ([0-9a-f]{12}) /.exec(stdout) ?? [];
  const [, token = ""] = /\n {2}(rbt_\S+)\n/.exec(stdout) ?? [];
  return { stdout, id, token };
}

async function send(headers: Record<string, string>): Promise<{ status: number; traceId: string }> {
  const { traceId, body } = firstSpan("shop", "get");
  const response = await fetch(`${url}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  await response.arrayBuffer();
  return { status: response.status, traceId };
}

async function find(traceId: string, token: string): Promise<number> {
  const response = await fetch(`${url}/api/traces/${traceId}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  await response.arrayBuffer();
  return response.status;
}

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "rubato-tokens-"));
  server = startNode("src/cli/start.ts", { PORT: "0", RUBATO_DATA: dataDir, ACCESS: "tokens" });
  [, url = ""] = /^Rubato listens on (http:\S+) /.exec(await server.line()) ?? [];
});
afterAll(async () => {
  server.process.kill("SIGTERM");
  await server.done;
  await rm(dataDir, { recursive: true, force: true });
});

describe("tenants and tokens", () => {
  test("nothing passes without a token; create-tenant, tenants", async () => {
    expect((await send({})).status).toBe(401);
    expect(await admin("create-tenant acme")).toMatchObject({
      code: 0,
      stdout: "acme: active, 1 shards, spans are kept 14 days (default)\n",
    });
    expect((await admin("tenants")).stdout).toBe("acme\nsingle-tenant\n");
    expect(await admin("tenant nobody")).toEqual({
      code: 1,
      stdout: "",
      stderr: 'there is no tenant "nobody"\n',
    });
  });

  test("what create-token prints for an SDK works when it is pasted; the other tenant does not see the span", async () => {
    const { stdout, token } = await create("--tenant acme --scope ingest --name shop");
    const env = Object.fromEntries(
      Array.from(stdout.matchAll(/(OTEL_\w+)=(\S+)/g), ([, name, value]) => [name ?? "", value ?? ""]),
    );
    expect(env["OTEL_EXPORTER_OTLP_ENDPOINT"]).toBe(new URL(url).origin);
    expect(env["OTEL_EXPORTER_OTLP_HEADERS"]).toBe(`x-api-key=${token}`);
    const client = startNode("test/support/otel-client.cjs", env);
    const { code, stdout: recorded } = await client.done;
    expect(code).toBe(0);
    const { spans, failures } = recordingOf(recorded);
    expect(failures).toEqual([]);
    const traceId = String(spans[0]?.traceId);
    const reader = await create("--tenant acme --scope read");
    expect(await find(traceId, reader.token)).toBe(200);
    const other = await create("--tenant single-tenant --scope read,ingest");
    expect(await find(traceId, other.token)).toBe(404);
    expect(await find(traceId, token)).toBe(403);
  });

  test("tokens: a table without any secret, or JSON", async () => {
    const { stdout } = await admin("tokens --tenant acme");
    expect(stdout).toMatch(
      /^id +name +scopes +created +last used +expires +more\n[0-9a-f]{12} +shop +ingest +\d{4}-\d\d-\d\d +\d{4}-\d\d-\d\d \d\d:\d\d +never\n[0-9a-f]{12} +read +read +/,
    );
    const json = await admin("tokens --tenant acme --json");
    const { tokens } = JSON.parse(json.stdout) as { tokens: { name: string }[] };
    expect(tokens.map(({ name }) => name)).toEqual(["shop", "read"]);
    expect(json.stdout + stdout).not.toMatch(/rbt_|[0-9a-f]{40}/);
    expect((await admin("create-tenant empty")).code).toBe(0);
    expect((await admin("tokens --tenant empty")).stdout).toBe("none\n");
  });

  test("revoked: the next request is refused", async () => {
    const { id, token } = await create("--tenant acme --scope ingest");
    expect((await send({ authorization: `Bearer ${token}` })).status).toBe(200);
    expect((await admin(`revoke-token ${id} --tenant acme`)).stdout).toContain(`${id} is revoked`);
    expect((await send({ authorization: `Bearer ${token}` })).status).toBe(401);
    expect((await admin(`revoke-token ${id} --tenant acme`)).stderr).toBe(`there is no token ${id}\n`);
  });

  test("expired: refused from then on", async () => {
    const until = Date.now() + 3_000;
    const { token, stdout } = await create(
      `--tenant acme --scope ingest --expires ${new Date(until).toISOString()}`,
    );
    expect(stdout).toContain(`until ${new Date(until).toISOString()}`);
    expect((await send({ "x-api-key": token })).status).toBe(200);
    await new Promise((done) => setTimeout(done, until - Date.now() + 100));
    expect((await send({ "x-api-key": token })).status).toBe(401);
  });

  test("a browser key: pages of its origin, sending, nothing else", async () => {
    const origin = "https://shop.example";
    const { token, stdout } = await create(`--tenant acme --origin ${origin}`);
    expect(stdout).toContain(`pages of ${origin}`);
    expect(stdout).toContain(`headers: { "x-api-key": "${token}" }`);
    const sent = await send({ "x-api-key": token, origin });
    expect(sent.status).toBe(200);
    for (const wrong of [
      { origin: "https://evil.example" },
      { origin: `${origin}.evil` },
      { origin: "null" },
      {},
    ]) {
      expect((await send({ "x-api-key": token, ...wrong })).status).toBe(403);
    }
    const { status } = await fetch(`${url}/api/traces/${sent.traceId}`, {
      headers: { "x-api-key": token, origin },
    });
    expect(status).toBe(403);
    expect((await admin(`create-token --tenant acme --origin ${origin} --scope read`)).stderr).toMatch(
      /^a browser key, /,
    );
  });

  test("an admin token: its own tenant without being told, not what is the operator's, nor others", async () => {
    const { token, stdout } = await create("--tenant acme --scope admin --name boss");
    expect(stdout).toContain(`ADMIN_TOKEN=${token}`);
    const as = { ADMIN_TOKEN: token };
    expect((await admin("tenant", as)).stdout).toMatch(/^acme: active/);
    expect((await admin("tenants", as)).stdout).toBe("acme\n");
    const made = await create("--scope ingest", as);
    expect(made.token).toMatch(/^rbt_acme_/);
    expect((await admin("shards 2", as)).stderr).toContain("it needs the admin secret");
    for (const name of ["single-tenant", "nobody"]) {
      expect((await admin(`tokens --tenant ${name}`, as)).stderr).toBe(
        `this token may not act for tenant "${name}"\n`,
      );
    }
    expect((await admin("create-token --scope read --tenants single-tenant", as)).stderr).toContain(
      "cannot let another do so",
    );
    const { stdout: audit } = await admin("audit --limit 2", as);
    expect(audit).toMatch(
      /^when +who +what +detail\n\S+Z +token [0-9a-f]{12} \(boss\) +create token +[0-9a-f]{12} \(ingest\): ingest\n\S+Z +operator +create token .*\nthere are older ones: --before \d+\n$/,
    );
  });

  test("--if-match: the change is made only over that version", async () => {
    const { stdout } = await admin("tenant empty");
    const [, version = ""] = /version (\d+), for --if-match/.exec(stdout) ?? [];
    expect((await admin(`retention 48 --tenant empty --if-match ${version}`)).code).toBe(0);
    expect(await admin(`retention 72 --tenant empty --if-match ${version}`)).toEqual({
      code: 1,
      stdout: "",
      stderr: `the tenant has been changed: it has version ${Number(version) + 1}, not ${version}\n`,
    });
    expect((await admin("retention 72 --tenant empty --if-match x")).stderr).toMatch(/^If-Match must be /);
  });

  test("limits and set-limit; a token with a rate of its own", async () => {
    expect((await admin("set-limit ingestion.rate_limit_spans=1234 --tenant empty")).stdout).toMatch(
      /^limit +value +unit\n(?:.*\n)*ingestion\.rate_limit_spans +1234 +spans per second +set\n/,
    );
    expect((await admin("limits --tenant empty")).stdout).toMatch(
      /ingestion\.rate_limit_bytes +\d+ +bytes per second +default\n/,
    );
    expect((await admin("set-limit ingestion.rate_limit_spans=default --tenant empty")).stdout).not.toMatch(
      / set\n/,
    );
    expect((await admin("set-limit rate=1 --tenant empty")).stderr).toBe("there is no field rate\n");
    await create("--tenant empty --scope ingest --set ingestion.burst_size_spans=2 --name small");
    const { stdout } = await admin("tokens --tenant empty --json");
    expect(JSON.parse(stdout)).toMatchObject({ tokens: [{ limits: { "ingestion.burst_size_spans": 2 } }] });
  });

  test("usage and spend-cap: what it costs, what it may cost", async () => {
    expect((await admin("spend-cap --tenant acme --day 2 --month 40 --at-cap sample --keep 0.2")).code).toBe(
      0,
    );
    const { stdout } = await admin("usage --tenant acme");
    expect(stdout).toMatch(
      /^acme, \d{4}-\d\d-01 to \d{4}-\d\d-\d\d: [\d.e-]+ USD, [1-9]\d* spans, [\d.]+ USD per 10\^9 spans\n/,
    );
    expect(stdout).toMatch(
      /\n  spend cap 2 USD a day, 40 USD a month: ok, today [\d.e-]+ USD\n  at the cap .*20 % of the others/,
    );
    expect(stdout).toMatch(/\n  what +units +unit +USD\n/);
    const all = await admin("usage all --json");
    const { tenants } = JSON.parse(all.stdout) as { tenants: { tenant: string }[] };
    expect(tenants.map(({ tenant }) => tenant).sort()).toEqual(["acme", "empty", "single-tenant"]);
    expect((await admin("spend-cap none --tenant acme")).code).toBe(0);
    expect((await admin("usage --tenant acme")).stdout).not.toContain("spend cap");
  });

  test("what is wrong is said in a sentence, exit 1", async () => {
    for (const [line, stderr] of [
      ["create-token --tenant acme", "--scope is missing: ingest, read, admin, metrics\n"],
      ["create-token --tenant acme --scope write", "scopes[0] must be ingest or read or admin or metrics\n"],
      [
        "create-token --scope ingest --expires soon",
        "--expires must be like 30d, 12h or 2027-01-31, not soon\n",
      ],
      ["create-tenant", "the tenant's name is missing\n"],
      ["revoke-token", "the token's id is missing\n"],
      ["tenant a b", "what is b? tenant takes one word at most\n"],
      ["spend-cap", '--day <USD> or --month <USD> is missing; "none" takes the cap away\n'],
      ["set-limit x", "a limit is set by <name>=<value>, not x\n"],
      ["audit --limit 0", "limit must be at least 1\n"],
    ] as const) {
      expect(await admin(line)).toEqual({ code: 1, stdout: "", stderr });
    }
  });

  test("the description is there for whoever is known", async () => {
    const { token } = await create("--tenant acme --scope ingest");
    const response = await fetch(`${url}/api/openapi.json`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect([response.status, (await response.json<{ openapi: string }>()).openapi]).toEqual([200, "3.1.0"]);
  });

  test("what npm run deploy does after wrangler: a span of its own is read back, two tokens are left", async () => {
    const secret = "a-secret-that-wrangler-does-not-keep";
    const own = startNode("src/cli/start.ts", {
      PORT: "0",
      RUBATO_DATA: join(dataDir, "deployed"),
      ACCESS: "tokens",
      ADMIN_TOKEN: secret,
    });
    const [, address = ""] = /^Rubato listens on (http:\S+) /.exec(await own.line()) ?? [];
    const state = join(dataDir, "wrangler.json");
    await writeFile(state, JSON.stringify({ secrets: {}, targets: [address] }));
    process.env["FAKE_WRANGLER"] = state;
    let printed = "";
    const code = await deploy({
      script: resolve(ROOT, "test/support/fake-wrangler.mjs"),
      args: [],
      env: { ADMIN_TOKEN: secret, RUBATO_URL: address },
      patience: { totalMs: 30_000, pauseMs: 100 },
      print: (text) => (printed += text),
    });
    expect(code).toBe(0);
    expect(printed).toMatch(/Verified: a span was sent to http:\S+ and read back in \d+ ms\./);
    const { stdout } = await admin("tokens", { ADMIN_TOKEN: secret, RUBATO_URL: address });
    expect(stdout).toMatch(/^id .*\n\S+ +services +ingest .*\n\S+ +Grafana +read .*\n$/);
    own.process.kill("SIGTERM");
    await own.done;
  });
});
