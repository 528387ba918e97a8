// What Cloudflare's deploy button needs of the repository.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const manifest = JSON.parse(readFileSync("package.json", "utf8")) as {
  scripts: Record<string, string>;
  cloudflare: { bindings: Record<string, { description: string }> };
};
const config = readFileSync("wrangler.toml", "utf8");
const secrets = Array.from(
  readFileSync(".dev.vars.example", "utf8").matchAll(/^([A-Z0-9_]+)=(.*)$/gm),
  ([, name = "", value]) => ({ name, value }),
);

describe("deploy button", () => {
  test("it deploys by npm run deploy", () => {
    expect(manifest.scripts["deploy"]).toBe("node src/cli/deploy.ts");
  });

  test("it asks for the admin secret, and nothing is filled in that somebody might keep", () => {
    expect(secrets).toEqual([{ name: "ADMIN_TOKEN", value: "" }]);
  });

  test("every binding and secret is described, and nothing else", () => {
    const bound = Array.from(config.matchAll(/^(?:name|binding) = "([A-Z_]+)"$/gm), ([, name = ""]) => name);
    expect(bound.length).toBeGreaterThan(3);
    const described = Object.entries(manifest.cloudflare.bindings);
    expect(described.map(([name]) => name).sort()).toEqual(
      [...bound, ...secrets.map(({ name }) => name)].sort(),
    );
    for (const [, { description }] of described) expect(description).toMatch(/^[A-Z].*\.$/);
  });

  test("the README has the button", () => {
    expect(readFileSync("README.md", "utf8")).toMatch(
      /\[!\[Deploy to Cloudflare\]\(https:\/\/deploy\.workers\.cloudflare\.com\/button\)\]\(https:\/\/deploy\.workers\.cloudflare\.com\/\?url=https:\/\/github\.com\/\S+\)/,
    );
  });
});
