// What `npm run deploy` does after wrangler: secret, proof, and what to paste where.
import { randomBytes } from "node:crypto";
import { UsageError } from "../admin/client.ts";
import { collectorLines, grafanaLines, sdkLines, shellWord } from "../snippets.ts";
import { isReady, makeToken, type Patience, verify } from "./verify.ts";
import { putSecret, runDeploy, secretNames, type WranglerPorts } from "./wrangler.ts";

export interface DeploymentPorts extends WranglerPorts {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly patience: Patience;
  readonly print: (text: string) => void;
}

const SECRET = "ADMIN_TOKEN";
/** 160 bits of chance, as a token has. */
const SECRET_BYTES = 20;

/** The admin secret after a deployment, as far as it is known here. */
interface Secret {
  readonly value: string | undefined;
  readonly isNew: boolean;
}

/**
 * Deploys; makes the admin secret if there is none; proves that a span can be sent and read.
 * @returns the exit code
 */
export async function deploy(ports: DeploymentPorts): Promise<number> {
  const { env, print } = ports;
  const { code, url: told } = await runDeploy(ports);
  if (code !== 0) {
    print('\nNot deployed. If wrangler says that you are not authenticated: "npx wrangler login".');
    return code;
  }
  // Logs of a build are read by more people than the secret is for.
  const isBuild = Boolean(env["CI"] || env["WORKERS_CI"]);
  const secret = await ensureSecret(ports, isBuild);
  if (secret === undefined) return isBuild ? 0 : 1;
  const address = env["RUBATO_URL"] || told;
  if (address === undefined || !URL.canParse(address)) {
    print("\nDeployed. Wrangler names no address: set RUBATO_URL to verify it with a span.");
    return 0;
  }
  return prove(ports, new URL(address), secret, isBuild);
}

/** @returns undefined when there is none, or nobody knows; it has been said why */
async function ensureSecret(ports: DeploymentPorts, isBuild: boolean): Promise<Secret | undefined> {
  const { env, print } = ports;
  const given = env[SECRET] || undefined;
  const names = await secretNames(ports);
  if (names === undefined) {
    print(`\nDeployed, but wrangler does not tell which secrets there are. If the Worker answers 503, set one:
  npx wrangler secret put ${SECRET}`);
    return undefined;
  }
  if (names.includes(SECRET)) return { value: given, isNew: false };
  if (given === undefined && isBuild) {
    print(`\nDeployed, and closed until it has an admin secret; a long random text:
  npx wrangler secret put ${SECRET}`);
    return undefined;
  }
  const value = given ?? randomBytes(SECRET_BYTES).toString("hex");
  if (!(await putSecret(ports, SECRET, value))) {
    print(`\nDeployed, but the admin secret could not be set, so it is closed. Once more:
  npx wrangler secret put ${SECRET}`);
    return undefined;
  }
  if (given === undefined) {
    print(`\nThe admin secret, which may do everything. Keep it: it is not shown again.

  ${value}`);
  }
  return { value, isNew: true };
}

async function prove(
  { print, patience }: DeploymentPorts,
  url: URL,
  { value, isNew }: Secret,
  isBuild: boolean,
): Promise<number> {
  if (value === undefined) {
    const isUp = await isReady(url, patience);
    print(
      isUp
        ? `\nUpgraded: ${url.origin} is ready. With ${SECRET} set this command sends it a span as well.`
        : `\nDeployed, but ${url.origin} does not answer yet.`,
    );
    return isUp || isBuild ? 0 : 1;
  }
  try {
    const tookMs = await verify(url, value, isNew, patience);
    print(`\nVerified: a span was sent to ${url.origin} and read back in ${tookMs} ms.`);
    if (isNew && !isBuild) await printSnippets(url, value, print);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    print(`\nDeployed, but it could not be verified: ${error.message}
Once that is mended: ${SECRET}=... npm run deploy`);
    return 1;
  }
}

async function printSnippets(url: URL, adminToken: string, print: (text: string) => void): Promise<void> {
  const ingest = await makeToken(url, adminToken, { name: "services", scopes: ["ingest"] });
  const read = await makeToken(url, adminToken, { name: "Grafana", scopes: ["read"] });
  const sections: readonly (readonly [string, readonly string[]])[] = [
    ["OpenTelemetry SDKs", sdkLines(url.origin, ingest.token)],
    ["OpenTelemetry Collector", collectorLines(url.origin, ingest.token)],
    ["Grafana, as a provisioning file", grafanaLines(url.origin, read.token)],
    [
      "Tenants, more tokens, who did what",
      [`export RUBATO_URL=${shellWord(url.origin)} ADMIN_TOKEN=...`, "npm run admin -- --help"],
    ],
  ];
  for (const [title, lines] of sections) {
    print(`\n${title}:\n\n${lines.map((line) => `  ${line}`).join("\n")}`);
  }
}
