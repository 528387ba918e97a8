// The parameters of the endpoints for names and values of tags, with Tempo's rules and texts.
import type { Limits } from "../../model/limits.ts";
import type { ScanWindow } from "../../query/query-scan.ts";
import { TAG_SCOPES, type TagScope } from "../../query/tags/tag.ts";
import type { Field, FieldExpression, Scope } from "../../traceql/ast.ts";
import { lenientCondition } from "../../traceql/lenient.ts";
import { parseField } from "../../traceql/parse.ts";
import { isAppError, messageOf } from "../../util/errors.ts";
import { badRequest, parseUint32, secondsParam, secondsWindow, textParam } from "./query-params.ts";
import { maxSearchMs, tooLong } from "./search-params.ts";

/** Tempo answers from its live data without a range, some half an hour; here it is what a drop-down should know. */
const DEFAULT_RANGE_SECONDS = 3 * 3600;

/** `all`: no scope was named. `trace` has no attributes. */
export type NamesScope = "all" | "intrinsic" | "trace" | TagScope;

interface TagParams {
  readonly window: ScanWindow;
  readonly filter: FieldExpression | undefined;
  /** Infinity when there is none. */
  readonly limit: number;
}

export interface TagNamesParams extends TagParams {
  readonly scope: NamesScope;
}

function readWindow(params: URLSearchParams, nowMs: number, limits: Limits): ScanWindow {
  const maxMs = maxSearchMs(limits);
  const given = { start: secondsParam(params, "start"), end: secondsParam(params, "end") };
  const end = given.end ?? Math.floor(nowMs / 1000);
  const start = given.start ?? Math.max(0, end - Math.min(DEFAULT_RANGE_SECONDS, Math.floor(maxMs / 1000)));
  if (end <= start) {
    throw badRequest(`http parameter start must be before end. received start=${start} end=${end}`);
  }
  if ((end - start) * 1000 > maxMs) throw tooLong(start, end, limits);
  return secondsWindow(start, end);
}

function readLimit(params: URLSearchParams): number {
  const text = textParam(params, "limit") ?? "0";
  const limit = parseUint32(text);
  if (limit === undefined) throw badRequest(`invalid limit: "${text}" is no whole number`);
  return limit === 0 ? Infinity : limit;
}

function readCommon(params: URLSearchParams, nowMs: number, limits: Limits): TagParams {
  const q = textParam(params, "q");
  return {
    window: readWindow(params, nowMs, limits),
    filter: q === undefined ? undefined : lenientCondition(q),
    limit: readLimit(params),
  };
}

function readScope(params: URLSearchParams): NamesScope {
  const text = textParam(params, "scope") ?? "none";
  if (text === "none") return "all";
  if (text === "intrinsic" || text === "trace") return text;
  const scope = TAG_SCOPES.find((known) => known === text);
  if (scope === undefined) throw badRequest(`invalid scope: ${text}`);
  return scope;
}

/** @throws AppError `invalid_argument` */
export function readTagNamesParams(params: URLSearchParams, nowMs: number, limits: Limits): TagNamesParams {
  return { ...readCommon(params, nowMs, limits), scope: readScope(params) };
}

/** @throws AppError `invalid_argument` */
export function readTagValuesParams(params: URLSearchParams, nowMs: number, limits: Limits): TagParams {
  return readCommon(params, nowMs, limits);
}

/**
 * The name in a path `<prefix><name>/values`: everything between them, slashes too, decoded once. Within the prefix
 * several slashes are one.
 * @returns undefined when the path is no such one
 * @throws AppError `invalid_argument`
 */
export function tagNameInPath(path: string, prefix: string): string | undefined {
  const suffix = "/values";
  const start = new RegExp(`^${prefix.replaceAll("/", "/+").replace(/\+$/, "")}`).exec(path)?.[0];
  if (start === undefined || !path.endsWith(suffix)) return undefined;
  const name = path.slice(start.length, -suffix.length);
  if (name === "") return undefined;
  try {
    return decodeURIComponent(name);
  } catch {
    throw badRequest(`please provide a valid tagName: "${name}" is not percent-encoded UTF-8`);
  }
}

const PREFIXES: readonly (readonly [prefix: string, scope: Scope])[] = [
  [".", "any"],
  ...TAG_SCOPES.map((scope) => [`${scope}.`, scope] as const),
];

/**
 * The field that version 2 names: `resource.service.name`, `.x`, `span."a b"`, `status`. Behind a scope any other text is
 * taken for the attribute's name as it is, as clients send those with special characters.
 * @throws AppError `invalid_argument`: `please provide a valid tagName: failed to parse identifier …`
 */
export function readTagField(name: string): Field {
  try {
    return parseField(name);
  } catch (error) {
    if (!isAppError(error) || error.kind !== "invalid_argument") throw error;
    const [prefix = "", scope] = PREFIXES.find(([start]) => name.startsWith(start)) ?? [];
    if (scope === undefined || name.length === prefix.length) {
      throw badRequest(`please provide a valid tagName: ${messageOf(error)}`);
    }
    return { kind: "attribute", scope, name: name.slice(prefix.length), parent: false, at: 0 };
  }
}

/** What version 1 calls otherwise. */
const V1_FIELDS: ReadonlyMap<string, string> = new Map([
  ["root.name", "rootName"],
  ["root.service.name", "rootServiceName"],
]);

/** The field that version 1 names: an intrinsic, or an attribute, mostly without scope. */
export function readTagFieldV1(name: string): Field {
  const text = V1_FIELDS.get(name) ?? name;
  try {
    return parseField(text);
  } catch (error) {
    if (!isAppError(error) || error.kind !== "invalid_argument") throw error;
    return { kind: "attribute", scope: "any", name, parent: false, at: 0 };
  }
}

/** Names of version 1 whose values are always the same. */
export const V1_VALUES: ReadonlyMap<string, readonly string[]> = new Map([
  ["status.code", ["unset", "ok", "error"]],
  ["error", ["true"]],
]);
