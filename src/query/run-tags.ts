// Names and values of attributes over everything that a tenant has in a window.
import type { Field, FieldExpression } from "../traceql/ast.ts";
import { checkComplexity } from "../traceql/complexity.ts";
import { compileCondition, type Condition } from "../traceql/engine/conditions/condition.ts";
import type { SpanSource } from "../traceql/storage.ts";
import { settleAll } from "../util/parallel.ts";
import { pooledTagNames, pooledTagValues } from "./pool/pooled-tags.ts";
import { runScan } from "./run-scan.ts";
import { TAG_SCOPES, type TagScope, type TagValue } from "./tags/tag.ts";
import { addNames, addValues, namesIn, valuesIn } from "./tags/tag-parts.ts";
import { fixedValues } from "./tags/tag-values.ts";
import type { ScanDeps, ScanReport, ScanWindow } from "./query-scan.ts";

interface TagInput {
  readonly window: ScanWindow;
  /** Only spans for which it holds count; undefined: all. */
  readonly filter?: FieldExpression | undefined;
  /** Names of each scope, or values, at most: the first ones in order. */
  readonly limit: number;
  /** Bytes of the names of each scope, or of all values, as UTF-8. What is beyond is left out. */
  readonly maxBytes: number;
  readonly signal?: AbortSignal | undefined;
}

export interface TagNamesInput extends TagInput {
  /** Undefined: all. */
  readonly scope?: TagScope | undefined;
}

export interface TagNamesRun extends ScanReport {
  /** The scopes that have names, in the order of TAG_SCOPES; names sorted. Intrinsics are not among them. */
  readonly scopes: readonly { readonly name: TagScope; readonly tags: readonly string[] }[];
  /** Whether a limit left something out. */
  readonly isTruncated: boolean;
}

export interface TagValuesInput extends TagInput {
  readonly field: Field;
}

export interface TagValuesRun extends ScanReport {
  /** Distinct, by type and value. */
  readonly values: readonly TagValue[];
  readonly isTruncated: boolean;
}

/** Sources read at a time: their columns are in memory meanwhile. */
const SOURCES_AT_ONCE = 3;

/** The names of attributes. @throws as `runSearch` does */
export async function runTagNames(deps: ScanDeps, input: TagNamesInput): Promise<TagNamesRun> {
  const { window, signal, scope, filter, limit, maxBytes } = input;
  const limits = { limit, maxBytes };
  const scopes = scope === undefined ? TAG_SCOPES : [scope];
  const query = { scopes, filter: conditionOf(filter), limits };
  const { result, report } = await runScan(deps, {
    window,
    signal,
    expected: () => [],
    evaluate: async (sources) => addNames(await collect(sources, (source) => namesIn(source, query)), limits),
    query: { kind: "tag-names", scopes, filter, limits },
    evaluatePooled: ({ group }) => pooledTagNames(group, limits),
  });
  return {
    scopes: [...result].flatMap(([name, { values: tags }]) => (tags.length === 0 ? [] : [{ name, tags }])),
    isTruncated: [...result.values()].some(({ end }) => end !== undefined),
    ...report,
  };
}

/**
 * The values of a field. `status` and `kind` have those that can be (keywords), durations and ids none; an attribute
 * without scope those of span, resource and instrumentation.
 * @throws as `runSearch` does
 */
export async function runTagValues(deps: ScanDeps, input: TagValuesInput): Promise<TagValuesRun> {
  const { window, signal, field, filter, limit, maxBytes } = input;
  const limits = { limit, maxBytes };
  const fixed = fixedValues(field);
  if (fixed !== undefined) return { values: fixed, isTruncated: false, ...NOTHING_READ };
  const query = { field, filter: conditionOf(filter), limits };
  const { result, report } = await runScan(deps, {
    window,
    signal,
    expected: () => [],
    evaluate: async (sources) =>
      addValues(await collect(sources, (source) => valuesIn(source, query)), limits),
    query: { kind: "tag-values", field, filter, limits },
    evaluatePooled: ({ group }) => pooledTagValues(group, limits),
  });
  return { values: result.values, isTruncated: result.end !== undefined, ...report };
}

function conditionOf(filter: FieldExpression | undefined): Condition | undefined {
  if (filter === undefined) return undefined;
  checkComplexity(filter);
  return compileCondition(filter);
}

const NOTHING_READ: ScanReport = {
  inspectedBytes: 0,
  totalBlocks: 0,
  totalBlockBytes: 0,
  totalJobs: 0,
  completedJobs: 0,
  failures: [],
};

/** The parts of all sources, in their order. @throws what the first one that failed threw */
async function collect<T>(
  sources: readonly SpanSource[],
  read: (source: SpanSource) => Promise<T>,
): Promise<T[]> {
  const results = await settleAll(sources, SOURCES_AT_ONCE, read);
  return results.map((result) => {
    if (result.status === "rejected") throw result.reason;
    return result.value;
  });
}
