// `npm run admin`: a thin client of the admin API.
import { resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { parseArgs } from "node:util";
import { SINGLE_TENANT } from "../model/ids.ts";
import { readAdminToken } from "./admin-token.ts";

const HELP = `npm run admin -- <verb> [--tenant <name>] [--url <address>] [--json]

  tenant                   shows shards, retention and the state of each shard
  shards <count>           spreads new spans over so many shards: 1, 2, 4 ... 64
  retention <hours>        keeps spans for so many hours; "default" for the installation's default
  rebuild-catalogue        reads all blocks of the bucket into the catalogue that lacks them
  delete-tenant <name>     deletes all spans of a tenant and all that is set for it; --yes does not ask

  --tenant   default ${SINGLE_TENANT}
  --url      address of the Worker; default RUBATO_URL or http://localhost:8787
  --json     prints the answer as it came

The token is ADMIN_TOKEN of the environment. For a server on this machine it is otherwise read from the folder of its
data, .rubato or RUBATO_DATA.`;

/** A reason why nothing was done that the user can act on. */
class UsageError extends Error {}

interface Request {
  readonly method: string;
  readonly path: string;
  readonly body?: object;
}

interface Answer {
  readonly tenant: string;
  readonly state: string;
  readonly shards: number;
  readonly shardMap?: readonly { readonly from: string; readonly shards: number }[];
  readonly retentionHours: number;
  readonly retentionIsDefault: boolean;
  readonly stats?: readonly Readonly<Record<string, unknown>>[];
}

function tenantPath(tenant: string, rest = ""): string {
  return `/api/admin/tenants/${encodeURIComponent(tenant)}${rest}`;
}

function positive(text: string | undefined, what: string): number {
  const value = Number(text);
  if (text === undefined || text === "" || !(value > 0)) throw new UsageError(`${what} is missing`);
  return value;
}

async function confirm(name: string): Promise<void> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const typed = await Promise.race([
    terminal.question(`All spans of "${name}" will be deleted. Its name again: `),
    new Promise<string>((done) => terminal.once("close", () => done(""))),
  ]);
  terminal.close();
  if (typed.trim() !== name) throw new UsageError("not the same name: nothing was deleted");
}

async function requestOf(positionals: readonly string[], tenant: string, isSure: boolean): Promise<Request> {
  const [verb, argument] = positionals;
  switch (verb) {
    case "tenant":
      return { method: "GET", path: tenantPath(argument ?? tenant) };
    case "shards":
      return {
        method: "PUT",
        path: tenantPath(tenant, "/shards"),
        body: { count: positive(argument, "the number of shards") },
      };
    case "retention": {
      const hours = argument === "default" ? null : positive(argument, "the number of hours");
      return { method: "PUT", path: tenantPath(tenant, "/retention"), body: { hours } };
    }
    case "rebuild-catalogue":
      return { method: "POST", path: tenantPath(tenant, "/rebuild-catalogue") };
    case "delete-tenant":
      if (argument === undefined) throw new UsageError("the tenant's name is missing");
      if (!isSure) await confirm(argument);
      return { method: "DELETE", path: tenantPath(argument) };
    case undefined:
    default:
      throw new UsageError(`there is no verb ${verb ?? ""}`);
  }
}

/** The local token goes to this machine only, whatever address was given. */
async function tokenFor(url: URL): Promise<string> {
  const set = process.env["ADMIN_TOKEN"];
  if (set !== undefined && set !== "") return set;
  const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  const dataDir = resolve(process.env["RUBATO_DATA"] ?? ".rubato");
  const kept = isLocal ? await readAdminToken(dataDir) : undefined;
  if (kept !== undefined) return kept;
  throw new UsageError(isLocal ? `set ADMIN_TOKEN: there is none in ${dataDir}` : "set ADMIN_TOKEN");
}

async function call(base: URL, { method, path, body }: Request): Promise<Answer> {
  const authorization = `Bearer ${await tokenFor(base)}`;
  let response: Response;
  try {
    response = await fetch(new URL(path, base), {
      method,
      headers: { authorization },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch (error) {
    throw new UsageError(`no server answers at ${base.origin}`, { cause: error });
  }
  const text = await response.text();
  if (!response.headers.get("content-type")?.startsWith("application/json")) {
    throw new UsageError(`${base.origin} answers ${response.status}: ${text.trim()}`);
  }
  const answer: Answer & { error?: { message: string } } = JSON.parse(text);
  if (answer.error !== undefined) throw new UsageError(answer.error.message);
  return answer;
}

function days(hours: number): string {
  return hours % 24 === 0 ? `${hours / 24} days` : `${hours} hours`;
}

/** One line a shard: all numbers, by name. */
function statsLine(stats: Readonly<Record<string, unknown>>): string {
  const parts = Object.entries(stats).map(([name, value]) =>
    typeof value === "string" ? `${name} ${value}` : `${name} ${JSON.stringify(value)}`,
  );
  return `  ${parts.join(", ")}`;
}

/** What the API answers: the tenant, or, of a rebuild, only its name and shards. */
function lines(tenant: Answer): string[] {
  if (tenant.shardMap === undefined) {
    return [`${tenant.tenant}: begun at ${tenant.shards} shards; "tenant" shows how far it is`];
  }
  const isDefault = tenant.retentionIsDefault ? " (default)" : "";
  return [
    `${tenant.tenant}: ${tenant.state}, ${tenant.shards} shards, spans are kept ${days(tenant.retentionHours)}${isDefault}`,
    ...tenant.shardMap.slice(1).map(({ from, shards }) => `  ${shards} shards from ${from}`),
    ...(tenant.stats ?? []).map(statsLine),
  ];
}

async function run(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      tenant: { type: "string", default: SINGLE_TENANT },
      url: { type: "string", default: process.env["RUBATO_URL"] ?? "http://localhost:8787" },
      json: { type: "boolean", default: false },
      yes: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help || positionals.length === 0) {
    console.log(HELP);
    return;
  }
  if (!URL.canParse(values.url)) throw new UsageError(`${values.url} is no address`);
  const request = await requestOf(positionals, values.tenant, values.yes);
  const answer = await call(new URL(values.url), request);
  if (values.json) console.log(JSON.stringify(answer, undefined, 2));
  else for (const line of lines(answer)) console.log(line);
}

try {
  await run();
} catch (error) {
  const isParse = error instanceof TypeError && "code" in error;
  if (!(error instanceof UsageError) && !isParse) throw error;
  console.error(error.message);
  if (isParse || / verb/.test(error.message)) console.error(`\n${HELP}`);
  process.exitCode = 1;
}
