// Questions of a pooled query, answered over the sources of one isolate: one source after another.
import { PLATFORM } from "../../model/limits.ts";
import { compileCondition } from "../../traceql/engine/conditions/condition.ts";
import { type ChosenSpans, MetricsState, showChosen } from "../../traceql/engine/metrics.ts";
import {
  compileMetrics,
  type LeafPlan,
  type MetricsPlan,
  splitColumns,
} from "../../traceql/engine/metrics/plan.ts";
import { metricsProspects, searchProspects } from "../../traceql/engine/prospects.ts";
import {
  combineFound,
  compareNewest,
  compileSearch,
  isWorthSearching,
  NOTHING_FOUND,
  type SearchPlan,
} from "../../traceql/engine/search.ts";
import {
  EVERYTHING,
  findColumns,
  findTraces,
  type FoundTrace,
  type FoundTraces,
} from "../../traceql/engine/search/find-traces.ts";
import { showColumns, showTraces } from "../../traceql/engine/search/show-traces.ts";
import { type CutTraces, cutTraces } from "../../traceql/engine/tables/cut-traces.ts";
import { gatherColumns, partColumns } from "../../traceql/engine/tables/split-traces.ts";
import { flagsOf, type WantedPart } from "../../traceql/engine/tables/split-cache.ts";
import type { SpanTable } from "../../traceql/engine/tables/span-table.ts";
import { findTrace } from "../../traceql/engine/tables/trace-ids.ts";
import type { Exemplar, TraceResult } from "../../traceql/results.ts";
import type { SpanSource, TraceTable } from "../../traceql/storage.ts";
import { assert } from "../../util/assert.ts";
import { settleAll } from "../../util/parallel.ts";
import { type ExpectedOf, expectedInMetrics, expectedInSearch } from "../expected-columns.ts";
import {
  addNames,
  addValues,
  namesIn,
  type NamesQuery,
  valuesIn,
  type ValuesQuery,
} from "../tags/tag-parts.ts";
import type { CutInput, LeftOut, PooledQuery, Questions, SplitColumns, TraceList } from "./questions.ts";
import { hashesOf, makeDigest, placesIn } from "./trace-digest.ts";

type QueryOf<K extends PooledQuery["kind"]> = PooledQuery & { readonly kind: K };

/** A query, ready for any source. */
export type CompiledQuery =
  | { readonly kind: "search"; readonly plan: SearchPlan; readonly window: QueryOf<"search">["window"] }
  | {
      readonly kind: "metrics";
      readonly plan: MetricsPlan;
      readonly leaves: readonly LeafPlan[];
      readonly query: QueryOf<"metrics">;
    }
  | { readonly kind: "tag-names"; readonly query: NamesQuery }
  | { readonly kind: "tag-values"; readonly query: ValuesQuery };

/** @throws AppError `invalid_argument` for what the query cannot do */
export function compilePooled(query: PooledQuery): CompiledQuery {
  switch (query.kind) {
    case "search":
      return { kind: "search", plan: compileSearch(query.query), window: query.window };
    case "metrics": {
      const plan = compileMetrics(query.query);
      return { kind: "metrics", plan, leaves: [...plan.leaves.values()], query };
    }
    case "tag-names":
    case "tag-values": {
      const filter = query.filter && compileCondition(query.filter);
      return query.kind === "tag-names"
        ? { kind: "tag-names", query: { ...query, filter } }
        : { kind: "tag-values", query: { ...query, filter } };
    }
  }
}

export function expectedIn(query: CompiledQuery): ExpectedOf {
  if (query.kind === "search") return expectedInSearch(query.plan, query.window);
  if (query.kind === "metrics") return expectedInMetrics(query.leaves, query.query.intervals);
  return () => [];
}

/** By test: whether one of the sources passes it. Pipelines of a metrics query one behind the other. */
export function passedTests(query: CompiledQuery, sources: readonly SpanSource[]): boolean[] {
  if (query.kind === "search") return searchProspects(query.plan.pipeline, query.window).passed(sources);
  if (query.kind !== "metrics") return [];
  return query.leaves.flatMap(({ pipeline }) =>
    metricsProspects(pipeline, query.query.intervals).passed(sources),
  );
}

