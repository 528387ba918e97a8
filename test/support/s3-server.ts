// An S3-compatible server for tests: versitygw, built once by the Go toolchain. test/README.md says why this one.
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import type { S3Config } from "../../src/model/s3-config.ts";
import { S3_TIMEOUTS, S3Client } from "../../src/store/s3-client.ts";

const MODULE = "github.com/versity/versitygw/cmd/versitygw";
const VERSION = "v1.8.0";
const ROOT = resolve(import.meta.dirname, "../..");
const CACHE = join(ROOT, "node_modules/.cache/rubato", `versitygw-${VERSION}`);
const BINARY = join(CACHE, "versitygw");
const BUILD_MS = 15 * 60_000;
const START_MS = 30_000;

/** How to reach a started server: plain data, so that it can be handed to tests in other processes. */
export interface S3Access {
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export interface S3Server {
  readonly access: S3Access;
  stop(): Promise<void>;
}

export function s3Config(access: S3Access, changes: Partial<S3Config> = {}): S3Config {
  return {
    ...access,
    endpoint: new URL(access.endpoint),
    sessionToken: undefined,
    addressing: "path",
    ...changes,
  };
}

/**
 * Whether the server can be had: given, built before, or buildable. A machine without Go may pass its tests without it;
 * CI may not.
 */
export function canHaveS3Server(): boolean {
  const given = process.env["RUBATO_S3_SERVER"] !== undefined || process.env["CI"] !== undefined;
  return given || existsSync(BINARY) || spawnSync("go", ["version"]).status === 0;
}

/** The server's program; builds it if it was never built (minutes; the program has 60 MB, its sources 500 MB). */
async function binary(): Promise<string> {
  const given = process.env["RUBATO_S3_SERVER"];
  if (given !== undefined) return given;
  if (existsSync(BINARY)) return BINARY;
  console.log(`building ${MODULE}@${VERSION}, once: this takes two or three minutes`);
  await mkdir(CACHE, { recursive: true });
  const build = await mkdtemp(join(CACHE, "build-"));
  try {
    const env = { ...process.env, GOBIN: build, CGO_ENABLED: "0", GOFLAGS: "" };
    await promisify(execFile)("go", ["install", `${MODULE}@${VERSION}`], { env, timeout: BUILD_MS });
    // In one step, so that two test runs at once do not meet half a file.
    await rename(join(build, "versitygw"), BINARY);
  } catch (error) {
    throw new Error(
      `the S3 tests need versitygw ${VERSION}, and "go install ${MODULE}@${VERSION}" failed. Install Go 1.25 or ` +
        `newer, or set RUBATO_S3_SERVER to the path of a versitygw program`,
      { cause: error },
    );
  } finally {
    await rm(build, { recursive: true, force: true });
  }
  return BINARY;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** Repeats the creation of the bucket until the server is up. */
async function createBucket(access: S3Access, child: ChildProcess, output: () => string): Promise<void> {
  const client = new S3Client(s3Config(access), (url, init) => fetch(url, init), S3_TIMEOUTS);
  for (const deadline = Date.now() + START_MS; ;) {
    try {
      await client.ask("creation of the bucket", { method: "PUT" });
      return;
    } catch (error) {
      if (child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`versitygw did not start: ${output()}`, { cause: error });
      }
      await new Promise((go) => setTimeout(go, 50));
    }
  }
}

/** Starts a server with an empty bucket on a loopback port. `virtualDomain` switches on `<bucket>.<domain>`. */
export async function startS3Server(virtualDomain?: string): Promise<S3Server> {
  const program = await binary();
  const folder = await mkdtemp(join(tmpdir(), "rubato-s3-"));
  const data = join(folder, "data");
  const attributes = join(folder, "attributes");
  await mkdir(data);
  await mkdir(attributes);
  const access: S3Access = {
    endpoint: `http://127.0.0.1:${await freePort()}`,
    bucket: "rubato-test",
    // A region other than the default shows that the signature carries the one that was set.
    region: "eu-test-1",
    accessKeyId: "test-key-id",
    secretAccessKey: "test-secret-that-must-not-be-told",
  };
  const domain = virtualDomain === undefined ? [] : ["--virtual-domain", virtualDomain];
  const listen = [
    "--port",
    new URL(access.endpoint).host,
    "--region",
    access.region,
    "--keep-alive",
    "--quiet",
  ];
  // A folder for attributes: not every file system has its own.
  const child = spawn(program, [...listen, ...domain, "posix", "--sidecar", attributes, data], {
    cwd: folder,
    env: {
      PATH: process.env["PATH"],
      ROOT_ACCESS_KEY: access.accessKeyId,
      ROOT_SECRET_KEY: access.secretAccessKey,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (output = (output + text).slice(-4000)));
  }
  const ended = once(child, "close");
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    if (virtualDomain === undefined) await createBucket(access, child, () => output);
    else await mkdir(join(data, access.bucket));
  } catch (error) {
    await stop();
    throw error;
  }
  return { access, stop };
}
