// Searching: the newest traces that match, over any number of sources.
import type { SearchQuery } from "../ast.ts";
import { checkComplexity } from "../complexity.ts";
import type { SearchCursor, SearchResult, TraceResult } from "../results.ts";
import type { SpanSource } from "../storage.ts";
import {
  compareFound,
  EVERYTHING,
  findColumns,
  findTraces,
  type FoundTrace,
  type FoundTraces,
  type Window,
} from "./search/find-traces.ts";
import { searchProspects } from "./prospects.ts";
import { showColumns, showTraces } from "./search/show-traces.ts";
import { type Mention, mentionsOf } from "./spansets/mentions.ts";
import { compilePipeline, type PipelinePlan } from "./spansets/plan.ts";
import { SplitCache, type SourceSplits } from "./tables/split-cache.ts";

export interface SearchOptions {
  /** Traces returned at most, at least 1. */
  readonly limit: number;
  /** Spans per spanset at most; `Infinity` for all. */
  readonly spansPerSpanset: number;
  /** Window that a trace must overlap, both ends included. */
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** Goes on after this trace. */
  readonly cursor?: SearchCursor;
  readonly signal?: AbortSignal;
  /** What is known of sources from earlier queries. */
  readonly splits?: SplitCache;
}

/** A query, ready to be evaluated over any source. */
export interface SearchPlan {
  readonly pipeline: PipelinePlan;
  readonly mentions: readonly Mention[];
}

/** @throws AppError `invalid_argument` for a structural operator on groups, and for what asks for too much */
export function compileSearch(query: SearchQuery): SearchPlan {
  checkComplexity(query);
  const { pipeline } = query;
  return { pipeline: compilePipeline(pipeline), mentions: mentionsOf(pipeline.stages) };
}

/** Whether traces that lie in these sources, and in no other, may match. False is certain. */
export function isWorthSearching(
  { pipeline }: SearchPlan,
  sources: readonly SpanSource[],
  window: Window,
): boolean {
  const prospects = searchProspects(pipeline, window);
  return prospects.isWorth(prospects.passed(sources));
}

export const NOTHING_FOUND: FoundTraces = { total: 0, traces: [], inspectedTraces: 0, inspectedSpans: 0 };

/** Newest first: with the newest traces found, older sources are only counted. */
export function compareNewest(
  a: { readonly maxStartNs: bigint },
  b: { readonly maxStartNs: bigint },
): number {
  return a.maxStartNs > b.maxStartNs ? -1 : Number(a.maxStartNs < b.maxStartNs);
}

/** What was found in two sets of traces without a trace in common. The order does not matter. */
export function combineFound(a: FoundTraces, b: FoundTraces, limit: number): FoundTraces {
  return {
    total: a.total + b.total,
    traces: [...a.traces, ...b.traces].toSorted(compareFound).slice(0, limit),
    inspectedTraces: a.inspectedTraces + b.inspectedTraces,
    inspectedSpans: a.inspectedSpans + b.inspectedSpans,
  };
}

/** One page of what was found, and where the next one begins. @param show makes the results, in order */
export async function pageOf(
  found: FoundTraces,
  limit: number,
  show: (page: readonly FoundTrace[]) => Promise<TraceResult[]>,
): Promise<SearchResult> {
  const { total, inspectedTraces, inspectedSpans } = found;
  const page = found.traces.slice(0, limit);
  const last = page.at(-1);
  const hasMore = found.traces.length > page.length;
  return {
    traces: await show(page),
    total,
    cursor: hasMore && last ? { startNs: last.startNs, traceId: last.traceId } : undefined,
    inspectedTraces,
    inspectedSpans,
  };
}

/**
 * Evaluates `query` over the spans of all sources as if they were one: traces that several sources have parts of are
 * put together, spans that several have are counted once.
 * @throws AppError `invalid_argument` for what the query cannot do (division by zero, a structural operator on groups);
 *   what a source throws
 */
export async function search(
  sources: readonly SpanSource[],
  query: SearchQuery,
  options: SearchOptions,
): Promise<SearchResult> {
  return new Search(sources, compileSearch(query), options).run();
}

