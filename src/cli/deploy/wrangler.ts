// Wrangler as a child process: deploys, and tells and takes secrets. No secret is ever an argument.
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface WranglerPorts {
  /** Wrangler's script, run by this Node. */
  readonly script: string;
  /** What was typed behind `npm run deploy --`. */
  readonly args: readonly string[];
}

export interface Deployed {
  readonly code: number;
  /** Where the Worker is reached, without a trailing slash; undefined when wrangler does not say. */
  readonly url: string | undefined;
}

/** Options that say which Worker it is: commands for its secrets take them, too. */
const WORKER_OPTIONS = new Set(["--config", "-c", "--env", "-e", "--name"]);

/** `wrangler deploy`, at the terminal. */
export async function runDeploy({ script, args }: WranglerPorts): Promise<Deployed> {
  const dir = await mkdtemp(join(tmpdir(), "rubato-deploy-"));
  const report = join(dir, "report.ndjson");
  try {
    const code = await run(script, ["deploy", ...args], { env: { WRANGLER_OUTPUT_FILE_PATH: report } });
    const lines = await readFile(report, "utf8").catch(() => "");
    return { code: code.code, url: addressIn(lines) };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** The names of the Worker's secrets; undefined when wrangler does not tell. */
export async function secretNames({ script, args }: WranglerPorts): Promise<readonly string[] | undefined> {
  const { code, stdout } = await run(script, ["secret", "list", ...workerOptions(args)], { isQuiet: true });
  if (code !== 0) return undefined;
  try {
    const secrets: readonly { readonly name: string }[] = JSON.parse(stdout.slice(stdout.indexOf("[")));
    return secrets.map(({ name }) => name);
  } catch {
    return undefined;
  }
}

/** @returns false when wrangler failed, which then has said why */
export async function putSecret(
  { script, args }: WranglerPorts,
  name: string,
  value: string,
): Promise<boolean> {
  const { code } = await run(script, ["secret", "put", name, ...workerOptions(args)], {
    isQuiet: true,
    input: `${value}\n`,
  });
  return code === 0;
}

function workerOptions(args: readonly string[]): string[] {
  return args.flatMap((arg, i) => {
    const [name = ""] = arg.split("=");
    if (!WORKER_OPTIONS.has(name)) return [];
    return name === arg ? [arg, args[i + 1] ?? ""] : [arg];
  });
}

/** From what wrangler writes for programs: an address, or a custom domain. */
function addressIn(report: string): string | undefined {
  for (const line of report.split("\n")) {
    if (!line.includes('"deploy"')) continue;
    const { targets = [] }: { targets?: readonly string[] } = JSON.parse(line);
    const address = targets.find((target) => target.startsWith("https://"));
    if (address !== undefined) return address.replace(/\/$/, "");
    const [host] = targets.find((target) => target.includes("(custom domain"))?.split(" ") ?? [];
    if (host !== undefined) return `https://${host}`;
  }
  return undefined;
}

interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Its output is not shown, but for what it says of errors. */
  readonly isQuiet?: boolean;
  readonly input?: string;
}

function run(
  script: string,
  args: readonly string[],
  { env = {}, isQuiet = false, input }: RunOptions,
): Promise<{ readonly code: number; readonly stdout: string }> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [script, ...args], {
      stdio: [input === undefined ? "inherit" : "pipe", isQuiet ? "pipe" : "inherit", "inherit"],
      env: { ...process.env, ...(isQuiet ? { WRANGLER_HIDE_BANNER: "true" } : {}), ...env },
    });
    let stdout = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.once("error", fail);
    child.once("close", (code) => done({ code: code ?? 1, stdout }));
    child.stdin?.end(input);
  });
}
