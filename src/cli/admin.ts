// `npm run admin`: a thin client of the admin API.
import { parseArgs } from "node:util";
import { SINGLE_TENANT } from "../model/ids.ts";
import { tenantOfToken } from "../model/token.ts";
import { call, tokenFor, UsageError } from "./admin/client.ts";
import { type Options, VERBS } from "./admin/verbs.ts";

const HELP = `npm run admin -- <verb> [--tenant <name>] [--url <address>] [--json]

  tenants                  lists the tenants
  create-tenant <name>     makes a tenant; the first token of a tenant does, too
  tenant [<name>]          shows shards, retention and the state of each shard
  delete-tenant <name>     deletes all spans of a tenant and all that is set for it; --yes does not ask

  tokens                   lists the tokens of the tenant
  create-token             makes one and shows it, once:
    --scope ingest,read      what it allows: ingest, read, admin, metrics
    --name <text>            what it is for
    --expires 30d            or 12h, or 2027-01-31; without it, it does not expire
    --tenants a,b            tenants that it may act for as well, by X-Scope-OrgID; "*" for all
    --set <limit>=<value>    a rate of its own: ingestion.rate_limit_bytes, burst_size_bytes, rate_limit_spans ...
    --origin https://a.com   makes it a browser key: to send spans from pages of this origin
  revoke-token <id>        it is refused at once, everywhere within a minute

  shards <count>           spreads new spans over so many shards: 1, 2, 4 ... 64
  retention <hours>        keeps spans for so many hours; "default" for the installation's default
  limits                   shows what the tenant may use
  set-limit <name>=<value> changes one of them; "default" for the installation's
  rebuild-catalogue        reads all blocks of the bucket into the catalogue that lacks them
  doctor                   says what was refused and what to do, what came last, and tries whether it works
  usage [<name>]           shows what the tenant has used this month and what it costs; "all" for all tenants
  spend-cap                sets what the tenant may cost; "none" takes the cap away:
    --day 2 --month 40       USD
    --at-cap reject          or sample: keeps traces with errors and --keep 0.1 of the others
  audit                    shows who changed what and when; --limit 1000, --before <id>

  --tenant    default: that of the token, otherwise ${SINGLE_TENANT}
  --url       address of the Worker; default RUBATO_URL or http://localhost:8787
  --json      prints the answer as it came
  --if-match  makes the change only while the tenant has this version, which "tenant" shows

The token is ADMIN_TOKEN of the environment: the admin secret, or a token with the scope admin, which looks after the
tokens of its tenants. For a server on this machine it is otherwise read from the folder of its data, .rubato or
RUBATO_DATA.`;

async function run(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      tenant: { type: "string" },
      url: { type: "string", default: process.env["RUBATO_URL"] || "http://localhost:8787" },
      json: { type: "boolean", default: false },
      yes: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
      "if-match": { type: "string" },
      name: { type: "string" },
      scope: { type: "string", multiple: true, default: [] },
      tenants: { type: "string", multiple: true, default: [] },
      origin: { type: "string", multiple: true, default: [] },
      expires: { type: "string" },
      set: { type: "string", multiple: true, default: [] },
      day: { type: "string" },
      month: { type: "string" },
      "at-cap": { type: "string" },
      keep: { type: "string" },
      limit: { type: "string" },
      before: { type: "string" },
    },
  });
  const [name, argument, extra] = positionals;
  if (values.help || name === undefined) {
    console.log(HELP);
    return;
  }
  const verb = Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  if (verb === undefined) throw new UsageError(`there is no verb ${name}\n\n${HELP}`);
  if (extra !== undefined) throw new UsageError(`what is ${extra}? ${name} takes one word at most`);
  if (!URL.canParse(values.url)) throw new UsageError(`${values.url} is no address`);
  const base = new URL(values.url);
  const token = await tokenFor(base);
  const options: Options = { ...values, tenant: values.tenant ?? tenantOfToken(token) ?? SINGLE_TENANT };
  const request = await verb.request(argument, options);
  const answer = await call<never>(base, token, { ...request, ifMatch: values["if-match"] });
  if (values.json) console.log(JSON.stringify(answer, undefined, 2));
  else for (const line of verb.show(answer, options, base.origin)) console.log(line);
}

try {
  await run();
} catch (error) {
  const isParse = error instanceof TypeError && "code" in error;
  if (!(error instanceof UsageError) && !isParse) throw error;
  console.error(isParse ? `${error.message}\n\n${HELP}` : error.message);
  process.exitCode = 1;
}
