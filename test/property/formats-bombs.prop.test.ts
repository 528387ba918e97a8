// Bombs: what becomes of them, and that an isolate outlives them. Each runs in a process whose heap is no larger than an
// isolate, so that a decoder without a bound ends it.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { PLATFORM } from "../../src/model/limits.ts";
import type { BombReport } from "../support/bomb-memory.ts";
import { ROOT } from "../support/child.ts";
import { BOMBS, DEPTH, EMPTY_SPANS, LIES, MEMBERS } from "../support/format-bombs.ts";

const MIB = 1024 * 1024;
// Young garbage is collected by the MiB, as an isolate does, and not by what the machine has to spare.
const FLAGS = [
  "--expose-gc",
  `--max-old-space-size=${PLATFORM.isolateBytes / MIB}`,
  "--max-semi-space-size=1",
];
/**
 * v1 JSON is parsed as a whole, within `limits.maxJsonTokens`: 65 MiB of live heap, which the flag holds below an
 * isolate, in pages that are half empty while JSON.parse fills them.
 */
const PARSED_BYTES = 1.5 * PLATFORM.isolateBytes;
/** Bytes that a bomb without many members may take, body included: the largest of their bodies is 5 MB. */
const SMALL_BYTES = 32 * MIB;

const folder = mkdtempSync(join(tmpdir(), "rubato-bombs-"));
afterAll(() => rmSync(folder, { recursive: true }));

const isV1Json = (name: string): boolean => name.endsWith("v1 json");

function explode(names: readonly string[]): BombReport[] {
  const args = names.flatMap((name, i) => {
    const file = join(folder, String(i));
    writeFileSync(file, BOMBS[name]!.body());
    return [name, file];
  });
  const script = join(ROOT, "test/support/bomb-memory.ts");
  const { stdout, stderr } = spawnSync(process.execPath, [...FLAGS, script, ...args], { encoding: "utf8" });
  const reports = stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as BombReport);
  // A process that ran out of heap has reported less.
  expect(reports.length === names.length ? "" : stderr).toBe("");
  return reports;
}

/** The reports of another outcome than the bomb's, or of `maxBytes` and more. */
function exceptions(reports: readonly BombReport[], maxBytes: number): BombReport[] {
  return reports.filter(
    ({ name, outcome, peakBytes }) => outcome !== BOMBS[name]!.outcome || peakBytes >= maxBytes,
  );
}

describe("bombs", () => {
  test.each(Object.keys(EMPTY_SPANS))("%s", (name) => {
    expect(exceptions(explode([name]), isV1Json(name) ? PARSED_BYTES : SMALL_BYTES)).toEqual([]);
  });

  test.each(Object.keys(MEMBERS))("%s", (name) => {
    expect(exceptions(explode([name]), PLATFORM.isolateBytes)).toEqual([]);
  });

  test("lengths and counts that lie", () => {
    expect(exceptions(explode(Object.keys(LIES)), SMALL_BYTES)).toEqual([]);
  });

  test("depth", () => {
    expect(exceptions(explode(Object.keys(DEPTH).filter((name) => !isV1Json(name))), SMALL_BYTES)).toEqual(
      [],
    );
  });

  test("depth, zipkin v1 json", () => {
    expect(exceptions(explode(Object.keys(DEPTH).filter(isV1Json)), PARSED_BYTES)).toEqual([]);
  });
});
