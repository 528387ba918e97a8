// Sources of one isolate that can be asked, in jobs that fail one by one.
import { PLATFORM } from "../../model/limits.ts";
import type { SpanSource } from "../../traceql/storage.ts";
import { isAppError } from "../../util/errors.ts";
import { settleAll } from "../../util/parallel.ts";
import { failureOf } from "../sources.ts";
import type { WatchedSource } from "../watched-source.ts";
import {
  type CompiledQuery,
  compilePooled,
  Evaluation,
  type OnSource,
  passedTests,
  splitColumnsOf,
} from "./evaluate.ts";
import type { Answer, FailedJob, PooledQuery, Question, QuestionName, Questions } from "./questions.ts";

export interface SourceScanPorts {
  /** The sources, by name of their job. */
  readonly sources: readonly WatchedSource<string>[];
  /** Sources of no job. */
  readonly others: readonly SpanSource[];
  /** Jobs that could not be begun. */
  readonly failed: readonly FailedJob[];
  readonly inspectedBytes: () => number;
  /** @throws AppError `unavailable` when the work is no longer wanted */
  readonly checkAborted: () => void;
  readonly onSource: OnSource;
}

export class SourceScan {
  #query: CompiledQuery;
  readonly #ports: SourceScanPorts;
  #sources: readonly WatchedSource<string>[];
  /** Not told yet. */
  #failed: readonly FailedJob[];
  #evaluation: Evaluation;

  constructor(query: CompiledQuery, ports: SourceScanPorts) {
    this.#query = query;
    this.#ports = ports;
    this.#sources = ports.sources;
    this.#failed = ports.failed;
    this.#evaluation = this.#evaluate();
  }

  /** @throws what is neither a source's failure nor the query's fault */
  async ask<K extends QuestionName>({ name, input }: Question<K>): Promise<Answer<Questions[K]["answer"]>> {
    try {
      if (this.#failed.length === 0) {
        const value = await this.#answer(name, input);
        return { kind: "answered", value, inspectedBytes: this.#ports.inspectedBytes() };
      }
    } catch (error) {
      const refusal = await this.#failureOf(error);
      if (refusal !== undefined) return { ...refusal, inspectedBytes: this.#ports.inspectedBytes() };
    }
    const jobs = this.#failed;
    this.#failed = [];
    return { kind: "failed", jobs, inspectedBytes: this.#ports.inspectedBytes() };
  }

  async #answer<K extends QuestionName>(
    name: K,
    input: Questions[K]["input"],
  ): Promise<Questions[K]["answer"]> {
    const answers: {
      readonly [N in QuestionName]: (input: Questions[N]["input"]) => Promise<Questions[N]["answer"]>;
    } = {
      summary: async (query) => this.#begin(query),
      cut: (wanted) => this.#evaluation.cut(wanted),
      digest: () => this.#evaluation.digest(),
      traces: (hashes) => this.#evaluation.traces(hashes),
      find: (split) => this.#evaluation.find(split),
      show: (found) => this.#evaluation.show(found),
      measure: (split) => this.#evaluation.measure(split),
      exemplars: (chosen) => this.#evaluation.exemplars(chosen),
      gather: (wanted) => this.#evaluation.gather(wanted),
      tagNames: () => this.#evaluation.tagNames(),
      tagValues: () => this.#evaluation.tagValues(),
    };
    return answers[name](input);
  }

  #begin(query: PooledQuery): Questions["summary"]["answer"] {
    this.#query = compilePooled(query);
    this.#evaluation = this.#evaluate();
    const others = this.#ports.others.map((source) => ({ job: "", source }));
    return {
      sources: [...this.#sources.map((source) => ({ job: source.job, source })), ...others].map(
        ({ job, source }) => ({
          job,
          bounds: source.bounds,
          rowCount: source.rowCount,
          split: splitColumnsOf(this.#query, source),
        }),
      ),
      passed: passedTests(this.#query, [...this.#sources, ...this.#ports.others]),
    };
  }

  /** Finds the jobs whose sources failed, or else says why the query is refused. @throws what is neither */
  async #failureOf(error: unknown): Promise<(Answer<never> & { readonly kind: "refused" }) | undefined> {
    this.#ports.checkAborted();
    // What was asked of others at the same time may fail too.
    await settleAll(this.#sources, PLATFORM.connections, (source) => source.settled());
    this.#ports.checkAborted();
    const failed = new Map<string, FailedJob>();
    for (const { job, failure } of this.#sources) {
      if (failure !== undefined) failed.set(job, { job, failure: failureOf(job, failure.reason) });
    }
    if (failed.size === 0) return refusalOf(error);
    this.#failed = [...failed.values()];
    this.#sources = this.#sources.filter(({ job }) => !failed.has(job));
    this.#evaluation = this.#evaluate();
    return undefined;
  }

  #evaluate(): Evaluation {
    const sources = [...this.#sources, ...this.#ports.others];
    return new Evaluation(this.#query, sources, this.#ports.onSource);
  }

  /** Gives up what was read along. */
  release(): void {
    for (const { source } of this.#ports.sources) source.release();
  }
}

function refusalOf(error: unknown): Answer<never> & { readonly kind: "refused" } {
  if (!isAppError(error) || (error.kind !== "invalid_argument" && error.kind !== "too_large")) throw error;
  return { kind: "refused", error: { kind: error.kind, message: error.message }, inspectedBytes: 0 };
}
