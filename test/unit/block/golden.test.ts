// Blocks of every version that was ever written stay readable: the files are never made anew.
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { dumpBlock } from "../../support/block-dump.ts";

const ROOT = "test/golden/blocks";

const blocks = readdirSync(ROOT, { recursive: true, encoding: "utf8" }).filter((name) =>
  name.endsWith(".parquet"),
);

describe("golden blocks", () => {
  test("there is one of each version", () => {
    expect(blocks).toEqual(expect.arrayContaining(["v1/small.parquet", "v2/small.parquet"]));
  });

  test.for(blocks)("%s reads as its twin says", async (name) => {
    const twin: unknown = JSON.parse(readFileSync(`${ROOT}/${name.replace(".parquet", ".json")}`, "utf8"));
    expect(await dumpBlock(new Uint8Array(readFileSync(`${ROOT}/${name}`)))).toEqual(twin);
  });
});
