// `npm run deploy`: wrangler deploy, and what is to be done besides.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { unstable_readConfig } from "wrangler";
import { DEFAULT_LIMITS } from "../model/limits.ts";

const DAY_MS = 86_400_000;
/** Spans may lie a day in the future, and deletion takes some hours; the rest is room for a longer retention. */
const LIFECYCLE_MARGIN_DAYS = 16;

function notes(): string {
  const { r2_buckets: buckets } = unstable_readConfig({}, { hideWarnings: true });
  const bucket = buckets[0]?.bucket_name ?? "<bucket>";
  const expireDays = DEFAULT_LIMITS.blockRetentionMs / DAY_MS + LIFECYCLE_MARGIN_DAYS;
  return `
Once, to open the admin API (npm run admin):

  npx wrangler secret put ADMIN_TOKEN

Once, as a safety net: Rubato deletes blocks itself when their retention is over; this rule deletes what a fault left.
Its days must exceed the longest retention by 2 at least.

  npx wrangler r2 bucket lifecycle add ${bucket} expire-old-blocks tenant= --expire-days ${expireDays}
`;
}

const wrangler = join(
  dirname(createRequire(import.meta.url).resolve("wrangler/package.json")),
  "bin/wrangler.js",
);
const child = spawn(process.execPath, [wrangler, "deploy", ...process.argv.slice(2)], { stdio: "inherit" });
child.on("exit", (code) => {
  process.exitCode = code ?? 1;
  if (code === 0) console.log(notes());
});
