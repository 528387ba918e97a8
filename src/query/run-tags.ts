// Names and values of attributes over everything that a tenant has in a window.
import type { Field, FieldExpression } from "../traceql/ast.ts";
import type { ScanDeps, ScanReport, ScanWindow } from "./query-scan.ts";

/** Scopes that have attributes, in the order of answers. */
export const TAG_SCOPES = ["resource", "span", "event", "link", "instrumentation"] as const;
export type TagScope = (typeof TAG_SCOPES)[number];

interface TagInput {
  readonly window: ScanWindow;
  /** Only spans for which it holds count; undefined: all. */
  readonly filter?: FieldExpression | undefined;
  /** Names of each scope, or values, at most. */
  readonly limit: number;
  /** Bytes of all names or values together, as UTF-8. What is beyond is left out. */
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

export interface TagValue {
  readonly type: "string" | "int" | "float" | "bool" | "duration" | "keyword";
  readonly value: string;
}

export interface TagValuesRun extends ScanReport {
  /** Distinct, by type and value. */
  readonly values: readonly TagValue[];
  readonly isTruncated: boolean;
}

/** The names of attributes. @throws as `runSearch` does */
export async function runTagNames(deps: ScanDeps, input: TagNamesInput): Promise<TagNamesRun> {
  throw new Error(`${deps.tenant} ${input.limit}`);
}

/**
 * The values of a field. `status` and `kind` have those that can be (keywords), durations and ids none; an attribute
 * without scope those of span, resource and instrumentation.
 * @throws as `runSearch` does
 */
export async function runTagValues(deps: ScanDeps, input: TagValuesInput): Promise<TagValuesRun> {
  throw new Error(`${deps.tenant} ${input.limit}`);
}
