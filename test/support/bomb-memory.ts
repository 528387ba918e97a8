// Runs bombs of format-bombs.ts in a process of its own and prints what became of each and the memory that it took.
// Arguments: pairs of a bomb's name and the file that holds its body, which is made elsewhere, so that what that takes is
// not counted.
import { readFileSync } from "node:fs";
import { BOMBS } from "./format-bombs.ts";
import { peakBytes, residentBytes, resetPeak } from "./process-stats.ts";

/** What the process prints, as JSON, a line for each bomb. */
export interface BombReport {
  readonly name: string;
  readonly outcome: string;
  /** The most that the process held above what it held in the beginning: the body, and all that was made of it. */
  readonly peakBytes: number;
}

const args = process.argv.slice(2);
const collect = (globalThis as { gc?: () => void }).gc;
if (collect === undefined) throw new Error("run with --expose-gc");

// The decoders are loaded and have run once.
for (const { run } of Object.values(BOMBS)) run(new Uint8Array(16));
collect();
const before = residentBytes(process.pid);

for (let i = 0; i < args.length; i += 2) {
  const [name = "", file = ""] = args.slice(i, i + 2);
  const bomb = BOMBS[name];
  if (bomb === undefined) throw new Error(`no bomb "${name}"`);
  collect();
  resetPeak(process.pid);
  const { buffer, byteOffset, length } = readFileSync(file);
  const outcome = bomb.run(new Uint8Array(buffer, byteOffset, length));
  const report: BombReport = { name, outcome, peakBytes: peakBytes(process.pid) - before };
  console.log(JSON.stringify(report));
}
