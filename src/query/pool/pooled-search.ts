// A search whose blocks are in several isolates: as traceql/engine/search.ts does it over sources in one.
import type { SearchQuery } from "../../traceql/ast.ts";
import { searchProspects } from "../../traceql/engine/prospects.ts";
import {
  combineFound,
  compareNewest,
  compileSearch,
  NOTHING_FOUND,
  pageOf,
  type SearchOptions,
  type SearchPlan,
} from "../../traceql/engine/search.ts";
import {
  findTraces,
  type FoundTrace,
  type FoundTraces,
  type Window,
} from "../../traceql/engine/search/find-traces.ts";
import { showTraces } from "../../traceql/engine/search/show-traces.ts";
import { findTrace } from "../../traceql/engine/tables/trace-ids.ts";
import type { SearchResult, TraceResult } from "../../traceql/results.ts";
import type { PooledQuery } from "./questions.ts";
import type { ScanMember } from "./scan-group.ts";
import { anyPassed, type MemberSource, plannedSources, type PooledScan } from "./pooled-scan.ts";
import { findSplit, type PooledSplits } from "./split-traces.ts";

/** One trace more than is returned tells whether there is a next page. */
export function searchedIn(
  query: SearchQuery,
  options: SearchOptions,
): PooledQuery & { readonly kind: "search" } {
  const { startNs, endNs, cursor, limit, spansPerSpanset } = options;
  return { kind: "search", query, window: { startNs, endNs, cursor, limit: limit + 1, spansPerSpanset } };
}

/** @throws as `search` does */
export function pooledSearch(
  scan: PooledScan,
  query: SearchQuery,
  options: SearchOptions,
): Promise<SearchResult> {
  return new PooledSearch(scan, searchedIn(query, options), options.limit).run();
}

class PooledSearch {
  readonly #scan: PooledScan;
  readonly #query: PooledQuery;
  readonly #plan: SearchPlan;
  readonly #limit: number;
  readonly #window: Window;
  /** Who has a found trace; undefined: several sources do. */
  readonly #owners = new Map<string, ScanMember | undefined>();
  /** What is shown of traces, by id. */
  readonly #results = new Map<string, TraceResult>();
  #split: PooledSplits | undefined;
  #found = NOTHING_FOUND;

  constructor(scan: PooledScan, query: PooledQuery & { readonly kind: "search" }, limit: number) {
    this.#scan = scan;
    this.#query = query;
    this.#plan = compileSearch(query.query);
    this.#limit = limit;
    this.#window = query.window;
  }

  async run(): Promise<SearchResult> {
    const summaries = await this.#scan.group.askAll("summary", this.#query);
    const sources = plannedSources(this.#scan, summaries);
    const prospects = searchProspects(this.#plan.pipeline, this.#window);
    if (prospects.isWorth(anyPassed(summaries))) await this.#find(sources);
    return pageOf(this.#found, this.#limit, (page) => this.#show(page));
  }

  async #find(sources: readonly MemberSource[]): Promise<void> {
    const { group } = this.#scan;
    const split = await findSplit(
      this.#scan,
      sources.toSorted((a, b) => compareNewest(a.bounds, b.bounds)),
    );
    this.#split = split;
    const found = await group.askEach("find", (member) => split.leftOutOf(member));
    for (const { member, value } of found) this.#add(value, member);
    // As the Worker alone does: before split traces push some of it off the page.
    await this.#showOwn(this.#found.traces.slice(0, this.#limit));
    for await (const whole of split.whole()) {
      this.#add(await findTraces(whole, this.#plan.pipeline, this.#window), undefined);
    }
  }

  #add(found: FoundTraces, owner: ScanMember | undefined): void {
    for (const { traceId } of found.traces) this.#owners.set(traceId, owner);
    this.#found = combineFound(this.#found, found, this.#window.limit);
  }

  /** Shows what members have of the page. */
  async #showOwn(page: readonly FoundTrace[]): Promise<void> {
    const byOwner = Map.groupBy(page, ({ traceId }) => this.#owners.get(traceId));
    const asked = [...byOwner].flatMap(([member, found]) =>
      member === undefined ? [] : [{ member, question: { name: "show", input: found } as const }],
    );
    for (const { value } of await this.#scan.group.ask<"show">(asked)) {
      for (const result of value) this.#results.set(result.traceId, result);
    }
  }

  async #show(page: readonly FoundTrace[]): Promise<TraceResult[]> {
    const split = page.filter(({ traceId }) => !this.#results.has(traceId));
    for (const result of await this.#showSplit(split)) this.#results.set(result.traceId, result);
    return page.flatMap(({ traceId }) => this.#results.get(traceId) ?? []);
  }

  async #showSplit(found: readonly FoundTrace[]): Promise<TraceResult[]> {
    const results: TraceResult[] = [];
    const ids = found.map(({ traceId }) => traceId);
    if (this.#split === undefined) return results;
    for await (const whole of this.#split.shown(ids)) {
      const { ids: own } = await whole.traces();
      const here = found.filter(({ traceId }) => findTrace(own, traceId) >= 0);
      results.push(...(await showTraces(whole, this.#plan.mentions, here)));
    }
    return results;
  }
}
