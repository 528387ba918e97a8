// Child processes of tests: Node scripts, with their output collected.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import type { NormalSpan } from "./normal-span.ts";

/** What otel-recorder.cjs prints when its process ends. */
export interface Recording {
  readonly spans: NormalSpan[];
  readonly failures: string[];
}

export interface Child {
  readonly process: ChildProcess;
  /** Resolves with the next line of standard output. */
  line(): Promise<string>;
  /** Resolves when it has ended, with all it printed. */
  done: Promise<{ code: number | null; stdout: string; stderr: string }>;
}

export const ROOT = resolve(import.meta.dirname, "../..");

/** The environment without what would make the SDK or the server act otherwise than by default. */
function cleanEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([key]) => !/^(OTEL_|RUBATO_|VITEST|NODE_OPTIONS$|PORT$)/.test(key)),
  );
}

/** Starts `script` (relative to the repository) under this Node. */
export function startNode(script: string, env: Record<string, string>, args: readonly string[] = []): Child {
  const child = spawn(process.execPath, [resolve(ROOT, script), ...args], {
    cwd: ROOT,
    env: { ...cleanEnv(), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  let read = 0;
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const done = once(child, "close").then(([code]) => ({ code: code as number | null, stdout, stderr }));
  async function line(): Promise<string> {
    for (;;) {
      const end = stdout.indexOf("\n", read);
      if (end >= 0) {
        const text = stdout.slice(read, end);
        read = end + 1;
        return text;
      }
      if (child.exitCode !== null) throw new Error(`${script} ended without a line: ${stderr}`);
      await Promise.race([once(child.stdout, "data"), done]);
    }
  }
  return { process: child, line, done };
}

/** The recording that a traced child printed last. */
export function recordingOf(stdout: string): Recording {
  const last = stdout.trimEnd().split("\n").at(-1) ?? "";
  return JSON.parse(last) as Recording;
}
