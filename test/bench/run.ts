// `npm run bench`: every bench one after another, each in a process of its own; names as arguments choose some.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = dirname(fileURLToPath(import.meta.url));
const wanted = process.argv.slice(2);
const benches = readdirSync(folder)
  .filter((name) => name.endsWith(".bench.ts"))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .sort();

if (benches.length === 0) {
  console.error(`no bench matches ${wanted.join(" ")}`);
  process.exitCode = 1;
}
for (const name of benches) {
  console.log(`\n== ${name}`);
  const { status } = spawnSync(process.execPath, ["--expose-gc", join(folder, name)], { stdio: "inherit" });
  if (status !== 0) {
    console.error(`${name} failed`);
    process.exitCode = 1;
  }
}
