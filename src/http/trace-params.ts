// The query parameters of trace by id, with Tempo's rules and texts. An empty parameter counts as absent.
import type { TraceMode } from "../query/find-trace.ts";
import { AppError } from "../util/errors.ts";

export interface TraceParams {
  readonly mode: TraceMode;
  /** Unix seconds, 0 when absent. */
  readonly startSeconds: number;
  readonly endSeconds: number;
}

const MODES: readonly TraceMode[] = ["all", "ingesters", "blocks", "external"];

// The forms that Go's uuid.Parse takes: plain, `urn:uuid:`, in braces, without dashes.
const UUID =
  /^(?:(?:urn:uuid:)?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|\{[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\}|[0-9a-f]{32})$/i;

function bad(message: string): AppError {
  return new AppError("invalid_argument", message);
}

function modeOf(params: URLSearchParams): TraceMode {
  const text = params.get("mode") ?? "";
  if (text === "") return "all";
  const mode = MODES.find((known) => known === text);
  if (mode === undefined) throw bad(`invalid value for mode ${text}`);
  return mode;
}

function secondsOf(params: URLSearchParams, name: string): number {
  const text = params.get(name) ?? "";
  if (text === "") return 0;
  const value = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw bad(`invalid ${name}: "${text}" is no number of seconds`);
  return value;
}

function checkUuid(params: URLSearchParams, name: string): void {
  const text = params.get(name) ?? "";
  if (text !== "" && !UUID.test(text)) throw bad(`invalid ${name}: "${text}" is no UUID`);
}

/**
 * Reads and checks the parameters. `blockStart` and `blockEnd`, by which Tempo shards a query within itself, are
 * checked and change nothing.
 * @throws AppError `invalid_argument`
 */
export function readTraceParams(params: URLSearchParams): TraceParams {
  const mode = modeOf(params);
  checkUuid(params, "blockStart");
  checkUuid(params, "blockEnd");
  const startSeconds = secondsOf(params, "start");
  const endSeconds = secondsOf(params, "end");
  if (startSeconds !== 0 && endSeconds !== 0 && endSeconds <= startSeconds) {
    throw bad(`http parameter start must be before end. received start=${startSeconds} end=${endSeconds}`);
  }
  return { mode, startSeconds, endSeconds };
}
