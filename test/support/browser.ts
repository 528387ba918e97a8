// Headless Chromium for tests, and pages served to it on loopback.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { build, type BuildOptions } from "esbuild";
import { type Browser, chromium } from "playwright-core";
import { ROOT } from "./child.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const INSTALL_TIMEOUT_MS = 240_000;
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

function findChromium(): string | undefined {
  const named = process.env["RUBATO_CHROMIUM"];
  if (named !== undefined) return named;
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  return folders
    .flatMap((folder) => NAMES.map((name) => join(folder, name)))
    .find((path) => existsSync(path));
}

async function installChromium(): Promise<void> {
  const run = promisify(execFile);
  const options = {
    timeout: INSTALL_TIMEOUT_MS,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    maxBuffer: 64 * 1024 * 1024,
  };
  const install = () => run("apt-get", ["install", "-y", "--no-install-recommends", "chromium"], options);
  // Lists that are there already usually do; those that are stale or missing are fetched.
  await install().catch(async () => {
    await run("apt-get", ["update"], options);
    await install();
  });
}

/** The program: the one of RUBATO_CHROMIUM, one on the PATH, or Debian's, which root may install. */
async function chromiumPath(): Promise<string> {
  const found = findChromium();
  if (found !== undefined) return found;
  const advice =
    "the browser tests need Chromium: install it (Debian: apt-get install chromium) or name one with RUBATO_CHROMIUM";
  if (process.getuid?.() !== 0) throw new Error(`${advice}; only root can have it installed by the test`);
  try {
    await installChromium();
  } catch (error) {
    throw new Error(`${advice}; apt-get could not install it`, { cause: error });
  }
  const installed = findChromium();
  if (installed === undefined) throw new Error(`${advice}; apt-get installed none`);
  return installed;
}

/** Starts Chromium with a profile of its own, which is removed with it. */
export async function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: await chromiumPath(), headless: true, args: FLAGS });
}

/** A script for a page, as a user's bundler makes it. */
export async function bundleForPage(
  input: Pick<BuildOptions, "entryPoints" | "stdin" | "alias">,
): Promise<string> {
  const { outputFiles } = await build({
    ...input,
    absWorkingDir: ROOT,
    bundle: true,
    platform: "browser",
    format: "iife",
    target: "es2022",
    write: false,
    logLevel: "silent",
  });
  return outputFiles?.[0]?.text ?? "";
}

export interface PageServer {
  /** Serves `/NAME.html` with the script NAME; everything under `/api/` answers with the `traceparent` it got. */
  readonly origin: string;
  stop(): Promise<void>;
}

/** Serves pages from an origin of its own: another host name and another port than the server under test. */
export async function servePages(scripts: Readonly<Record<string, string>>): Promise<PageServer> {
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    const [, name = "", extension] = /^\/(\w+)\.(html|js)$/.exec(path) ?? [];
    if (path.startsWith("/api/")) {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ traceparent: request.headers["traceparent"] ?? "" }));
    } else if (extension === "js" && name in scripts) {
      response.setHeader("content-type", "text/javascript; charset=utf-8");
      response.end(scripts[name]);
    } else if (extension === "html") {
      response.setHeader("content-type", "text/html; charset=utf-8");
      response.end(`<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
        <title>${name}</title><script src="/${name}.js"></script>`);
    } else response.writeHead(404).end();
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://localhost:${port}`,
    stop: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}
