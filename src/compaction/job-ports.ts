// What a job needs of the world, and what becomes of it.
import type { ObjectStore } from "../store/object-store.ts";
import type { JobReply, ShardJobsRpc } from "../store/rpc.ts";
import { isAppError } from "../util/errors.ts";

export interface JobPorts {
  readonly objects: ObjectStore;
  readonly shard: ShardJobsRpc;
  /** Bytes from which an output goes up in parts of this length; default 16 MiB. */
  readonly partBytes?: number;
  /** Lets calls that wait run, then goes on. */
  readonly pause: () => Promise<void>;
  readonly sleep: (ms: number) => Promise<void>;
}

/** The shard's answer to the commit, or why there is none and never will be: these blocks, or undefined: who knows. */
export type JobOutcome =
  | JobReply
  | { readonly message: string; readonly damaged: readonly number[] | undefined };

/** Whether the objects are to blame (damaged, gone, a trace too large), so that trying again is no use. */
export function isDamage(error: unknown): boolean {
  return (
    isAppError(error) &&
    (error.kind === "corrupt" || error.kind === "not_found" || error.kind === "too_large")
  );
}
