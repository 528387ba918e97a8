// What `npm run admin` can do: of each verb the request, and its answer as lines.
import { createInterface } from "node:readline/promises";
import { TENANT_LIMIT_SPECS } from "../../model/tenant-limits.ts";
import { SCOPES } from "../../model/token.ts";
import { adminLines, browserLines, readLines, sdkLines } from "../snippets.ts";
import { doctorLines } from "./doctor-lines.ts";
import { type Request, UsageError } from "./client.ts";
import { tableLines } from "./table.ts";
import { type CapOptions, capOf, usageLines } from "./usage.ts";

/** What was typed. */
export interface Options extends CapOptions {
  readonly tenant: string;
  readonly yes: boolean;
  readonly name?: string | undefined;
  readonly scope: readonly string[];
  readonly tenants: readonly string[];
  readonly origin: readonly string[];
  readonly expires?: string | undefined;
  /** `<name>=<value>` of a token's own limits. */
  readonly set: readonly string[];
  readonly limit?: string | undefined;
  readonly before?: string | undefined;
}

export interface Verb {
  /** @param argument what stands behind the verb */
  readonly request: (argument: string | undefined, options: Options) => Request | Promise<Request>;
  /** @param url of the Worker, without a trailing slash */
  readonly show: (answer: never, options: Options, url: string) => string[];
}

interface TenantAnswer {
  readonly tenant: string;
  readonly state: string;
  readonly version: number;
  readonly shards: number;
  readonly shardMap: readonly { readonly from: string; readonly shards: number }[];
  readonly retentionHours: number;
  readonly retentionIsDefault: boolean;
  readonly stats?: readonly Readonly<Record<string, unknown>>[];
}

interface TokenAnswer {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly tenants: readonly string[];
  readonly origins: readonly string[];
  readonly created: string;
  readonly expires?: string;
  readonly lastUsed?: string;
}

interface LimitsAnswer {
  readonly set: Readonly<Record<string, number>>;
  readonly limits: Readonly<Record<string, number>>;
}

interface AuditAnswer {
  readonly entries: readonly Readonly<Record<"action" | "actor" | "at" | "detail", string>>[];
  readonly next?: number;
}

const HOUR_MS = 3_600_000;

