// Which blocks are merged, rewritten or indexed next: a pure function of what the catalogue knows.

const DAY_MS = 86_400_000;

/** What the planner knows about a block of one shard. */
export interface PlanBlock {
  readonly id: number;
  /** When its newest spans were flushed, in ms: decides its date. A block of version 1 has its id here. */
  readonly arrivedMs: number;
  readonly spanCount: number;
  readonly traceCount: number;
  /** Inflated span bytes. */
  readonly rawBytes: number;
  /** Version of the block format. */
  readonly version: number;
  /** Whether it is in a filter group. Such blocks of the newest version may be left out: nothing is planned for them. */
  readonly indexed: boolean;
}

export interface PlanLimits {
  /** Blocks of an older version are rewritten. */
  readonly newestVersion: number;
  /** A block of this weight (see `blockWeight`) is one full row group. */
  readonly rowGroupWeight: number;
  /** Weight that no merged block exceeds, unless two row groups already do. */
  readonly blockWeight: number;
  /** Blocks of about the same weight that are worth a merge; the factor between one tier's weight and the next. */
  readonly fanIn: number;
  /** Inputs of one merge at most: each costs memory. */
  readonly inputsMax: number;
  /** A date's rest is merged this long after its end, in ms: flushes of its last epochs have come by then. */
  readonly dayMarginMs: number;
  /** Trace ids of one filter group: about as many. */
  readonly groupTraces: number;
  /** Blocks of one filter group at most. */
  readonly groupBlocks: number;
}

/** The ids of its blocks, ascending. */
export type PlannedJob =
  | {
      readonly kind: "merge";
      readonly inputs: readonly number[];
      /** Greatest of the inputs: the output has their date. */
      readonly arrivedMs: number;
    }
  | { readonly kind: "index"; readonly blocks: readonly number[] };

export const PLAN_LIMITS: PlanLimits = {
  newestVersion: 2,
  rowGroupWeight: 500_000,
  blockWeight: 5_000_000,
  fanIn: 8,
  inputsMax: 10,
  dayMarginMs: 3_600_000,
  groupTraces: 800_000,
  groupBlocks: 64,
};

/**
 * The jobs that can be done at once, most urgent first. No block is in two of them, so any of them may be carried out
 * and the rest planned anew. Carrying all out again and again ends. Merges never mix dates (UTC, of arrival).
 * @param now ms
 */
export function planJobs(blocks: readonly PlanBlock[], now: number, limits: PlanLimits): PlannedJob[] {
  void blocks;
  void now;
  void limits;
  void DAY_MS;
  return [];
}
