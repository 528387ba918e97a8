// Servers of tests and benches: each in a folder of its own, removed afterwards.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Server, startServer } from "../../src/cli/server.ts";

export interface TestServer {
  readonly url: string;
  readonly server: Server;
  /** Errors and warnings that the Worker and the runtime logged. */
  readonly logs: string[];
}

export interface TestServers {
  /** Starts one, open and without rates unless `vars` says otherwise, on the same folder as the ones before; those must have been stopped. */
  start(vars?: Readonly<Record<string, string>>): Promise<TestServer>;
  /** Stops what runs and starts anew. */
  restart(vars?: Readonly<Record<string, string>>): Promise<TestServer>;
  /** Stops what runs and removes the folder. */
  end(): Promise<void>;
}

/** Tests send as fast as they can. */
const FAST = JSON.stringify({
  "ingestion.rate_limit_bytes": 1e10,
  "ingestion.burst_size_bytes": 1e10,
  "ingestion.rate_limit_spans": 1e10,
  "ingestion.burst_size_spans": 1e10,
});

/** Servers over one data folder, one at a time. */
export async function testServers(configPath?: string): Promise<TestServers> {
  const dataDir = await mkdtemp(join(tmpdir(), "rubato-test-"));
  let running: Server | undefined;
  async function stop(): Promise<void> {
    await running?.stop();
    running = undefined;
  }
  async function start(vars: Readonly<Record<string, string>> = {}): Promise<TestServer> {
    const logs: string[] = [];
    running = await startServer({
      port: 0,
      dataDir,
      vars: { ACCESS: "open", TENANT_LIMITS: FAST, ...vars },
      ...(configPath === undefined ? {} : { configPath }),
      onLog: (level, message) => {
        if (level === "error" || level === "warn") logs.push(message);
      },
    });
    return { url: running.url, server: running, logs };
  }
  return {
    start,
    restart: async (vars) => {
      await stop();
      return start(vars);
    },
    end: async () => {
      await stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
