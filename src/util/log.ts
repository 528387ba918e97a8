// Structured logs: one JSON object a line, as Workers Logs indexes them. Never secrets, never span contents.
import { Budget } from "./budget.ts";
import { cleanReason, masked } from "./clean-text.ts";
import { systemClock } from "./clock.ts";

/**
 * Values are ours: numbers, ids, names of routes and kinds. What an error says goes into `error` or `reason`, where what it
 * quotes is taken out: that may be what somebody sent.
 */
export type LogFields = Readonly<Record<string, string | number>>;

const SAID: ReadonlySet<string> = new Set(["error", "reason"]);

/**
 * Lines of one message at once, and then one in so many ms: logs are paid for by the gigabyte, and a fault that comes with
 * each request must not cost more than the requests.
 */
const LINES_AT_ONCE = 50;
const LINE_EVERY_MS = 2_000;
/** Messages told apart; the rest share a budget. */
const MESSAGES_MAX = 100;
/** Characters of a field. */
const FIELD_MAX = 2_000;

interface Gate {
  readonly budget: Budget;
  leftOut: number;
}

const gates = new Map<string, Gate>();

/** Tells the operator of a fault that no caller is told of. */
export function logError(message: string, fields: LogFields = {}): void {
  line("error", message, fields, (text) => console.error(text));
}

/** Tells the operator of something that is wrong with what others send. */
export function logWarning(message: string, fields: LogFields = {}): void {
  line("warning", message, fields, (text) => console.warn(text));
}

/** Tells the operator of something rare that is as it should be. */
export function logInfo(message: string, fields: LogFields = {}): void {
  line("info", message, fields, (text) => console.log(text));
}

function line(level: string, message: string, fields: LogFields, write: (text: string) => void): void {
  const gate = gateOf(message);
  if (!gate.budget.take()) {
    gate.leftOut++;
    return;
  }
  const leftOut = gate.leftOut > 0 ? { leftOut: gate.leftOut } : {};
  gate.leftOut = 0;
  const clean = Object.entries(fields).map(([name, value]) => [name, cleanField(name, value)]);
  write(JSON.stringify({ ...Object.fromEntries(clean), level, message, ...leftOut }));
}

function cleanField(name: string, value: string | number): string | number {
  if (typeof value === "number") return value;
  return SAID.has(name) ? cleanReason(value) : masked(value.slice(0, FIELD_MAX));
}

function gateOf(message: string): Gate {
  const key = gates.has(message) || gates.size < MESSAGES_MAX ? message : "";
  const known = gates.get(key);
  if (known !== undefined) return known;
  const gate = { budget: new Budget(LINES_AT_ONCE, LINE_EVERY_MS, systemClock), leftOut: 0 };
  gates.set(key, gate);
  return gate;
}
