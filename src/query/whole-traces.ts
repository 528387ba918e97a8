// Traces that go on where a query does not look: found by their ids and read whole.
import { parseTraceId } from "../model/ids.ts";
import { PLATFORM } from "../model/limits.ts";
import type { QueryIo } from "../scan/query-io.ts";
import type { SpanSource } from "../traceql/storage.ts";
import { concatBytes } from "../util/bytes.ts";
import { settleAll } from "../util/parallel.ts";
import { readTrace } from "./find-trace.ts";
import { memorySources } from "./memory-sources.ts";
import type { Candidates } from "./candidates.ts";
import type { PlanWindow } from "./plan.ts";
import type { ScanDeps } from "./query-scan.ts";
import { failureOf, type SourceFailure } from "./sources.ts";

/** Traces with all that there is of them, in memory. */
export interface WholeTraces {
  readonly ids: ReadonlySet<string>;
  readonly sources: readonly SpanSource[];
}

/** Traces that a shard is asked after in one call: with 1,000 blocks 250 ms, between which it does other things. */
const TRACES_PER_CALL = 500;

const NONE: WholeTraces = { ids: new Set(), sources: [] };

/** Looks beyond the window of one query. */
export class BeyondWindow {
  readonly #deps: ScanDeps;
  readonly #io: QueryIo;
  readonly #window: PlanWindow;
  readonly #failures: SourceFailure[] = [];
  /** Whether it is known that there is nothing. */
  readonly isEmpty: boolean;

  constructor(
    deps: ScanDeps,
    { io, window, isEmpty }: { readonly io: QueryIo; readonly window: PlanWindow; readonly isEmpty: boolean },
  ) {
    this.#deps = deps;
    this.#io = io;
    this.#window = window;
    this.isEmpty = isEmpty;
  }

  /** What could not be found out, or lay beyond a limit: these traces are as if cut at the window's margins. */
  get failures(): readonly SourceFailure[] {
    return this.#failures;
  }

  /**
   * Those of the traces that have spans in blocks or epochs outside the window and its margin, whole.
   * @param ids 32 hex digits each, the most wanted first
   * @param more what of the candidates is not among them
   * @throws AppError `unavailable` when the client has gone
   */
  async find(ids: readonly string[], more: Omit<Candidates, "ids">): Promise<WholeTraces> {
    const { maxCheckedTraces, maxWholeTraces } = this.#deps.limits.scan;
    if (this.isEmpty) return NONE;
    const unchecked = Math.max(0, ids.length - maxCheckedTraces) + more.moreTraces;
    if (unchecked > 0) this.#leaveOut(`${unchecked} traces`, "maxCheckedTraces");
    if (more.moreSources > 0) this.#leaveOut(`${more.moreSources} row groups`, "maxCandidateSpans");
    const found = await this.#ask(ids.slice(0, maxCheckedTraces));
    if (found.length > maxWholeTraces)
      this.#leaveOut(`${found.length - maxWholeTraces} traces`, "maxWholeTraces");
    const whole = new Set<string>();
    const pieces: Uint8Array[] = [];
    let bytesLeft = this.#deps.limits.maxOpenedTraceBytes;
    for (const id of found.slice(0, maxWholeTraces)) {
      const own = await this.#read(id, bytesLeft);
      if (own === undefined) continue;
      whole.add(id);
      pieces.push(...own);
      bytesLeft -= own.reduce((sum, { length }) => sum + length, 0);
    }
    return whole.size === 0 ? NONE : { ids: whole, sources: await memorySources(pieces) };
  }

  #leaveOut(what: string, limit: string): void {
    this.#failures.push({
      source: `${what} that may go on beyond the range`,
      kind: "too_large",
      message: `not looked up: beyond the limit ${limit} of one query`,
    });
  }

  async #ask(ids: readonly string[]): Promise<string[]> {
    const found = new Set<number>();
    let shards = this.#deps.shards;
    for (let first = 0; first < ids.length; first += TRACES_PER_CALL) {
      const asked = ids.slice(first, first + TRACES_PER_CALL);
      const traceIds = concatBytes(asked.map((id) => parseTraceId(id)));
      const results = await settleAll(shards, PLATFORM.connections, ({ shard }) =>
        this.#io.connect(() => shard.findBeyond(traceIds, this.#window)),
      );
      this.#io.checkAborted();
      for (const [i, result] of results.entries()) {
        if (result.status === "fulfilled") for (const place of result.value) found.add(first + place);
        else this.#failures.push(failureOf(`shard ${shards[i]?.name} beyond the range`, result.reason));
      }
      shards = shards.filter((_, i) => results[i]?.status === "fulfilled");
    }
    return ids.filter((_, place) => found.has(place));
  }

  /** Undefined when something of it is missing: a part more is no better than what is known. */
  async #read(id: string, maxBytes: number): Promise<Uint8Array[] | undefined> {
    const { limits, objects, shards } = this.#deps;
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    const take = (piece: Uint8Array): boolean => {
      bytes += piece.length;
      if (bytes > maxBytes) return false;
      pieces.push(piece.slice());
      return true;
    };
    const query = { traceId: parseTraceId(id), mode: "all", startSeconds: 0, endSeconds: 0 } as const;
    try {
      const reading = await readTrace({ limits, objects, shards }, query, { take }, this.#io.signal);
      this.#io.inspectedBytes += reading.bytes;
      this.#failures.push(...reading.failures);
      if (bytes > maxBytes) this.#leaveOut("a trace", "maxOpenedTraceBytes");
      return reading.failures.length > 0 || bytes > maxBytes ? undefined : pieces;
    } catch (error) {
      this.#io.checkAborted();
      this.#failures.push(failureOf(`trace ${id} beyond the range`, error));
      return undefined;
    }
  }
}
