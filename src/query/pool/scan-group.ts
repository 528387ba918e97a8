// All who have sources of one query: the Worker with live spans, Scanners with blocks. They are asked together.
import { PLATFORM } from "../../model/limits.ts";
import { AppError, isAppError, messageOf } from "../../util/errors.ts";
import { settleAll } from "../../util/parallel.ts";
import type { ScanJob } from "../plan.ts";
import { failureOf, type SourceFailure } from "../sources.ts";
import type { Answer, FailedJob, Question, QuestionName, Questions } from "./questions.ts";

/** One of them. */
export interface ScanMember {
  /** By name, as in answers. */
  readonly jobs: ReadonlyMap<string, ScanJob>;
  /** Whether its sources are blocks, which never change: what is known of them is known for good. */
  readonly isOfBlocks: boolean;
  /** What was asked so far no longer matters. */
  begin(): void;
  /** @throws what makes all of its jobs fail */
  ask<K extends QuestionName>(question: Question<K>): Promise<Answer<Questions[K]["answer"]>>;
  close(): void;
}

/** What a member says. */
export interface Said<T> {
  readonly member: ScanMember;
  readonly value: T;
}

export interface FailedPart {
  readonly job: ScanJob;
  readonly failure: SourceFailure;
}

export class ScanGroup {
  #members: readonly ScanMember[];
  /** Of this evaluation only. */
  #joined: ScanMember[] = [];
  readonly #checkAborted: () => void;
  readonly #inspectedBytes = new Map<ScanMember, number>();
  readonly #failures = new Map<ScanJob, SourceFailure>();

  /** @param checkAborted throws when the client has gone */
  constructor(members: readonly ScanMember[], checkAborted: () => void) {
    this.#members = members;
    this.#checkAborted = checkAborted;
  }

  get failures(): FailedPart[] {
    return [...this.#failures].map(([job, failure]) => ({ job, failure }));
  }

  get inspectedBytes(): number {
    return [...this.#inspectedBytes.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  /**
   * Evaluates something with all members. When jobs fail it is done again, without them.
   * @throws what `evaluate` throws for reasons of its own
   */
  async evaluate<T>(evaluate: () => Promise<T>): Promise<T> {
    for (;;) {
      const before = this.#failures.size;
      this.#joined = [];
      for (const member of this.#members) member.begin();
      try {
        return await evaluate();
      } catch (error) {
        this.#checkAborted();
        if (this.#failures.size === before) throw error;
      }
    }
  }

  /** One more member, until the evaluation ends. */
  join(member: ScanMember): void {
    this.#joined.push(member);
  }

  /** Asks all members the same. */
  askAll<K extends QuestionName>(
    name: K,
    input: Questions[K]["input"],
  ): Promise<Said<Questions[K]["answer"]>[]> {
    return this.askEach(name, () => input);
  }

  /** Asks all members for something of their own. */
  askEach<K extends QuestionName>(
    name: K,
    inputOf: (member: ScanMember) => Questions[K]["input"],
  ): Promise<Said<Questions[K]["answer"]>[]> {
    return this.ask(
      [...this.#members, ...this.#joined].map((member) => ({
        member,
        question: { name, input: inputOf(member) },
      })),
    );
  }

  /**
   * The answers, in order.
   * @throws AppError when a member refuses, or failed: then it or the jobs that failed are left out from now on
   */
  async ask<K extends QuestionName>(
    asked: readonly { readonly member: ScanMember; readonly question: Question<K> }[],
  ): Promise<Said<Questions[K]["answer"]>[]> {
    const results = await settleAll(asked, PLATFORM.connections, ({ member, question }) => {
      this.#checkAborted();
      return member.ask(question);
    });
    this.#checkAborted();
    const said: Said<Questions[K]["answer"]>[] = [];
    let problem: Error | undefined;
    for (const [i, { member }] of asked.entries()) {
      const result = results[i];
      if (result?.status === "fulfilled") {
        const answer = result.value;
        this.#inspectedBytes.set(member, answer.inspectedBytes);
        if (answer.kind === "answered") said.push({ member, value: answer.value });
        else problem = this.#problemOf(member, answer);
      } else {
        problem = this.#lose(member, result?.reason);
      }
    }
    if (problem !== undefined) throw problem;
    return said;
  }

  close(): void {
    for (const member of this.#members) member.close();
  }

  #problemOf(
    member: ScanMember,
    answer: Answer<unknown> & { readonly kind: "failed" | "refused" },
  ): AppError {
    if (answer.kind === "refused") return new AppError(answer.error.kind, answer.error.message);
    this.#fail(member, answer.jobs);
    return new AppError("unavailable", "some blocks cannot be read");
  }

  #fail({ jobs }: ScanMember, failed: readonly FailedJob[]): void {
    for (const { job: name, failure } of failed) {
      const job = jobs.get(name);
      if (job !== undefined) this.#failures.set(job, failure);
    }
  }

  /** All that it had to do is left out. */
  #lose(member: ScanMember, reason: unknown): Error {
    member.close();
    this.#members = this.#members.filter((each) => each !== member);
    this.#inspectedBytes.delete(member);
    for (const [name, job] of member.jobs) {
      if (!this.#failures.has(job)) this.#failures.set(job, failureOf(name, reason));
    }
    return reason instanceof Error ? reason : new Error(messageOf(reason));
  }
}

/** Whether a member found a question too large to be answered at once. */
export function isTooLarge(error: unknown): boolean {
  return isAppError(error) && error.kind === "too_large";
}
