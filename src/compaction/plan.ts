// Which blocks are merged, rewritten or indexed next: a pure function of what the catalogue knows.

const DAY_MS = 86_400_000;
/** Inflated bytes of a span above which it weighs more than one; usual are 300 to 600. */
const SPAN_BYTES = 512;
/** A group is closed when it has this part of the trace ids that it may have. */
const GROUP_FULL = 0.9;

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
  /** Weight of one full row group, see `weightOf`. */
  readonly rowGroupWeight: number;
  /** Weight that no merge exceeds. A block of half of it is finished. */
  readonly blockWeight: number;
  /** Blocks of a tier that are merged into one of the next. Also the factor between the tiers. */
  readonly fanIn: number;
  /** Inputs of one merge: each takes memory. */
  readonly inputsMax: number;
  /** Inputs of one merge whose output is at most one row group: they are small. */
  readonly smallInputsMax: number;
  /** How long after a date's end its rest is merged, in ms: the flushes of its last epochs have come by then. */
  readonly dayMarginMs: number;
  /** Trace ids of one filter group, and of one block. */
  readonly groupTraces: number;
  /** Blocks of one filter group. */
  readonly groupBlocks: number;
}

/** The ids of its blocks, in order of arrival. */
export type PlannedJob =
  | {
      readonly kind: "merge";
      readonly inputs: readonly number[];
      /** The greatest of the inputs: the output has their date. */
      readonly arrivedMs: number;
    }
  | { readonly kind: "index"; readonly blocks: readonly number[] };

export const PLAN_LIMITS: PlanLimits = {
  newestVersion: 2,
  rowGroupWeight: 500_000,
  blockWeight: 5_000_000,
  fanIn: 8,
  inputsMax: 10,
  smallInputsMax: 16,
  dayMarginMs: 3_600_000,
  groupTraces: 800_000,
  groupBlocks: 64,
};

/**
 * Work and memory that a block costs, in usual spans: large spans and many short traces weigh more than their number.
 * A block of `blockWeight` so has at most `groupTraces` traces.
 */
export function weightOf(
  block: Pick<PlanBlock, "spanCount" | "traceCount" | "rawBytes">,
  limits: PlanLimits,
): number {
  const traces = (block.traceCount * limits.blockWeight) / limits.groupTraces;
  return Math.max(1, block.spanCount, block.rawBytes / SPAN_BYTES, traces);
}

/**
 * The jobs that can be done at once, most urgent first. No block is in two of them, so any one may be carried out and
 * the rest be planned anew; doing so again and again ends. Merges never mix dates (UTC, of arrival). Deterministic.
 *
 * Within a date, blocks of about the same weight merge into one of the next tier, so that a span is rewritten once a
 * tier. When the date is over its rest merges into blocks of `blockWeight`, of neighbours in time. What is finished is
 * indexed in groups.
 * @param now ms
 */
export function planJobs(blocks: readonly PlanBlock[], now: number, limits: PlanLimits): PlannedJob[] {
  const planner = new Planner(now, limits);
  const open = blocks.filter(({ indexed, version }) => !indexed || version < limits.newestVersion);
  const dates = Map.groupBy(open.toSorted(byArrival), ({ arrivedMs }) => Math.floor(arrivedMs / DAY_MS));
  for (const [date, members] of [...dates].sort(([a], [b]) => a - b)) planner.planDate(date, members);
  return planner.jobs();
}

function byArrival(a: PlanBlock, b: PlanBlock): number {
  return a.arrivedMs - b.arrivedMs || a.id - b.id;
}

/** Blocks that lie together, with their weight. */
interface Bin {
  readonly blocks: PlanBlock[];
  weight: number;
  readonly largest: number;
}

class Planner {
  readonly #now: number;
  readonly #limits: PlanLimits;
  readonly #merges: Bin[] = [];
  readonly #finished: PlanBlock[] = [];

  constructor(now: number, limits: PlanLimits) {
    this.#now = now;
    this.#limits = limits;
  }

  /** @param blocks all open blocks of the date, by arrival */
  planDate(date: number, blocks: readonly PlanBlock[]): void {
    const isOver = this.#now >= (date + 1) * DAY_MS + this.#limits.dayMarginMs;
    const isGrowing = (block: PlanBlock): boolean => !block.indexed && this.#tier(block) > 0;
    const growing = blocks.filter(isGrowing);
    const merges = isOver ? this.#planRest(growing) : this.#planTiers(growing);
    this.#merges.push(...merges);
    // What is left of a date that is over, and has nothing to merge, stays as it is.
    const isSettled = isOver && merges.length === 0;
    for (const block of blocks) {
      if (isGrowing(block) && !isSettled) continue;
      if (block.version < this.#limits.newestVersion) this.#merges.push(this.#bin([block]));
      else this.#finished.push(block);
    }
  }

  /** Indexing first, which is cheap; then merges by weight: small ones free most blocks for the least work. */
  jobs(): PlannedJob[] {
    const merges = this.#merges.toSorted(
      (a, b) => a.weight - b.weight || (a.blocks[0]?.id ?? 0) - (b.blocks[0]?.id ?? 0),
    );
    return [
      ...this.#groups().map((blocks): PlannedJob => ({ kind: "index", blocks: idsOf(blocks) })),
      ...merges.map(({ blocks }): PlannedJob => {
        const inputs = blocks.toSorted(byArrival);
        const arrivedMs = Math.max(...inputs.map((block) => block.arrivedMs));
        return { kind: "merge", inputs: idsOf(inputs), arrivedMs };
      }),
    ];
  }

