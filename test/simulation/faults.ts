// How bad a seed's world is. Each seed has its own mixture: with all faults at once some would hide others.
import { makeRandom, type Random } from "../support/random.ts";
import type { GetFate, PutFate } from "./sim-store.ts";

export interface Mixture {
  /** Weights of the steps. */
  readonly steps: ReadonlyMap<string, number>;
  readonly storageFault: number;
  readonly syncFault: number;
  readonly putFault: number;
  readonly getFault: number;
  readonly listFault: number;
  readonly deleteFault: number;
  readonly callFault: number;
  readonly stall: number;
}

/** Usual weight of each kind of step; a seed leaves some out and doubles others. */
const STEPS: readonly (readonly [string, number])[] = [
  ["resume", 60],
  ["append", 12],
  ["burst", 3],
  ["redeliver", 3],
  ["lookup", 6],
  ["abort", 0.5],
  ["pass", 8],
  ["pass long", 0.8],
  ["alarm", 8],
  ["alarm early", 0.5],
  ["alarm doubled", 1],
  ["alarm lost", 0.5],
  ["jump forward", 0.4],
  ["jump back", 0.4],
  ["jump to epoch", 0.3],
  ["crash", 0.8],
  ["crash at put", 4],
  ["evict", 2],
  ["outage", 0.3],
  ["rest", 0.2],
  ["settle", 0.08],
  ["compact", 12],
  ["compact doubled", 1],
  ["compactor crash", 0.7],
  ["compactor crash at commit", 12],
  ["compactor evict", 0.5],
  ["compactor alarm lost", 0.3],
  ["compactor forks", 0.5],
  ["tenant alarm", 4],
  ["tenant crash", 0.5],
  ["tenant evict", 0.5],
  ["worker restarts", 0.5],
  ["grow", 0.3],
  ["retention", 0.15],
  ["rows lost", 0.4],
  ["rebuild", 0.3],
  ["tenant deleted", 0.05],
];

export const STEP_NAMES: readonly string[] = STEPS.map(([name]) => name);

const ALWAYS = new Set(["resume", "append", "pass", "alarm", "compact", "tenant alarm", "rest"]);

export function mixtureOf(seed: number): Mixture {
  const random = makeRandom(seed ^ 0x5eed);
  const steps = STEPS.map(([name, weight]): [string, number] => [
    name,
    weight * random.pick(ALWAYS.has(name) ? [0.3, 1, 1, 2] : [0, 0.5, 1, 1, 2, 4]),
  ]);
  return {
    steps: new Map(steps),
    storageFault: random.pick([0, 0, 0.01, 0.05]),
    syncFault: random.pick([0, 0, 0.005, 0.02]),
    putFault: random.pick([0, 0.1, 0.3, 0.6]),
    getFault: random.pick([0, 0.05, 0.2]),
    listFault: random.pick([0, 0.1, 0.3]),
    deleteFault: random.pick([0.2, 0.4, 0.6]),
    callFault: random.pick([0, 0, 0.03, 0.1]),
    stall: random.pick([0, 0.05, 0.2]),
  };
}

export type DeleteFate = "deleted" | "refused" | "some deleted" | "deleted, answer lost";
export type CallFate = "done" | "lost" | "answer lost" | "doubled";

const CALL_FACTOR = { append: 1, commit: 2, read: 0.1 } as const;
const PUT_FAULTS: readonly PutFate[] = ["refused", "stored, answer lost", "stored late"];
const GET_FAULTS: readonly GetFate[] = ["refused", "broken"];
const DELETE_FAULTS: readonly DeleteFate[] = ["refused", "some deleted", "deleted, answer lost"];
/** Most steps of a merge are not worth a wait. */
const PAUSES = 0.25;

export class Faults {
  /** That of the current step. */
  random: Random = makeRandom(0);
  /** Nothing fails for the time being. */
  suspended = false;
  /** Puts fail, all of them. */
  isOutage = false;
  readonly #mixture: Mixture;

  constructor(mixture: Mixture) {
    this.#mixture = mixture;
  }

  #happens(probability: number): boolean {
    return !this.suspended && probability > 0 && this.random.chance(probability);
  }

  storageFails(call: "append" | "commit" | "read"): boolean {
    // So that each fails now and then, however often it is called.
    return this.#happens(this.#mixture.storageFault * CALL_FACTOR[call]);
  }

  syncFails(): boolean {
    return this.#happens(this.#mixture.syncFault);
  }

  putFate(): PutFate {
    if (this.isOutage && !this.suspended) return "refused";
    return this.#happens(this.#mixture.putFault) ? this.random.pick(PUT_FAULTS) : "stored";
  }

  uploadFails(): boolean {
    if (this.isOutage && !this.suspended) return true;
    return this.#happens(this.#mixture.putFault / 2);
  }

  /** A crash does not call a request back that is on its way. */
  putSurvives(): boolean {
    return !this.suspended && this.random.chance(0.5);
  }

  putLateMs(): number {
    return this.random.pick([0, 0, 5000, 60_000]);
  }

  getFate(): GetFate {
    return this.#happens(this.#mixture.getFault) ? this.random.pick(GET_FAULTS) : "read";
  }

  listFails(): boolean {
    return this.#happens(this.#mixture.listFault);
  }

  deleteFate(): DeleteFate {
    return this.#happens(this.#mixture.deleteFault) ? this.random.pick(DELETE_FAULTS) : "deleted";
  }

  callFate(mayDouble: boolean): CallFate {
    if (!this.#happens(this.#mixture.callFault)) return "done";
    return this.random.pick(
      mayDouble ? ["lost", "answer lost", "doubled", "doubled"] : ["lost", "answer lost"],
    );
  }

  /** Whether a compactor's step is one that others may come between. */
  pauses(): boolean {
    return !this.suspended && this.random.chance(PAUSES);
  }

  readerFate(): "reads" | "stalls" | "vanishes" {
    return this.#happens(this.#mixture.stall) ? this.random.pick(["stalls", "vanishes"] as const) : "reads";
  }
}
