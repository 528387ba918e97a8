// `npm run deploy`: wrangler deploy, and what is to be done besides.
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { unstable_readConfig } from "wrangler";
import { DEFAULT_LIMITS } from "../model/limits.ts";
import { deploy } from "./deploy/deployment.ts";
import { runDeploy, type WranglerPorts } from "./deploy/wrangler.ts";

const DAY_MS = 86_400_000;
/** Spans may lie a day in the future, and deletion takes some hours; the rest is room for a longer retention. */
const LIFECYCLE_MARGIN_DAYS = 16;

const DRY = `
Nothing was deployed. Without --dry-run the bucket and the objects are made, and the admin secret if there is none yet; a
span is sent and read back, and what to set in services and Grafana is printed. For a secret of your own, before or after:

  npx wrangler secret put ADMIN_TOKEN`;

function safetyNet(): string {
  const { r2_buckets: buckets } = unstable_readConfig({}, { hideWarnings: true });
  const bucket = buckets[0]?.bucket_name ?? "<bucket>";
  const expireDays = DEFAULT_LIMITS.blockRetentionMs / DAY_MS + LIFECYCLE_MARGIN_DAYS;
  return `
Once, as a safety net: Rubato deletes blocks itself when their retention is over; this rule deletes what a fault left.
Its days must exceed the longest retention by 2 at least.

  npx wrangler r2 bucket lifecycle add ${bucket} expire-old-blocks tenant= --expire-days ${expireDays}
`;
}

const ports: WranglerPorts = {
  script: join(dirname(createRequire(import.meta.url).resolve("wrangler/package.json")), "bin/wrangler.js"),
  args: process.argv.slice(2),
};
if (ports.args.includes("--dry-run")) {
  const { code } = await runDeploy(ports);
  process.exitCode = code;
  if (code === 0) console.log(DRY + safetyNet());
} else {
  const code = await deploy({
    ...ports,
    env: process.env,
    patience: { totalMs: 120_000, pauseMs: 2_000 },
    print: (text) => console.log(text),
  });
  process.exitCode = code;
  if (code === 0) console.log(safetyNet());
}
