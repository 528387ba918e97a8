// Small endpoints that say that the service is there. None of them needs a tenant.
import { Hono } from "hono";
import { TEMPO_VERSION, VERSION } from "../../model/version.ts";

// Tempo's fields, so that what expects them finds them; `rubatoVersion` is what really answers.
const BUILD_INFO = {
  version: TEMPO_VERSION,
  revision: "",
  branch: "",
  buildUser: "",
  buildDate: "",
  goVersion: "",
  edition: "rubato",
  rubatoVersion: VERSION,
} as const;

/** Sections of `/status`, by name. */
const STATUS: ReadonlyMap<string, string> = new Map([
  ["version", `tempo, version ${TEMPO_VERSION} (rubato ${VERSION})\n`],
  ["usage-stats", "usage-stats is not enabled\n"],
]);

/** `/api/echo`, `/ready`, `/api/status/buildinfo` and what `/status` says, by any method as in Tempo. */
export function statusRoutes(): Hono {
  const app = new Hono();
  app.all("/api/echo", (c) => c.text("echo\n"));
  app.all("/ready", (c) => c.text("ready\n"));
  app.all("/api/status/buildinfo", (c) => c.json(BUILD_INFO));
  app.all("/status", (c) =>
    c.text(Array.from(STATUS, ([name, text]) => `GET /status/${name}\n${text}`).join("\n")),
  );
  for (const [name, text] of STATUS) app.all(`/status/${name}`, (c) => c.text(text));
  return app;
}