/** What a query needs of traces that several sources have parts of. */
export function splitColumnsOf(query: CompiledQuery, source: SpanSource): SplitColumns {
  switch (query.kind) {
    case "search": {
      const { pipeline, mentions } = query.plan;
      return { first: findColumns(pipeline, source, EVERYTHING), second: showColumns(mentions, source) };
    }
    case "metrics":
      return { first: [...new Set(query.leaves.flatMap((leaf) => splitColumns(leaf, source)))], second: [] };
    case "tag-names":
    case "tag-values":
      return { first: [], second: [] };
  }
}

/** Does the work on one source, of so many rows; may wait before or after it. */
export type OnSource = <T>(rows: number, work: () => Promise<T>) => Promise<T>;

type Evaluators = {
  readonly [K in Exclude<keyof Questions, "summary">]: (
    input: Questions[K]["input"],
  ) => Promise<Questions[K]["answer"]>;
};

export class Evaluation implements Evaluators {
  readonly #query: CompiledQuery;
  readonly #sources: readonly SpanSource[];
  readonly #onSource: OnSource;
  /** By source: made once, asked for twice. */
  readonly #hashes = new Map<SpanSource, Uint32Array>();

  constructor(query: CompiledQuery, sources: readonly SpanSource[], onSource: OnSource) {
    this.#query = query;
    this.#sources = sources;
    this.#onSource = onSource;
  }

