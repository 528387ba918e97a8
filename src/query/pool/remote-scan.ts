// The Worker's side of one Scanner: questions go out packed, with a deadline; a Scanner that fails is tried once more.
import type { PoolLimits } from "../../model/limits.ts";
import type { ScannerRpc, ScanReply, ScanSessionRpc } from "../../store/scanner-rpc.ts";
import { AppError, isAppError } from "../../util/errors.ts";
import { concatBytes } from "../../util/bytes.ts";
import { pack, unpack } from "../../util/pack.ts";
import { within } from "../../util/parallel.ts";
import type { PooledJobs, ScanJob } from "../plan.ts";
import {
  type Answer,
  type PooledQuery,
  type Question,
  type QuestionName,
  type Questions,
  QUESTIONS_VERSION,
  type ScanRequest,
} from "./questions.ts";

import type { ScanMember } from "./scan-group.ts";

export interface RemoteScanPorts {
  readonly limits: PoolLimits;
  readonly scannerOf: (name: string) => ScannerRpc;
  readonly signal: AbortSignal | undefined;
}

/** A stub of the platform's is given back by disposing of it. */
type Session = ScanSessionRpc & Partial<Disposable>;

export class RemoteScan implements ScanMember {
  readonly jobs: ReadonlyMap<string, ScanJob>;
  readonly isOfBlocks = true;
  readonly #pooled: PooledJobs;
  readonly #query: PooledQuery;
  readonly #ports: RemoteScanPorts;
  /** Jobs that failed: the next session is not given them. */
  readonly #failed = new Set<string>();
  /** What was asked and answered in this evaluation: a new session is asked it again, so that it knows as much. */
  #asked: Question[] = [];
  #session: Promise<Session> | undefined;
  #hasFailed = false;
  /** Bytes that went to the Scanner and came from it. */
  messageBytes = 0;

  constructor(pooled: PooledJobs, query: PooledQuery, ports: RemoteScanPorts) {
    this.jobs = new Map(pooled.jobs.map((job) => [job.block.key, job]));
    this.#pooled = pooled;
    this.#query = query;
    this.#ports = ports;
  }

  begin(): void {
    this.#asked = [];
  }

  /** @throws AppError `unavailable` when the Scanner failed twice */
  async ask<K extends QuestionName>(question: Question<K>): Promise<Answer<Questions[K]["answer"]>> {
    for (;;) {
      try {
        const answer = await this.#ask(question);
        if (answer.kind === "failed") for (const { job } of answer.jobs) this.#failed.add(job);
        if (answer.kind === "answered") this.#asked.push(question);
        return answer;
      } catch (error) {
        this.close();
        if (this.#hasFailed || this.#ports.signal?.aborted === true) throw unreachable(this.#pooled, error);
        this.#hasFailed = true;
        await this.#wait(this.#ports.limits.retryAfterMs);
      }
    }
  }

  /** Stops whatever is under way. */
  close(): void {
    const session = this.#session;
    this.#session = undefined;
    void session?.then(end, () => undefined);
  }

  async #ask<K extends QuestionName>(question: Question<K>): Promise<Answer<Questions[K]["answer"]>> {
    const session = await this.#open();
    return this.#answerOf(session, question);
  }

  async #open(): Promise<Session> {
    if (this.#session !== undefined) return this.#session;
    const { scannerOf } = this.#ports;
    const request: ScanRequest = {
      version: QUESTIONS_VERSION,
      query: this.#query,
      jobs: this.#pooled.jobs.filter(({ block }) => !this.#failed.has(block.key)),
    };
    // A stub is of no use after its object has failed once: each session takes a new one.
    this.#session = scannerOf(this.#pooled.scanner).scan(this.#pack(request));
    const session = await this.#within(this.#session);
    for (const question of this.#asked) {
      const answer = await this.#answerOf(session, question);
      if (answer.kind !== "answered") throw new AppError("unavailable", "what was read before is not there");
    }
    return session;
  }

  async #answerOf<K extends QuestionName>(
    session: Session,
    question: Question<K>,
  ): Promise<Answer<Questions[K]["answer"]>> {
    const { maxPartBytes } = this.#ports.limits;
    const parts: Uint8Array[] = [];
    let byteLength = 0;
    let reply: ScanReply = await this.#within(session.ask(this.#pack(question)));
    for (;;) {
      if (reply.state === "gone")
        throw new AppError("unavailable", `scanner ${this.#pooled.scanner} is busy`);
      if (reply.bytes !== undefined) {
        parts.push(reply.bytes);
        byteLength += reply.bytes.length;
        this.messageBytes += reply.bytes.length;
      }
      if (byteLength > maxPartBytes) throw new AppError("too_large", "a scanner's answer is too long");
      if (reply.state === "last") return unpack(concatBytes(parts));
      reply = await this.#within(session.more());
    }
  }

  #pack(message: ScanRequest | Question): Uint8Array {
    const bytes = pack(message, this.#ports.limits.maxMessageBytes);
    this.messageBytes += bytes.length;
    return bytes;
  }

  async #within<T>(promise: Promise<T>): Promise<T> {
    const { signal, limits } = this.#ports;
    return within(untilAborted(promise, signal), limits.callMs, this.#pooled.scanner);
  }

  async #wait(ms: number): Promise<void> {
    await untilAborted(new Promise((resolve) => setTimeout(resolve, ms)), this.#ports.signal);
  }
}

async function end(session: Session): Promise<void> {
  // An object that has failed cannot be told; it holds nothing any more.
  await session.cancel().catch(() => undefined);
  session[Symbol.dispose]?.();
}

/** @throws AppError `unavailable` as soon as the client has gone */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(new AppError("unavailable", "the request was cancelled"));
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function unreachable({ scanner }: PooledJobs, error: unknown): AppError {
  if (isAppError(error)) return error;
  return new AppError("unavailable", `scanner ${scanner} is not reachable`, { cause: error });
}
