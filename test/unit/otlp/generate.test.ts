import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../../..");
const GENERATED = join(ROOT, "src/otlp/gen");

function filesOf(folder: string): Map<string, string> {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".ts"),
  );
  return new Map(names.sort().map((name) => [name, readFileSync(join(folder, name), "utf8")]));
}

test("generated code: is what the .proto files give", () => {
  const folder = mkdtempSync(join(tmpdir(), "rubato-gen-"));
  try {
    const bin = join(ROOT, "node_modules/.bin");
    // The template says where to write, relative to the folder that --output names.
    execFileSync(
      join(bin, "buf"),
      ["generate", "--template", "src/otlp/proto/buf.gen.yaml", "--output", folder],
      {
        cwd: ROOT,
        env: { ...process.env, PATH: `${bin}${delimiter}${process.env["PATH"] ?? ""}` },
      },
    );
    const generated = filesOf(join(folder, "src/otlp/gen"));
    expect(generated.size).toBe(7);
    expect(filesOf(GENERATED)).toEqual(generated);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
