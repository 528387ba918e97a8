// Work that is done a slice at a time, and only as long as somebody asks for the next one.
import { AppError } from "../../util/errors.ts";

export class Slices {
  readonly #size: number;
  #left = 0;
  /** Of work that waits. */
  #next: PromiseWithResolvers<undefined> | undefined;
  /** Of who asked for the slice: resolved when it is used up. */
  #used = Promise.withResolvers<undefined>();
  #isCancelled = false;

  constructor(size: number) {
    this.#size = size;
  }

  /** Lets another slice be done. @returns when it is used up; never, when the work ends before */
  grant(): Promise<undefined> {
    this.#left = this.#size;
    this.#used = Promise.withResolvers();
    this.#next?.resolve(undefined);
    this.#next = undefined;
    return this.#used.promise;
  }

  /** @throws AppError `unavailable` when the work is no longer wanted */
  checkCancelled(): void {
    if (this.#isCancelled) throw new AppError("unavailable", "the request was cancelled");
  }

  /** Takes what a piece of work costs, and waits when nothing is left. @throws as checkCancelled */
  async spend(cost: number): Promise<void> {
    this.checkCancelled();
    this.#left -= cost;
    if (this.#left > 0) return;
    this.#next ??= Promise.withResolvers();
    this.#used.resolve(undefined);
    await this.#next.promise;
    this.checkCancelled();
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#next?.resolve(undefined);
    this.#next = undefined;
  }
}
