// The commands of the README, run as a user runs them.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Child, ROOT, startNode } from "../support/child.ts";
import { askTrace } from "../support/query-client.ts";

const run = promisify(execFile);
let dataDir: string;
const children: Child[] = [];

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "rubato-start-"));
});
afterAll(async () => {
  for (const { process: child } of children) if (child.exitCode === null) child.kill("SIGKILL");
  await rm(dataDir, { recursive: true, force: true });
});

interface Started {
  readonly child: Child;
  readonly url: string;
  readonly curl: string;
}

async function start(port = 0): Promise<Started> {
  const child = startNode("src/cli/start.ts", { PORT: String(port), RUBATO_DATA: dataDir });
  children.push(child);
  const [, url = ""] = /^Rubato listens on (http:\S+) /.exec(await child.line()) ?? [];
  let curl = "";
  while (!curl.startsWith("curl ")) curl = await child.line();
  return { child, url, curl };
}

test("npm start: its curl line works when pasted, data survives a restart, SIGTERM and SIGINT end it", async () => {
  const { child, url, curl } = await start();
  expect(url).toMatch(/^http:\/\/localhost:\d+$/);
  const { stdout } = await run("bash", ["-c", curl]);
  expect(stdout).toContain('"my first span"');
  const [, traceId = ""] = /\/api\/traces\/([0-9a-f]{32})$/.exec(curl) ?? [];
  const { spans } = await askTrace(url, traceId, "v2 JSON");
  expect(spans.map(({ name }) => name)).toEqual(["my first span"]);
  child.process.kill("SIGTERM");
  expect(await child.done).toMatchObject({ code: 0, stderr: "" });

  const again = await start();
  expect((await askTrace(again.url, traceId, "v1 JSON")).spans).toEqual(spans);
  again.child.process.kill("SIGINT");
  expect(await again.child.done).toMatchObject({ code: 0, stderr: "" });
});

test("npm start: a port that is taken and a folder that is in use are one sentence and exit 1", async () => {
  const blocker = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => blocker.once("listening", done));
  const address = blocker.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const refused = startNode("src/cli/start.ts", { PORT: String(port), RUBATO_DATA: dataDir });
  expect(await refused.done).toEqual({
    code: 1,
    stdout: "",
    stderr: `Rubato cannot start: port ${port} is taken; choose another one with PORT\n`,
  });
  blocker.close();

  const { child } = await start();
  const second = startNode("src/cli/start.ts", { PORT: "0", RUBATO_DATA: dataDir });
  expect(await second.done).toEqual({
    code: 1,
    stdout: "",
    stderr: `Rubato cannot start: another server uses ${dataDir}; choose another folder with RUBATO_DATA\n`,
  });
  child.process.kill("SIGTERM");
  await child.done;
});

test("npm run demo: sends traffic and names traces that can be looked up", async () => {
  const { child, url } = await start();
  const demo = startNode("test/support/demo.ts", { RUBATO_URL: url }, ["--seconds=3", "--rate=2000"]);
  const { code, stdout, stderr } = await demo.done;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("6000 spans accepted");
  const ids = Array.from(stdout.matchAll(/\/api\/traces\/([0-9a-f]{32})$/gm), ([, id]) => id ?? "");
  expect(ids.length).toBeGreaterThan(2);
  for (const id of ids) expect((await askTrace(url, id, "v1 protobuf")).spans.length).toBeGreaterThan(0);
  child.process.kill("SIGTERM");
  await child.done;
});

test("npm run demo: without a server one sentence and exit 1", async () => {
  const demo = startNode("test/support/demo.ts", { RUBATO_URL: "http://127.0.0.1:9" });
  const { code, stderr } = await demo.done;
  expect(code).toBe(1);
  expect(stderr).toBe(
    'no server answers at http://127.0.0.1:9; start one with "npm start" or set RUBATO_URL\n',
  );
});

test("npm run deploy -- --dry-run works without an account, and makes nothing", async () => {
  const { stdout } = await run("npm", ["run", "deploy", "--", "--dry-run"], {
    cwd: ROOT,
    // Whatever would reach out finds nobody.
    env: {
      ...process.env,
      CLOUDFLARE_API_BASE_URL: "http://127.0.0.1:9",
      RUBATO_URL: "http://127.0.0.1:9",
      WRANGLER_SEND_METRICS: "false",
      WRANGLER_LOG_PATH: join(dataDir, "logs"),
    },
  });
  expect(stdout).toContain("env.TRACE_SHARD (TraceShard)");
  expect(stdout).toContain("env.TENANT (Tenant)");
  expect(stdout).toContain("env.BLOCKS");
  expect(stdout).toContain("--dry-run: exiting now.");
  expect(stdout).toContain("Nothing was deployed.");
  expect(stdout).toContain("npx wrangler secret put ADMIN_TOKEN");
  expect(stdout).not.toMatch(/not shown again|rbt_|[0-9a-f]{40}/);
  expect(stdout).toContain(
    "npx wrangler r2 bucket lifecycle add rubato-blocks expire-old-blocks tenant= --expire-days 30",
  );
});
