// Prometheus for tests: its checker of metrics, and a server that scrapes.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { ROOT } from "./child.ts";

const DOWNLOAD_TIMEOUT_MS = 240_000;
const CACHE = join(ROOT, "node_modules/.cache/rubato-prometheus");
const run = promisify(execFile);

export interface Prometheus {
  readonly promtool: string;
  readonly prometheus: string;
}

function programsIn(folder: string): Prometheus | undefined {
  const found = { promtool: join(folder, "promtool"), prometheus: join(folder, "prometheus") };
  return existsSync(found.promtool) && existsSync(found.prometheus) ? found : undefined;
}

/** Debian's package, unpacked and not installed: so there is no service that starts by itself. */
async function unpackPackage(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "rubato-package-"));
  const options = { timeout: DOWNLOAD_TIMEOUT_MS, cwd: folder, maxBuffer: 64 * 1024 * 1024 };
  try {
    const download = () => run("apt-get", ["download", "prometheus"], options);
    // Lists that are there already usually do; those that are stale or missing are fetched.
    await download().catch(async () => {
      await run("apt-get", ["update"], options);
      await download();
    });
    const file = (await readdir(folder)).find((name) => name.endsWith(".deb"));
    if (file === undefined) throw new Error("apt-get downloaded no package");
    await mkdir(CACHE, { recursive: true });
    await run("dpkg-deb", ["-x", file, CACHE], options);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The programs: of the folder RUBATO_PROMETHEUS, on the PATH, or of Debian's package. */
export async function findPrometheus(): Promise<Prometheus> {
  const folders = [process.env["RUBATO_PROMETHEUS"] ?? "", ...(process.env["PATH"] ?? "").split(delimiter)];
  const unpacked = join(CACHE, "usr/bin");
  for (const folder of [...folders, unpacked]) {
    const found = programsIn(folder);
    if (found !== undefined) return found;
  }
  try {
    await unpackPackage();
  } catch (cause) {
    throw new Error(
      "these tests need Prometheus: install it, or name its folder with RUBATO_PROMETHEUS; apt-get could not download it",
      { cause },
    );
  }
  const found = programsIn(unpacked);
  if (found === undefined) throw new Error("Debian's package has no prometheus and promtool");
  return found;
}

/** What `promtool check metrics` has to say of a text: nothing, when all is well. */
export async function checkMetrics({ promtool }: Prometheus, text: string): Promise<string> {
  const child = spawn(promtool, ["check", "metrics"], { stdio: ["pipe", "pipe", "pipe"] });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const ended = once(child, "close");
  child.stdin.end(text);
  const [code] = (await ended) as [number | null];
  return code === 0 ? said : `${said}exit code ${code}`;
}

export interface RunningPrometheus {
  /** The values of an instant query, by their labels. */
  query(
    expression: string,
  ): Promise<readonly { readonly metric: Record<string, string>; readonly value: number }[]>;
  stop(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Starts a server on loopback with this configuration, its data in a folder of its own. */
export async function startPrometheus(
  { prometheus }: Prometheus,
  config: string,
): Promise<RunningPrometheus> {
  const folder = await mkdtemp(join(tmpdir(), "rubato-prometheus-"));
  const configPath = join(folder, "prometheus.yml");
  await writeFile(configPath, config);
  const address = `127.0.0.1:${await freePort()}`;
  const child = spawn(
    prometheus,
    [
      `--config.file=${configPath}`,
      `--storage.tsdb.path=${join(folder, "data")}`,
      `--web.listen-address=${address}`,
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4_000)));
  const ended = once(child, "exit");
  const stop = async (): Promise<void> => {
    if (child.exitCode === null) child.kill("SIGKILL");
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  const deadline = Date.now() + 30_000;
  for (;;) {
    const ready = await fetch(`http://${address}/-/ready`).catch(() => undefined);
    if (ready?.ok === true) break;
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop();
      throw new Error(`prometheus did not start: ${said}`);
    }
    await new Promise((done) => setTimeout(done, 200));
  }
  return {
    stop,
    query: async (expression) => {
      const response = await fetch(`http://${address}/api/v1/query?query=${encodeURIComponent(expression)}`);
      const { data } = await response.json<{
        data: { result: { metric: Record<string, string>; value: [number, string] }[] };
      }>();
      return data.result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
    },
  };
}
