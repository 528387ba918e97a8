// Checks properties of the source tree itself: layering, size, leftovers, pinned versions.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path/posix";
import { describe, expect, test } from "vitest";

/** Folders from the lowest layer to the highest. A file may import its own folder and lower layers. */
const LAYERS: readonly (readonly string[])[] = [
  ["src/util", "migrations"],
  ["src/model"],
  ["src/otlp"],
  ["src/zipkin", "src/jaeger", "src/traceql"],
  ["src/segment", "src/block"],
  ["src/store"],
  ["src/usage"],
  ["src/compaction"],
  ["src/ingest", "src/scan", "src/shard", "src/tenant"],
  ["src/access", "src/query"],
  ["src/insight"],
  ["src/http", "durable-objects"],
  ["src"], // src/index.ts, the composition root
  ["src/cli"], // commands for a developer's machine; never part of the Worker
];

/** Where a module that reaches outside may be imported. */
const CONFINED: readonly { pattern: RegExp; allowed: RegExp }[] = [
  { pattern: /from "hono/, allowed: /^src\/(http\/|index\.ts)/ },
  { pattern: /from "cloudflare:/, allowed: /^(durable-objects\/|src\/index\.ts)/ },
  { pattern: /from "node:zlib"/, allowed: /^src\/util\/codec\.ts/ },
  {
    pattern: /from "node:(?!zlib)/,
    allowed: /^src\/(cli\/|util\/utf8\.ts|store\/(memory-store|s3-client)\.ts)/,
  },
  { pattern: /from "aws4fetch"/, allowed: /^src\/store\/s3-client\.ts/ },
  { pattern: /\bDate\.now\(|\bMath\.random\(/, allowed: /^src\/(util\/clock\.ts|cli\/)/ },
  { pattern: /\bsql\.exec\b/, allowed: /^durable-objects\// },
  { pattern: /\bR2Bucket\b/, allowed: /^src\/store\// },
];

const FILE_LINES_MAX = 500;
const LEFTOVERS = /\bFIXME\b|\bTODO\b|\bdebugger\b|\.only\(|XXX|oxlint-disable|@ts-(ignore|expect-error)/;
const TOP_LEVEL = new Set([
  "package.json",
  "package-lock.json",
  "wrangler.toml",
  "tsconfig.json",
  "src",
  "durable-objects",
  "migrations",
  "test",
  "README.md",
  "LICENSE",
  "CHANGELOG.md",
]);

const files = ["src", "durable-objects", "migrations"].flatMap((root) =>
  readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts") && !name.includes("gen/"))
    .map((name) => join(root, name)),
);
const textOf = new Map(files.map((file) => [file, readFileSync(file, "utf8")]));

function layerOf(path: string): { folder: string; level: number } {
  for (let dir = dirname(path); dir !== "."; dir = dirname(dir)) {
    const level = LAYERS.findIndex((folders) => folders.includes(dir));
    if (level >= 0) return { folder: dir, level };
  }
  throw new Error(`${path} stands in no layer; add its folder to LAYERS`);
}

function importsOf(file: string): string[] {
  return [...(textOf.get(file) ?? "").matchAll(/\b(?:from |import\()"(\.[^"]+)"/g)].map(([, spec = ""]) =>
    join(dirname(file), spec),
  );
}

describe("tidy", () => {
  test("layers: imports point down", () => {
    const wrong = files.flatMap((file) => {
      const from = layerOf(file);
      return importsOf(file)
        .filter((target) => {
          const to = layerOf(target);
          return to.folder !== from.folder && to.level >= from.level;
        })
        .map((target) => `${file} -> ${target}`);
    });
    expect(wrong).toEqual([]);
  });

  test("layers: a planted upward import is found", () => {
    const from = layerOf("src/util/bytes.ts");
    const to = layerOf("src/http/app.ts");
    expect(to.level).toBeGreaterThan(from.level);
  });

  test("imports: what reaches outside stays in its place", () => {
    const wrong = files.flatMap((file) =>
      CONFINED.filter(
        ({ pattern, allowed }) => pattern.test(textOf.get(file) ?? "") && !allowed.test(file),
      ).map(({ pattern }) => `${file}: ${pattern.source}`),
    );
    expect(wrong).toEqual([]);
  });

  test("size: no file is longer than FILE_LINES_MAX", () => {
    const long = files.filter((file) => (textOf.get(file) ?? "").split("\n").length > FILE_LINES_MAX + 1);
    expect(long).toEqual([]);
  });

  test("leftovers: none in the tree", () => {
    expect(files.filter((file) => LEFTOVERS.test(textOf.get(file) ?? ""))).toEqual([]);
  });

  test("imports: every file is used", () => {
    const used = new Set(files.flatMap((file) => importsOf(file)));
    const entries = /^(src\/index\.ts|src\/cli\/)/;
    // What only tests and tools use: the in-memory adapters of the ports.
    const testOnly = new Set([
      "src/store/memory-store.ts",
      "src/shard/memory-storage.ts",
      "src/tenant/memory-storage.ts",
      "src/block/reader.ts",
    ]);
    expect(files.filter((file) => !used.has(file) && !entries.test(file) && !testOnly.has(file))).toEqual([]);
  });

  test("top level: only what the project's layout names", () => {
    const names = execFileSync("git", ["ls-tree", "--name-only", "HEAD"], { encoding: "utf8" })
      .trim()
      .split("\n");
    expect(names.filter((name) => !name.startsWith(".") && !TOP_LEVEL.has(name))).toEqual([]);
  });

  test("dependencies: exact versions, no download addresses", () => {
    const manifest = JSON.parse(readFileSync("package.json", "utf8")) as Record<
      string,
      Record<string, string>
    >;
    const versions = Object.entries({ ...manifest["dependencies"], ...manifest["devDependencies"] });
    expect(
      versions.filter(([, version]) => !/^(npm:@?[\w/-]+@)?\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)),
    ).toEqual([]);
    expect(readFileSync("package-lock.json", "utf8")).not.toContain('"resolved"');
  });
});