  /** 0 for a block that is finished, else how many factors of `fanIn` it is below that, rounded up. */
  #tier(block: PlanBlock): number {
    let bound = this.#limits.blockWeight / 2;
    let tier = 0;
    for (; weightOf(block, this.#limits) < bound; tier++) bound /= this.#limits.fanIn;
    return tier;
  }

  /** While spans still come: groups of one tier that are full. */
  #planTiers(blocks: readonly PlanBlock[]): Bin[] {
    const { fanIn, rowGroupWeight } = this.#limits;
    const tiers = Map.groupBy(blocks, (block) => this.#tier(block));
    return [...tiers].flatMap(([tier, members]) => {
      // A block of the first tier is a row group or more already, and its neighbours fill a block of several.
      const bins = this.#pack(members, tier === 1 ? Infinity : rowGroupWeight);
      const last = bins.at(-1);
      const isFull =
        last !== undefined && (last.blocks.length >= fanIn || (tier > 1 && last.weight >= rowGroupWeight));
      return (isFull ? bins : bins.slice(0, -1)).filter((bin) => bin.blocks.length > 1);
    });
  }

  /** Neighbours as long as they fit into one block and weigh less than `enough`. All bins but the last are full. */
  #pack(blocks: readonly PlanBlock[], enough: number): Bin[] {
    const { blockWeight, inputsMax } = this.#limits;
    const bins: Bin[] = [];
    for (const block of blocks) {
      const last = bins.at(-1);
      const wider = this.#bin([...(last?.blocks ?? []), block]);
      const isOpen = last !== undefined && last.weight < enough;
      if (isOpen && wider.weight <= blockWeight && wider.blocks.length <= inputsMax)
        bins[bins.length - 1] = wider;
      else bins.push(this.#bin([block]));
    }
    return bins;
  }

  /** When the date is over: first its small blocks into one, then neighbours into blocks as large as may be. */
  #planRest(blocks: readonly PlanBlock[]): Bin[] {
    const small = this.#smallest(blocks.filter((block) => this.#tier(block) > 1));
    if (small !== undefined) return [small];
    return this.#pack(blocks, Infinity).filter((bin) => this.#isWorthIt(bin));
  }

  /** The lightest blocks, as many as one merge may have: so a span is rewritten least often. */
  #smallest(blocks: readonly PlanBlock[]): Bin | undefined {
    const { inputsMax, rowGroupWeight, smallInputsMax } = this.#limits;
    const byWeight = blocks.toSorted(
      (a, b) => weightOf(a, this.#limits) - weightOf(b, this.#limits) || byArrival(a, b),
    );
    let bin = this.#bin(byWeight.slice(0, smallInputsMax));
    while (bin.blocks.length > inputsMax && bin.weight > rowGroupWeight)
      bin = this.#bin(bin.blocks.slice(0, -1));
    while (bin.blocks.length > 1 && !this.#isWorthIt(bin)) bin = this.#bin(bin.blocks.slice(0, -1));
    return bin.blocks.length > 1 ? bin : undefined;
  }

  /** A large block is not rewritten for a straggler that is a small part of it. */
  #isWorthIt({ blocks, weight, largest }: Bin): boolean {
    return blocks.length > 1 && (weight - largest) * this.#limits.fanIn >= largest;
  }

  #bin(blocks: PlanBlock[]): Bin {
    const weights = blocks.map((block) => weightOf(block, this.#limits));
    return {
      blocks,
      weight: weights.reduce((sum, weight) => sum + weight, 0),
      largest: Math.max(0, ...weights),
    };
  }

  /** Finished blocks in order of arrival, in groups that are full. */
  #groups(): PlanBlock[][] {
    const { groupBlocks, groupTraces } = this.#limits;
    const groups: PlanBlock[][] = [];
    let group: PlanBlock[] = [];
    let traces = 0;
    for (const block of this.#finished.toSorted(byArrival)) {
      if (traces + block.traceCount > groupTraces && group.length > 0) {
        groups.push(group);
        group = [];
        traces = 0;
      }
      group.push(block);
      traces += block.traceCount;
      if (traces < GROUP_FULL * groupTraces && group.length < groupBlocks) continue;
      groups.push(group);
      group = [];
      traces = 0;
    }
    return groups;
  }
}

function idsOf(blocks: readonly PlanBlock[]): number[] {
  return blocks.map(({ id }) => id);
}