export const VERBS: Readonly<Record<string, Verb>> = {
  tenants: {
    request: (_, { limit, before }) => ({
      method: "GET",
      path: `/api/admin/tenants${query({ limit, after: before })}`,
    }),
    show: ({ tenants, next }: { tenants: readonly { tenant: string }[]; next?: string }) => [
      ...tenants.map(({ tenant }) => tenant),
      ...(next === undefined ? [] : [`there are more: --before ${next}`]),
    ],
  },
  "create-tenant": {
    request: (argument) => ({
      method: "POST",
      path: "/api/admin/tenants",
      body: { tenant: needed(argument, "the tenant's name") },
    }),
    show: showTenant,
  },
  tenant: {
    request: (argument, { tenant }) => ({ method: "GET", path: tenantPath(argument ?? tenant) }),
    show: showTenant,
  },
  "delete-tenant": {
    request: async (argument, { yes }) => {
      const name = needed(argument, "the tenant's name");
      if (!yes) await confirm(name);
      return { method: "DELETE", path: tenantPath(name) };
    },
    show: showTenant,
  },
  tokens: {
    request: (_, { tenant }) => ({ method: "GET", path: tenantPath(tenant, "/tokens") }),
    show: ({ tokens }: { tokens: readonly TokenAnswer[] }) =>
      tableLines([
        ["id", "name", "scopes", "created", "last used", "expires", "more"],
        ...tokens.map((token) => [
          token.id,
          token.name,
          token.scopes.join(","),
          token.created.slice(0, 10),
          token.lastUsed?.slice(0, 16).replace("T", " ") ?? "",
          token.expires ?? "never",
          more(token),
        ]),
      ]),
  },
  "create-token": { request: createToken, show: showMade },
  "revoke-token": {
    request: (argument, { tenant }) => {
      const id = encodeURIComponent(needed(argument, "the token's id"));
      return { method: "DELETE", path: tenantPath(tenant, `/tokens/${id}`) };
    },
    show: ({ revoked }: { revoked: string }) => [
      `${revoked} is revoked: at once where the request went, everywhere within a minute`,
    ],
  },
  shards: {
    request: (argument, { tenant }) => ({
      method: "PUT",
      path: tenantPath(tenant, "/shards"),
      body: { count: positive(argument, "the number of shards") },
    }),
    show: showTenant,
  },
  retention: {
    request: (argument, { tenant }) => {
      const hours = argument === "default" ? null : positive(argument, "the number of hours");
      return { method: "PUT", path: tenantPath(tenant, "/retention"), body: { hours } };
    },
    show: showTenant,
  },
  "rebuild-catalogue": {
    request: (_, { tenant }) => ({ method: "POST", path: tenantPath(tenant, "/rebuild-catalogue") }),
    show: ({ tenant, shards }: TenantAnswer) => [
      `${tenant}: begun at ${shards} shards; "tenant" shows how far it is`,
    ],
  },
  limits: {
    request: (_, { tenant }) => ({ method: "GET", path: tenantPath(tenant, "/limits") }),
    show: showLimits,
  },
  "set-limit": {
    request: (argument, { tenant }) => ({
      method: "PATCH",
      path: tenantPath(tenant, "/limits"),
      body: limitsIn([needed(argument, "<name>=<value>")]),
    }),
    show: showLimits,
  },
  doctor: {
    request: (argument, { tenant }) => ({
      method: "GET",
      path: `/api/doctor${query({ tenant: argument ?? tenant })}`,
    }),
    show: doctorLines,
  },
  usage: {
    request: (argument, { tenant }) => {
      const asked = argument ?? tenant;
      return {
        method: "GET",
        path: `/api/usage${query({ tenant: asked })}`,
        ...(asked === "all" ? {} : { tenant: asked }),
      };
    },
    show: usageLines,
  },
  "spend-cap": {
    request: (argument, options) => ({
      method: "PUT",
      path: tenantPath(options.tenant, "/spend-cap"),
      body: capOf(argument, options),
    }),
    show: showTenant,
  },
  audit: {
    request: (_, { tenant, limit, before }) => ({
      method: "GET",
      path: tenantPath(tenant, `/audit${query({ limit, before })}`),
    }),
    show: ({ entries, next }: AuditAnswer) => [
      ...tableLines([
        ["when", "who", "what", "detail"],
        ...entries.map(({ at, actor, action, detail }) => [at, actor, action, detail]),
      ]),
      ...(next === undefined ? [] : [`there are older ones: --before ${next}`]),
    ],
  },
};

function tenantPath(tenant: string, rest = ""): string {
  return `/api/admin/tenants/${encodeURIComponent(tenant)}${rest}`;
}

function query(given: Readonly<Record<string, string | undefined>>): string {
  const set = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]));
  return set.length === 0 ? "" : `?${new URLSearchParams(set).toString()}`;
}

function needed(text: string | undefined, what: string): string {
  if (text === undefined || text === "") throw new UsageError(`${what} is missing`);
  return text;
}

