// Runs the Worker on this machine: workerd under Miniflare, Durable Objects and R2 on disk.
// It is bundled by wrangler, so that what runs here is what `npm run deploy` uploads.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Miniflare, type MiniflareOptions, NoOpLog } from "miniflare";
import { unstable_readConfig } from "wrangler";

type WorkerConfig = Extract<MiniflareOptions, { workers: unknown }>["workers"][number]["config"];
type Bindings = NonNullable<WorkerConfig["env"]>;
type Modules = NonNullable<WorkerConfig["manifest"]>["modules"];

export interface ServerOptions {
  /** 0 takes a free one. */
  readonly port: number;
  /** Address to listen on; default 127.0.0.1. */
  readonly host?: string;
  /** Folder of the objects' databases and the bucket; created when absent. */
  readonly dataDir: string;
  /** Replaces or adds to the variables of wrangler.toml. */
  readonly vars?: Readonly<Record<string, string>>;
  /** wrangler.toml of another Worker (benches measure with one of their own). */
  readonly configPath?: string;
  /** Receives what the Worker and the runtime log. */
  readonly onLog?: (level: string, message: string) => void;
}

export interface Server {
  /** Without a trailing slash. */
  readonly url: string;
  /** Process id of the runtime (workerd) that serves now; undefined where there is no /proc or while it restarts. */
  runtimePid(): Promise<number | undefined>;
  /** Kills the runtime as a crash would. It is started again on the same port within a second. */
  kill(): Promise<void>;
  /** Ends the runtime and releases port and folder. What was acknowledged is on disk already. */
  stop(): Promise<void>;
}

/** A reason why the server cannot start that its user can act on. */
export class StartError extends Error {
  override readonly name = "StartError";
}

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const run = promisify(execFile);

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The Worker's modules as wrangler would upload them, by their path within the bundle. */
async function bundle(configPath: string): Promise<Modules> {
  const wrangler = join(
    dirname(createRequire(import.meta.url).resolve("wrangler/package.json")),
    "bin/wrangler.js",
  );
  const outDir = await mkdtemp(join(tmpdir(), "rubato-bundle-"));
  try {
    await run(
      process.execPath,
      [wrangler, "deploy", "--dry-run", "--outdir", outDir, "--config", configPath],
      {
        cwd: ROOT,
        env: {
          ...process.env,
          // Without its banner wrangler does not ask the registry for updates either.
          WRANGLER_HIDE_BANNER: "true",
          WRANGLER_SEND_METRICS: "false",
          WRANGLER_LOG_PATH: join(outDir, "log"),
        },
      },
    );
    return await readModules(outDir);
  } catch (error) {
    const output = error instanceof Error && "stderr" in error ? String(error.stderr) : "";
    throw new StartError(`the Worker cannot be bundled: ${output.trim() || textOf(error)}`, { cause: error });
  } finally {
    await rm(outDir, { recursive: true, force: true });
  }
}

async function readModules(dir: string): Promise<Modules> {
  const modules: Modules = {};
  for (const name of await readdir(dir)) {
    if (name.endsWith(".js"))
      modules[name] = { type: "esm", contents: await readFile(join(dir, name), "utf8") };
    else if (name.endsWith(".sql"))
      modules[name] = { type: "text", contents: await readFile(join(dir, name), "utf8") };
  }
  return modules;
}

// Tests start several servers in one process; the sources do not change meanwhile.
const bundles = new Map<string, Promise<Modules>>();

function bundleOnce(configPath: string): Promise<Modules> {
  const known = bundles.get(configPath);
  if (known !== undefined) return known;
  const made = bundle(configPath);
  bundles.set(configPath, made);
  return made;
}

