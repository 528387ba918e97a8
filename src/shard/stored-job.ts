// The job row's text.
import type { ShardJob } from "../store/rpc.ts";
import { assert } from "../util/assert.ts";

const KINDS: ReadonlySet<unknown> = new Set<ShardJob["kind"]>(["merge", "index", "sweep"]);

export function jobText(job: ShardJob): string {
  return JSON.stringify(job);
}

/** The inverse of `jobText`. */
export function parseJob(text: string): ShardJob {
  const value: unknown = JSON.parse(text);
  assert(isJob(value), "a stored job is of a known kind");
  return value;
}

/** Only this object writes these rows: what was a job then is one now. */
function isJob(value: unknown): value is ShardJob {
  return typeof value === "object" && value !== null && "kind" in value && KINDS.has(value.kind);
}
