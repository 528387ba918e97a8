// Long work in short stretches: who shares the thread is let in between. The clock stands still inside CPU work in
// production, so work is counted by what it is known to cost.

/** Of a stretch, in us. A request passes several turns of the loop, and waits for a stretch at each. */
const STRETCH_US = 1000;

/** What work costs in us on a core that compresses 600 MB/s by zstd 3, at the least favourable level and content. */
export const COST_US = {
  /** A span into its columns. */
  span: 4,
  compressPerByte: 0.005,
  inflatePerByte: 0.0005,
  /** A trace id into a filter, or out of a column. */
  key: 0.4,
  /** The footer of a block, its private parts. */
  open: 1000,
} as const;

export class Stretches {
  readonly #pause: () => Promise<void>;
  #usedUs = 0;

  /** @param pause lets calls that wait run, then goes on */
  constructor(pause: () => Promise<void>) {
    this.#pause = pause;
  }

  /** Whether work of this cost is to wait for `rest`. A piece that is longer than a stretch begins one. */
  isFull(costUs: number): boolean {
    return this.#usedUs > 0 && this.#usedUs + costUs > STRETCH_US;
  }

  /** Counts work. */
  did(costUs: number): void {
    this.#usedUs += costUs;
  }

  /** Ends the stretch. */
  async rest(): Promise<void> {
    this.#usedUs = 0;
    await this.#pause();
  }

  /** Announces work: ends the stretch if that would make it too long. */
  async before(costUs: number): Promise<void> {
    if (this.isFull(costUs)) await this.rest();
    this.did(costUs);
  }

  /** Does all steps, which yield what they cost. */
  async run<T>(steps: Generator<number, T>): Promise<T> {
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value;
      await this.before(step.value);
    }
  }
}

/** Does all steps at once. */
export function runSteps<T>(steps: Generator<number, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}
