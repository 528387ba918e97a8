// Looks into blocks for queries that are larger than one isolate should take: what a Scanner object does.
import type { Limits } from "../../model/limits.ts";
import { PLATFORM } from "../../model/limits.ts";
import { QueryIo } from "../../scan/query-io.ts";
import type { ScanCache } from "../../scan/scan-cache.ts";
import { parseBlockKey, tenantOfScanner } from "../../store/keys.ts";
import type { ScanReply, ScanSessionRpc } from "../../store/scanner-rpc.ts";
import { assert } from "../../util/assert.ts";
import { AppError, isAppError } from "../../util/errors.ts";
import { pack, unpack } from "../../util/pack.ts";
import { Gate, settleAll } from "../../util/parallel.ts";
import { openBlock } from "../scan-sources.ts";
import { failureOf, type RangeReader } from "../sources.ts";
import { WatchedSource } from "../watched-source.ts";
import { compilePooled, expectedIn } from "./evaluate.ts";
import {
  type Answer,
  type FailedJob,
  type Question,
  QUESTIONS_VERSION,
  type ScanRequest,
} from "./questions.ts";
import type { ScannerMemory } from "./scanner-memory.ts";
import { Slices } from "./slices.ts";
import { SourceScan } from "./source-scan.ts";

export interface ScannerPorts {
  readonly limits: Limits;
  readonly objects: RangeReader;
  /** The isolate's. */
  readonly memory: ScannerMemory;
  /** Lets calls that wait come in. */
  readonly pause: () => Promise<void>;
}

export class Scanner {
  readonly #name: string;
  readonly #ports: ScannerPorts;
  /** Has room for the sources that are evaluated at a time. */
  readonly #evaluations: Gate;

  constructor(name: string, ports: ScannerPorts) {
    this.#name = name;
    this.#ports = ports;
    this.#evaluations = new Gate(ports.limits.scan.pool.maxEvaluations);
  }

