// Names and values of attributes over everything that a tenant has in a window.
import type { Field, FieldExpression } from "../traceql/ast.ts";
import { checkComplexity } from "../traceql/complexity.ts";
import { compileCondition, type Condition } from "../traceql/engine/conditions/condition.ts";
import type { SpanSource } from "../traceql/storage.ts";
import { settleAll } from "../util/parallel.ts";
import { runScan } from "./run-scan.ts";
import { Distinct } from "./tags/distinct.ts";
import { TAG_SCOPES, type TagScope, type TagValue } from "./tags/tag.ts";
import { readTagNames } from "./tags/tag-names.ts";
import { fixedValues, readTagValues } from "./tags/tag-values.ts";
import type { ScanDeps, ScanReport, ScanWindow } from "./query-scan.ts";

interface TagInput {
  readonly window: ScanWindow;
  /** Only spans for which it holds count; undefined: all. */
  readonly filter?: FieldExpression | undefined;
  /** Names of each scope, or values, at most. */
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
  const { window, signal, scope } = input;
  const filter = conditionOf(input);
  const scopes = scope === undefined ? TAG_SCOPES : [scope];
  const { result, report } = await runScan(deps, {
    window,
    signal,
    expected: () => [],
    evaluate: (sources) =>
      collect(sources, async (source) => {
        const names = new ScopedNames(input);
        await readTagNames(source, scopes, filter, (of, name) => names.add(of, name));
        return names;
      }),
  });
  const all = new ScopedNames(input);
  for (const names of result) all.addAll(names);
  const isTruncated = all.isTruncated || result.some((names) => names.isTruncated);
  return { scopes: all.scopes(), isTruncated, ...report };
}

/**
 * The values of a field. `status` and `kind` have those that can be (keywords), durations and ids none; an attribute
 * without scope those of span, resource and instrumentation.
 * @throws as `runSearch` does
 */
export async function runTagValues(deps: ScanDeps, input: TagValuesInput): Promise<TagValuesRun> {
  const { window, signal, field } = input;
  const fixed = fixedValues(field);
  if (fixed !== undefined) return { values: fixed, isTruncated: false, ...NOTHING_READ };
  const filter = conditionOf(input);
  const { result, report } = await runScan(deps, {
    window,
    signal,
    expected: () => [],
    evaluate: (sources) =>
      collect(sources, async (source) => {
        const values = new Distinct<TagValue>(input);
        await readTagValues(source, field, filter, (value) => addValue(values, value));
        return values;
      }),
  });
  const all = new Distinct<TagValue>(input);
  for (const part of result) {
    for (const value of part.values()) if (!addValue(all, value)) break;
  }
  const isTruncated = all.isTruncated || result.some((part) => part.isTruncated);
  return { values: all.values(), isTruncated, ...report };
}

function conditionOf({ filter }: TagInput): Condition | undefined {
  if (filter === undefined) return undefined;
  checkComplexity(filter);
  return compileCondition(filter);
}

function addValue(to: Distinct<TagValue>, value: TagValue): boolean {
  return to.add(`${value.type} ${value.value}`, value.value, value);
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

/** Names by scope. */
class ScopedNames {
  readonly #scopes = new Map<TagScope, Distinct<string>>();
  readonly #input: TagInput;

  constructor(input: TagInput) {
    this.#input = input;
  }

  get isTruncated(): boolean {
    return [...this.#scopes.values()].some((names) => names.isTruncated);
  }

  add(scope: TagScope, name: string): boolean {
    let names = this.#scopes.get(scope);
    if (names === undefined) {
      names = new Distinct(this.#input);
      this.#scopes.set(scope, names);
    }
    return names.add(name, name, name);
  }

  addAll(other: ScopedNames): void {
    for (const { name: scope, tags } of other.scopes()) {
      for (const tag of tags) if (!this.add(scope, tag)) break;
    }
  }

  scopes(): TagNamesRun["scopes"] {
    return TAG_SCOPES.flatMap((name) => {
      const tags = this.#scopes.get(name)?.values() ?? [];
      return tags.length === 0 ? [] : [{ name, tags }];
    });
  }
}