  async digest(): Promise<Questions["digest"]["answer"]> {
    // What all sources are asked is read at the same time.
    const read = await settleAll(this.#sources, PLATFORM.connections, (source) => source.traces());
    for (const result of read) if (result.status === "rejected") throw result.reason;
    return makeDigest(await this.#each((source) => this.#hashesOf(source)));
  }

  async cut({ sources, longNs, limit }: CutInput): Promise<Questions["cut"]["answer"]> {
    const cuts: CutTraces[] = [];
    for (const index of sources) {
      const source = this.#sources[index];
      if (source !== undefined)
        cuts.push(await this.#onSource(source.rowCount, () => cutTraces(source, longNs, limit)));
    }
    return cuts;
  }

  async traces(hashes: Uint32Array): Promise<TraceList[]> {
    const wanted = makeDigest([hashes]);
    return this.#each(async (source) =>
      pick(await source.traces(), placesIn(wanted, await this.#hashesOf(source))),
    );
  }

  async find(leftOut: LeftOut): Promise<FoundTraces> {
    const query = this.#query;
    assert(query.kind === "search", "a search finds");
    const { plan, window } = query;
    let found = NOTHING_FOUND;
    for await (const [index, source] of this.#inTurn(newestFirst(this.#sources))) {
      if (!isWorthSearching(plan, [source], window)) continue;
      const wantedFromNs = found.traces[window.limit - 1]?.startNs;
      const own = await this.#onSource(source.rowCount, async () =>
        findTraces(source, plan.pipeline, window, {
          skip: await skipped(source, leftOut[index]),
          wantedFromNs,
        }),
      );
      found = combineFound(found, own, window.limit);
    }
    await this.#count(leftOut);
    return found;
  }

  async show(found: readonly FoundTrace[]): Promise<readonly TraceResult[]> {
    const query = this.#query;
    assert(query.kind === "search", "a search shows");
    const results = new Map<string, TraceResult>();
    for (const source of this.#sources) {
      const { ids } = await source.traces();
      const own = found.filter(({ traceId }) => findTrace(ids, traceId) >= 0);
      if (own.length === 0) continue;
      const shown = await this.#onSource(0, () => showTraces(source, query.plan.mentions, own));
      for (const result of shown) results.set(result.traceId, result);
    }
    return found.flatMap(({ traceId }) => results.get(traceId) ?? []);
  }

  async measure(leftOut: LeftOut): Promise<Questions["measure"]["answer"]> {
    const query = this.#query;
    assert(query.kind === "metrics", "metrics measure");
    const state = new MetricsState(query.plan, { ...query.query, maxSeries: Infinity });
    for await (const [index, source] of this.#inTurn([...this.#sources.entries()])) {
      await this.#onSource(source.rowCount, async () =>
        state.measure(source, index, await skipped(source, leftOut[index])),
      );
    }
    await this.#count(leftOut);
    return state.part();
  }

  async exemplars(chosen: readonly ChosenSpans[]): Promise<Exemplar[][]> {
    const query = this.#query;
    assert(query.kind === "metrics", "metrics have exemplars");
    return this.#onSource(0, () => showChosen(query.leaves, this.#sources, chosen));
  }

  async gather(wanted: readonly WantedPart[]): Promise<readonly SpanTable[]> {
    const tables: SpanTable[] = [];
    for (const { source: index, traces, names } of wanted) {
      const source = this.#sources[index];
      assert(source !== undefined, "parts are of sources that were told of");
      tables.push(await this.#onSource(0, () => gatherColumns(source, traces, names)));
    }
    return tables;
  }

  async tagNames(): Promise<Questions["tagNames"]["answer"]> {
    const query = this.#query;
    assert(query.kind === "tag-names", "names of tags are asked for");
    return addNames(await this.#each((source) => namesIn(source, query.query)), query.query.limits);
  }

  async tagValues(): Promise<Questions["tagValues"]["answer"]> {
    const query = this.#query;
    assert(query.kind === "tag-values", "values of a tag are asked for");
    return addValues(await this.#each((source) => valuesIn(source, query.query)), query.query.limits);
  }

  /** In the order of the sources. @param rows that count for each; default: its own */
  async #each<T>(work: (source: SpanSource, index: number) => Promise<T>, rows?: number): Promise<T[]> {
    const results: T[] = [];
    for (const [index, source] of this.#sources.entries()) {
      results.push(await this.#onSource(rows ?? source.rowCount, () => work(source, index)));
    }
    return results;
  }

  /**
   * What it takes to find and to take out split traces counts as looked at even where all of it is known already. Not before
   * it is: what was read along is given up by that.
   */
  async #count(leftOut: LeftOut): Promise<void> {
    for (const [index, source] of this.#sources.entries()) {
      if ((leftOut[index] ?? NO_TRACES).length === 0) continue;
      const names = partColumns(source, () => splitColumnsOf(this.#query, source).first);
      await source.load(names, NO_TRACES);
    }
  }

  /** One after the other, the next ones being read meanwhile: the traces of all, as where it is found out which are split. */
  async *#inTurn(sources: readonly (readonly [number, SpanSource])[]): AsyncGenerator<[number, SpanSource]> {
    const ahead = sources.values();
    const readOne = (): void =>
      void ahead
        .next()
        .value?.[1].traces()
        .catch(() => undefined);
    for (let i = 1; i < PLATFORM.connections; i++) readOne();
    for (const [index, source] of sources) {
      readOne();
      await this.#onSource(0, () => source.traces());
      yield [index, source];
    }
  }

  async #hashesOf(source: SpanSource): Promise<Uint32Array> {
    const known = this.#hashes.get(source) ?? hashesOf((await source.traces()).ids);
    this.#hashes.set(source, known);
    return known;
  }
}

const NO_TRACES = new Uint32Array(0);

async function skipped(
  source: SpanSource,
  leftOut: Uint32Array = NO_TRACES,
): Promise<Uint8Array | undefined> {
  if (leftOut.length === 0) return undefined;
  const { firstRows } = await source.traces();
  return flagsOf(leftOut, firstRows.length - 1);
}

/** With their numbers. */
function newestFirst(sources: readonly SpanSource[]): [number, SpanSource][] {
  return [...sources.entries()].toSorted(([, a], [, b]) => compareNewest(a.bounds, b.bounds));
}

function pick({ ids, firstRows }: TraceTable, traces: Uint32Array): TraceList {
  const picked = new Uint8Array(16 * traces.length);
  traces.forEach((trace, i) => picked.set(ids.subarray(16 * trace, 16 * (trace + 1)), 16 * i));
  const rows = traces.map((trace) => (firstRows[trace + 1] ?? 0) - (firstRows[trace] ?? 0));
  return { ids: picked, traces, rows };
}
