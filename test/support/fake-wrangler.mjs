// A wrangler that deploys nothing: it plays what FAKE_WRANGLER, a JSON file, says, and writes down how it was called.
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";

const path = process.env.FAKE_WRANGLER;
const state = JSON.parse(readFileSync(path, "utf8"));
const args = process.argv.slice(2);
const stdin = args.includes("put") ? readFileSync(0, "utf8") : "";
appendFileSync(`${path}.calls`, `${JSON.stringify({ args, stdin })}\n`);

const [command, verb, name] = args;
if (command === "deploy") {
  if (state.deployFails !== undefined) {
    console.error(state.deployFails);
    process.exit(1);
  }
  console.log("Uploaded rubato (1.23 sec)");
  const report = { type: "deploy", version: 1, worker_name: "rubato", targets: state.targets };
  const session = { type: "wrangler-session", version: 1 };
  const lines = [session, report].map((line) => JSON.stringify(line)).join("\n");
  writeFileSync(process.env.WRANGLER_OUTPUT_FILE_PATH, `${lines}\n`);
} else if (verb === "list") {
  if (state.listFails) process.exit(1);
  console.log(
    JSON.stringify(
      Object.keys(state.secrets).map((secret) => ({ name: secret, type: "secret_text" })),
      null,
      2,
    ),
  );
} else if (verb === "put") {
  if (state.putFails) process.exit(1);
  state.secrets[name] = stdin.trim();
  writeFileSync(path, JSON.stringify(state));
} else {
  console.error(`fake wrangler does not know ${args.join(" ")}`);
  process.exit(1);
}
