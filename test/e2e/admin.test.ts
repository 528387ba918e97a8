// `npm run admin` against a server as `npm start` starts it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Child, ROOT, startNode } from "../support/child.ts";

let dataDir: string;
let server: Child;
let url: string;

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command; `typed` is what its user answers. */
async function admin(args: readonly string[], env: Record<string, string> = {}, typed = ""): Promise<Ended> {
  const { ADMIN_TOKEN: _, ...inherited } = process.env;
  const child = spawn(process.execPath, [resolve(ROOT, "src/cli/admin.ts"), ...args], {
    cwd: ROOT,
    env: { ...inherited, RUBATO_URL: url, RUBATO_DATA: dataDir, ...env },
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.stdin.end(typed);
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "rubato-admin-"));
  server = startNode("src/cli/start.ts", { PORT: "0", RUBATO_DATA: dataDir });
  [, url = ""] = /^Rubato listens on (http:\S+) /.exec(await server.line()) ?? [];
});
afterAll(async () => {
  server.process.kill("SIGTERM");
  await server.done;
  await rm(dataDir, { recursive: true, force: true });
});

describe("npm run admin", () => {
  test("the token of a local server is a file that only its user may read", async () => {
    const path = join(dataDir, "admin-token");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await readFile(path, "utf8")).trim()).toMatch(/^[0-9a-f]{40}$/);
  });

  test("tenant shows the defaults, shards and retention change them", async () => {
    expect(await admin(["tenant"])).toMatchObject({
      code: 0,
      stderr: "",
      stdout: expect.stringMatching(
        /^single-tenant: active, 1 shards, spans are kept 14 days \(default\)\n  shard 0, liveSpans 0,/,
      ),
    });
    expect(await admin(["retention", "36"])).toMatchObject({
      code: 0,
      stdout: "single-tenant: active, 1 shards, spans are kept 36 hours\n",
    });
    expect(await admin(["retention", "default"])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("14 days (default)"),
    });
    expect(await admin(["shards", "2", "--tenant", "other"])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(
        /^other: active, 1 shards.*\n {2}2 shards from \d{4}-\d\d-\d\dT[\d:.]+Z\n$/,
      ),
    });
  });

  test("--json prints what the API answers", async () => {
    const { code, stdout } = await admin(["tenant", "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ tenant: "single-tenant", state: "active", shards: 1 });
  });

  test("rebuild-catalogue begins, and tenant shows how far it is", async () => {
    expect(await admin(["rebuild-catalogue"])).toMatchObject({
      code: 0,
      stdout: 'single-tenant: begun at 1 shards; "tenant" shows how far it is\n',
    });
    expect((await admin(["tenant"])).stdout).toContain("rebuild {");
  });

  test("what is wrong is said in a sentence, exit 1", async () => {
    expect(await admin(["shards", "3"])).toEqual({
      code: 1,
      stdout: "",
      stderr: "the number of shards must be a power of 2 from 1 to 64, not 3\n",
    });
    expect(await admin(["tenant", "a b"])).toMatchObject({
      code: 1,
      stderr: "tenant ID 'a b' contains unsupported character ' '\n",
    });
    expect(await admin(["shards"])).toMatchObject({ code: 1, stderr: "the number of shards is missing\n" });
    expect(await admin(["tenant"], { ADMIN_TOKEN: "wrong" })).toMatchObject({
      code: 1,
      stderr: "this token is not known: it is wrong, or was revoked\n",
    });
    expect(await admin(["tenant", "--url", "http://127.0.0.1:9"])).toMatchObject({
      code: 1,
      stderr: "no server answers at http://127.0.0.1:9\n",
    });
  });

  test("the token of this machine's server is sent nowhere else", async () => {
    expect(await admin(["tenant", "--url", "http://rubato.example"])).toMatchObject({
      code: 1,
      stderr: "set ADMIN_TOKEN\n",
    });
  });

  test("help with --help and without a verb; for an unknown one the help is an error", async () => {
    for (const args of [[], ["--help"]]) {
      const { code, stdout } = await admin(args);
      expect(code).toBe(0);
      for (const verb of ["tenant", "shards", "retention", "rebuild-catalogue", "delete-tenant"]) {
        expect(stdout).toContain(`\n  ${verb} `);
      }
    }
    for (const args of [["shard"], ["tenant", "--jsn"]]) {
      expect(await admin(args)).toMatchObject({ code: 1, stderr: expect.stringContaining("delete-tenant") });
    }
  });

  test("delete-tenant deletes only when the name is given again, or with --yes", async () => {
    for (const typed of ["", "\n", "anothr\n", "y\n"]) {
      expect(await admin(["delete-tenant", "another"], {}, typed)).toMatchObject({
        code: 1,
        stderr: expect.stringContaining("nothing was deleted"),
      });
    }
    expect((await admin(["tenant", "another"])).stdout).toContain("another: active");
    expect((await admin(["delete-tenant", "another"], {}, "another\n")).stdout).toContain(
      "another: deleting",
    );
    expect((await admin(["delete-tenant", "third", "--yes"])).stdout).toContain("third: deleting");
    expect((await admin(["shards", "2", "--tenant", "third"])).stderr).toBe(
      'tenant "third" is being deleted\n',
    );
  });
});