  /**
   * @param message a packed ScanRequest
   * @returns a session that is gone when there is too much to do or the request is of another version
   * @throws AppError `invalid_argument` for blocks of another tenant
   */
  scan(message: Uint8Array): ScanSessionRpc {
    const request: ScanRequest = unpack(message);
    if (request.version !== QUESTIONS_VERSION) return GONE;
    const tenant = tenantOfScanner(this.#name);
    if (request.jobs.some(({ block }) => parseBlockKey(block.key)?.tenant !== tenant)) {
      throw new AppError("invalid_argument", `a block that is not of the tenant of ${this.#name}`);
    }
    if (!this.#ports.memory.begin()) return GONE;
    return new ScanSession(request, {
      ...this.#ports,
      cache: this.#ports.memory.cacheOf(this.#name),
      evaluations: this.#evaluations,
    });
  }
}

const gone = async (): Promise<ScanReply> => ({ state: "gone" });
const GONE: ScanSessionRpc = { ask: gone, more: gone, cancel: async () => undefined };

interface SessionPorts extends ScannerPorts {
  /** The Scanner's. */
  readonly cache: ScanCache;
  readonly evaluations: Gate;
}

/** One query. */
export class ScanSession implements ScanSessionRpc {
  readonly #ports: SessionPorts;
  readonly #slices: Slices;
  readonly #cancelled = new AbortController();
  readonly #io: QueryIo;
  readonly #scan: Promise<SourceScan>;
  /** The packed answer to the question that is asked; undefined: none is. */
  #answer: Promise<Uint8Array> | undefined;
  /** What of an answer was not fetched yet. */
  #rest: Uint8Array | undefined;
  /** Gets that no reply has told of yet. */
  #gets = 0;

  constructor(request: ScanRequest, ports: SessionPorts) {
    this.#ports = ports;
    this.#slices = new Slices(ports.limits.scan.pool.sliceRows);
    const { objects, memory } = ports;
    const counted: RangeReader = {
      getRange: (...args) => {
        this.#gets++;
        return objects.getRange(...args);
      },
    };
    this.#io = new QueryIo(counted, this.#cancelled.signal, memory.held);
    this.#scan = this.#open(request);
    this.#scan.catch(() => undefined);
  }

  async ask(message: Uint8Array): Promise<ScanReply> {
    if (this.#isCancelled) return gone();
    assert(this.#answer === undefined, "one question at a time");
    this.#answer = this.#answerTo(unpack(message));
    this.#answer.catch(() => undefined);
    return this.#reply(this.#answer);
  }

  async more(): Promise<ScanReply> {
    if (this.#isCancelled) return gone();
    if (this.#rest !== undefined) return this.#send(this.#rest);
    assert(this.#answer !== undefined, "a question was asked before");
    return this.#reply(this.#answer);
  }

  async cancel(): Promise<void> {
    if (this.#isCancelled) return;
    this.#cancelled.abort();
    this.#slices.cancel();
    this.#ports.memory.end();
    this.#rest = undefined;
    // What is under way ends at its next step; then nothing is held any more.
    await Promise.allSettled([this.#answer]);
    const [scan] = await Promise.allSettled([this.#scan]);
    if (scan.status === "fulfilled") scan.value.release();
    this.#ports.memory.trim();
  }

  get #isCancelled(): boolean {
    return this.#cancelled.signal.aborted;
  }

  async #open({ query, jobs }: ScanRequest): Promise<SourceScan> {
    const { memory, limits, pause, cache, evaluations } = this.#ports;
    const compiled = compilePooled(query);
    const ports = { cache, maxHeldBytes: limits.scan.pool.maxHeldBytes, reread: memory.reread };
    const opened = await settleAll(jobs, PLATFORM.connections, (job) => openBlock(ports, this.#io, job));
    const sources: WatchedSource<string>[] = [];
    const failed: FailedJob[] = [];
    const expected = expectedIn(compiled);
    for (const [i, { block }] of jobs.entries()) {
      const result = opened[i];
      if (result?.status === "fulfilled") {
        for (const source of result.value) sources.push(new WatchedSource(block.key, source));
      } else failed.push({ job: block.key, failure: failureOf(block.key, result?.reason) });
    }
    for (const { source } of sources) source.expect(...expected(source));
    return new SourceScan(compiled, {
      sources,
      others: [],
      failed,
      inspectedBytes: () => this.#io.inspectedBytes,
      checkAborted: () => this.#io.checkAborted(),
      onSource: async (rows, work) => {
        this.#io.checkAborted();
        const result = await evaluations.run(work);
        memory.trim();
        await pause();
        await this.#slices.spend(rows);
        return result;
      },
    });
  }

  async #answerTo(question: Question): Promise<Uint8Array> {
    const scan = await this.#scan;
    const answer = await scan.ask(question);
    const { maxPartBytes } = this.#ports.limits.scan.pool;
    try {
      return pack(answer, maxPartBytes);
    } catch (error) {
      if (!isAppError(error)) throw error;
      const refusal: Answer<never> = {
        kind: "refused",
        error: { kind: error.kind, message: `${question.name}: ${error.message}` },
        inspectedBytes: answer.inspectedBytes,
      };
      return pack(refusal, maxPartBytes);
    }
  }

  /** When the answer is ready or the slice is used up. */
  async #reply(answer: Promise<Uint8Array>): Promise<ScanReply> {
    try {
      const bytes = await Promise.race([answer, this.#slices.grant()]);
      if (bytes === undefined) return { state: "working", gets: this.#takeGets() };
      this.#answer = undefined;
      return this.#send(bytes);
    } catch (error) {
      // Nobody waits for it any more: it is no fault.
      if (this.#isCancelled) return gone();
      throw error;
    }
  }

  #send(bytes: Uint8Array): ScanReply {
    const { maxMessageBytes } = this.#ports.limits.scan.pool;
    const isLast = bytes.length <= maxMessageBytes;
    this.#rest = isLast ? undefined : bytes.subarray(maxMessageBytes);
    // A view would be sent with the whole buffer behind it.
    const part = bytes.slice(0, maxMessageBytes);
    return { state: isLast ? "last" : "part", bytes: part, gets: this.#takeGets() };
  }

  #takeGets(): number {
    const gets = this.#gets;
    this.#gets = 0;
    return gets;
  }
}