class Search {
  readonly #sources: readonly SpanSource[];
  readonly #plan: SearchPlan;
  readonly #options: SearchOptions;
  /** One trace more than is returned tells whether there is a next page. */
  readonly #window: Window;
  /** Where each found trace is: in a source or, undefined, in several. */
  readonly #origins = new Map<string, SpanSource | undefined>();
  /** What is shown of traces, by id. */
  readonly #results = new Map<string, TraceResult>();
  #split: SourceSplits | undefined;
  #found = NOTHING_FOUND;

  constructor(sources: readonly SpanSource[], plan: SearchPlan, options: SearchOptions) {
    this.#sources = sources.toSorted((a, b) => compareNewest(a.bounds, b.bounds));
    this.#plan = plan;
    this.#options = options;
    this.#window = { ...options, limit: options.limit + 1 };
  }

  async run(): Promise<SearchResult> {
    if (isWorthSearching(this.#plan, this.#sources, this.#window)) await this.#find();
    return pageOf(this.#found, this.#options.limit, (page) => this.#show(page));
  }

  async #find(): Promise<void> {
    const tables = await Promise.all(this.#sources.map((source) => source.traces()));
    const split = (this.#options.splits ?? new SplitCache(0)).of(tables);
    this.#split = split;
    for (const [index, source] of this.#sources.entries()) {
      this.#options.signal?.throwIfAborted();
      const isWorth = isWorthSearching(this.#plan, [source], this.#window);
      if (isWorth) await this.#findIn(source, split, index);
    }
    for (const batch of split.batches) {
      this.#options.signal?.throwIfAborted();
      // What was found so far is shown while the columns of its source are at hand: most of it stays on the page.
      const page = this.#found.traces.slice(0, this.#options.limit);
      const whole = await batch.gather(
        this.#sources,
        (source) => findColumns(this.#plan.pipeline, source, EVERYTHING),
        (source) => this.#showOf(source, page),
      );
      for (const source of this.#sources) await this.#showOf(source, page);
      this.#add(await findTraces(whole, this.#plan.pipeline, this.#window), undefined);
    }
  }

  async #findIn(source: SpanSource, { flags }: SourceSplits, index: number): Promise<void> {
    const worst = this.#found.traces[this.#window.limit - 1];
    const found = await findTraces(source, this.#plan.pipeline, this.#window, {
      skip: flags[index],
      wantedFromNs: worst?.startNs,
    });
    this.#add(found, source);
  }

  #add(found: FoundTraces, origin: SpanSource | undefined): void {
    for (const { traceId } of found.traces) this.#origins.set(traceId, origin);
    this.#found = combineFound(this.#found, found, this.#window.limit);
  }

  /** Shows those of the traces that lie in this source. */
  async #showOf(source: SpanSource, page: readonly FoundTrace[]): Promise<void> {
    const own = page.filter(
      ({ traceId }) => this.#origins.get(traceId) === source && !this.#results.has(traceId),
    );
    if (own.length > 0) this.#addResults(await showTraces(source, this.#plan.mentions, own));
  }

  #addResults(results: readonly TraceResult[]): void {
    for (const result of results) this.#results.set(result.traceId, result);
  }

  async #show(page: readonly FoundTrace[]): Promise<TraceResult[]> {
    for (const source of this.#sources) await this.#showOf(source, page);
    const split = page.filter(({ traceId }) => !this.#results.has(traceId));
    if (split.length > 0) await this.#showSplit(split);
    return page.flatMap(({ traceId }) => this.#results.get(traceId) ?? []);
  }

  /** Shows traces that several sources have parts of. */
  async #showSplit(found: readonly FoundTrace[]): Promise<void> {
    const ids = found.map(({ traceId }) => traceId);
    const { mentions } = this.#plan;
    const whole = await this.#split?.show(this.#sources, ids, (source) => showColumns(mentions, source));
    if (whole !== undefined) this.#addResults(await showTraces(whole, mentions, found));
  }
}
