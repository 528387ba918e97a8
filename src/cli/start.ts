// `npm start`: the server on this machine, until it is told to stop.
import { resolve } from "node:path";
import { S3_VARIABLES } from "../model/s3-config.ts";
import { ensureAdminToken } from "./admin-token.ts";
import { firstSpan } from "./first-span.ts";
import { type Server, StartError, startServer } from "./server.ts";

const DEFAULT_PORT = 8787;

function portFrom(text: string | undefined): number {
  if (text === undefined || text === "") return DEFAULT_PORT;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new StartError(`PORT is no port number: ${text}`);
  }
  return port;
}

/** One command that sends a span and reads its trace back; all in one line, so that it can be pasted. */
function tryLine(url: string): string {
  const { traceId, body } = firstSpan("hello", "my first span");
  const send = `curl -sS -H 'content-type: application/json' -d '${JSON.stringify(body)}' ${url}/v1/traces`;
  return `${send} --next -sS ${url}/api/traces/${traceId}`;
}

function accessLine(access: string): string {
  if (access !== "open") return "It asks for tokens: npm run admin -- create-token --help";
  return 'It is open: whoever reaches it sends to and reads tenant "single-tenant". ACCESS=tokens npm start asks for tokens';
}

function stopOnSignals(server: Server): void {
  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    void server.stop().finally(() => process.exit(0));
  };
  for (const signal of ["SIGINT", "SIGTERM"]) {
    // Miniflare's own listener would end the process at once, with the status of a failure.
    process.removeAllListeners(signal);
    process.on(signal, stop);
  }
}

const env = process.env;
// Variables of the Worker that may be set for a run without editing wrangler.toml.
const PASSED_ON = [
  "FLUSH_AGE_SECONDS",
  "FLUSH_BYTES",
  "MAX_TRACE_BYTES",
  "BLOCK_RETENTION",
  "CORS_ALLOWED_ORIGINS",
  "MULTITENANCY",
  "TENANT_LIMITS",
  ...S3_VARIABLES,
];

try {
  const dataDir = resolve(env["RUBATO_DATA"] ?? ".rubato");
  const adminToken = env["ADMIN_TOKEN"] || (await ensureAdminToken(dataDir));
  const access = env["ACCESS"] || "open";
  const server = await startServer({
    port: portFrom(env["PORT"]),
    host: env["RUBATO_HOST"] ?? "127.0.0.1",
    dataDir,
    vars: {
      ACCESS: access,
      ADMIN_TOKEN: adminToken,
      ...Object.fromEntries(
        PASSED_ON.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])),
      ),
    },
    onLog: (level, message) => {
      if (level === "error" || level === "warn") console.error(message);
    },
  });
  stopOnSignals(server);
  const url = server.url.replace("//127.0.0.1:", "//localhost:");
  console.log(`Rubato listens on ${url} and keeps its data in ${dataDir}`);
  console.log(accessLine(access));
  console.log(`\nSend a span and read its trace back:\n\n${tryLine(url)}\n`);
  console.log("To look after it: npm run admin");
} catch (error) {
  if (!(error instanceof StartError)) throw error;
  console.error(`Rubato cannot start: ${error.message}`);
  process.exitCode = 1;
}