/** Miniflare's form of wrangler.toml: only what this Worker uses. */
async function workerConfig(
  configPath: string,
  vars: Readonly<Record<string, string>>,
): Promise<WorkerConfig> {
  const config = unstable_readConfig({ config: configPath }, { hideWarnings: true });
  const name = config.name ?? "rubato";
  const env: Bindings = {};
  for (const { binding } of config.r2_buckets) env[binding] = { type: "r2", name: binding.toLowerCase() };
  const exported: NonNullable<WorkerConfig["exports"]> = {};
  for (const { name: binding, class_name: exportName } of config.durable_objects.bindings) {
    env[binding] = { type: "durable-object", worker: name, exportName };
    exported[exportName] = { type: "durable-object", storage: "sqlite" };
  }
  for (const [key, value] of Object.entries({ ...config.vars, ...vars })) {
    env[key] = { type: "text", value: String(value) };
  }
  const modules = await bundleOnce(configPath);
  const mainModule = Object.keys(modules).find((path) => path.endsWith(".js"));
  if (mainModule === undefined) throw new StartError("the Worker's bundle holds no module");
  return {
    name,
    compatibilityDate: config.compatibility_date ?? "",
    compatibilityFlags: config.compatibility_flags,
    manifest: { mainModule, modulesRoot: ROOT, modules },
    env,
    exports: exported,
  };
}

/** Fails while the runtime would only print a stack: another process listens there. */
function checkPort(host: string, port: number): Promise<void> {
  return new Promise((done, fail) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) => {
      const reason =
        error.code === "EADDRINUSE"
          ? `port ${port} is taken; choose another one with PORT`
          : `cannot listen on ${host}:${port}: ${error.message}`;
      fail(new StartError(reason, { cause: error }));
    });
    probe.listen(port, host, () => probe.close(() => done()));
  });
}

/**
 * Keeps a second server off the folder: two runtimes on the same databases would not see each other's writes.
 * The lock is SQLite's, which the operating system releases when the process dies, however it dies.
 */
function lockFolder(dataDir: string): DatabaseSync {
  const lock = new DatabaseSync(join(dataDir, "lock.sqlite"), { timeout: 0 });
  try {
    lock.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    lock.close();
    throw new StartError(`another server uses ${dataDir}; choose another folder with RUBATO_DATA`, {
      cause: error,
    });
  }
  return lock;
}

/** The workerd child of this process that was started last. */
async function findRuntime(): Promise<number | undefined> {
  const found: number[] = [];
  for (const entry of await readdir("/proc").catch(() => [])) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = await readFile(`/proc/${entry}/stat`, "utf8").catch(() => "");
    const [, command, state, parent] = /^\d+ \((.*)\) (\S) (\d+)/.exec(stat) ?? [];
    if (command === "workerd" && state !== "Z" && Number(parent) === process.pid) found.push(Number(entry));
  }
  return found.length === 0 ? undefined : Math.max(...found);
}

/**
 * Starts the server and resolves once it answers.
 * @throws StartError port taken, folder in use, Worker that does not build
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const host = options.host ?? "127.0.0.1";
  const configPath = options.configPath ?? join(ROOT, "wrangler.toml");
  await checkPort(host, options.port);
  await mkdir(options.dataDir, { recursive: true });
  const lock = lockFolder(options.dataDir);
  let miniflare: Miniflare | undefined;
  try {
    miniflare = new Miniflare({
      // Requests go to `unsafeDirectSockets`; the entry that Miniflare puts in front costs 0.16 ms each.
      host: "127.0.0.1",
      port: 0,
      cf: false,
      log: new NoOpLog(),
      logRequests: false,
      handleStructuredLogs: ({ level, message }) => options.onLog?.(level, message),
      resourcePersistencePath: resolve(options.dataDir),
      workers: [
        {
          config: await workerConfig(configPath, options.vars ?? {}),
          dev: { unsafeDirectSockets: [{ host, port: options.port }] },
        },
      ],
    });
    const url = (await miniflare.unsafeGetDirectURL()).origin;
    return serverOf(miniflare, url, lock);
  } catch (error) {
    await miniflare?.dispose();
    lock.close();
    if (error instanceof StartError) throw error;
    throw new StartError(`the runtime does not start: ${textOf(error)}`, { cause: error });
  }
}

function serverOf(miniflare: Miniflare, url: string, lock: DatabaseSync): Server {
  return {
    url,
    runtimePid: findRuntime,
    kill: async () => {
      const pid = await findRuntime();
      if (pid === undefined) throw new Error("the runtime's process is not found");
      process.kill(pid, "SIGKILL");
    },
    stop: async () => {
      await miniflare.dispose();
      lock.close();
    },
  };
}