function positive(text: string | undefined, what: string): number {
  const value = Number(needed(text, what));
  if (!(value > 0)) throw new UsageError(`${what} must be a number above 0, not ${text}`);
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

function listed(texts: readonly string[]): string[] {
  return texts.flatMap((text) => text.split(",").map((word) => word.trim())).filter((word) => word !== "");
}

function createToken(_: string | undefined, options: Options): Request {
  const origins = listed(options.origin);
  const scopes = listed(options.scope);
  if (scopes.length === 0 && origins.length > 0) scopes.push("ingest");
  if (scopes.length === 0) throw new UsageError(`--scope is missing: ${SCOPES.join(", ")}`);
  return {
    method: "POST",
    path: tenantPath(options.tenant, "/tokens"),
    body: {
      name: options.name ?? scopes.join(", "),
      scopes,
      tenants: listed(options.tenants),
      origins,
      ...(options.set.length === 0 ? {} : { limits: limitsIn(options.set) }),
      ...(options.expires === undefined ? {} : { expires: expiryOf(options.expires) }),
    },
  };
}

/** `ingestion.rate_limit_spans=1000`; `default` takes away what was set. */
function limitsIn(texts: readonly string[]): Record<string, number | null> {
  return Object.fromEntries(
    texts.map((text) => {
      const [name = "", value = ""] = text.split("=");
      if (name === "" || value === "") throw new UsageError(`a limit is set by <name>=<value>, not ${text}`);
      return [name, value === "default" ? null : positive(value, name)];
    }),
  );
}

function showLimits({ limits, set }: LimitsAnswer): string[] {
  const units = new Map<string, string>(
    Object.values(TENANT_LIMIT_SPECS).map(({ override, unit }) => [override, unit]),
  );
  return tableLines([
    ["limit", "value", "unit", ""],
    ...Object.entries(limits).map(([name, value]) => [
      name,
      String(value),
      units.get(name) ?? "",
      set[name] === undefined ? "default" : "set",
    ]),
  ]);
}

/** `30d` and `12h` from now on, or a time. */
function expiryOf(text: string): string {
  const [, count = "", unit = ""] = /^(\d{1,5})([hd])$/.exec(text) ?? [];
  if (count !== "") {
    const hours = Number(count) * (unit === "d" ? 24 : 1);
    return new Date(Date.now() + hours * HOUR_MS).toISOString();
  }
  if (Number.isNaN(Date.parse(text))) {
    throw new UsageError(`--expires must be like 30d, 12h or 2027-01-31, not ${text}`);
  }
  return new Date(text).toISOString();
}

/** Once: what the token is, and what to do with it. */
function showMade(
  made: TokenAnswer & { readonly token: string },
  { tenant }: Options,
  url: string,
): string[] {
  const { id, name, scopes, expires, origins, token } = made;
  const until = expires === undefined ? "it does not expire" : `until ${expires}`;
  return [
    `token ${id} "${name}" of ${tenant}: ${scopes.join(", ")}; ${until}`,
    ...(more(made) === "" ? [] : [`  ${more(made)}`]),
    `\n  ${token}\n`,
    "It is not shown again. What to do with it:\n",
    ...usesOf(scopes, origins, url, token).map((line) => `  ${line}`),
  ];
}

function usesOf(scopes: readonly string[], origins: readonly string[], url: string, token: string): string[] {
  if (origins.length > 0) return browserLines(url, token);
  return [
    ...(scopes.includes("ingest") ? sdkLines(url, token) : []),
    ...(scopes.includes("read") ? readLines(url, token) : []),
    ...(scopes.includes("admin") ? adminLines(url, token) : []),
    ...(scopes.includes("metrics") ? [`curl -H 'authorization: Bearer ${token}' ${url}/metrics`] : []),
  ];
}

/** What only some tokens have. */
function more({ tenants, origins }: TokenAnswer): string {
  return [
    ...(tenants.length > 0 ? [`also for ${tenants.join(", ")}`] : []),
    ...(origins.length > 0 ? [`pages of ${origins.join(", ")}`] : []),
  ].join("; ");
}

function showTenant(tenant: TenantAnswer): string[] {
  const isDefault = tenant.retentionIsDefault ? " (default)" : "";
  return [
    `${tenant.tenant}: ${tenant.state}, ${tenant.shards} shards, spans are kept ${days(tenant.retentionHours)}${isDefault}`,
    ...tenant.shardMap.slice(1).map(({ from, shards }) => `  ${shards} shards from ${from}`),
    ...(tenant.stats ?? []).map(statsLine),
    ...(tenant.stats === undefined ? [] : [`  version ${tenant.version}, for --if-match`]),
  ];
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
