// Spans written as text, one a line:
//
//   1/b <a  shop  "GET /cart"  server  error  10ms  250ms  .http.status=500 resource.region="eu" event(20ms "exception" type="IO")
//
// trace/span, <parent, service, name, kind, status, start, duration, then what else there is. test/traceql/README.md
// tells it all.
import { KINDS, STATUSES } from "../../../src/traceql/ast.ts";
import type { PlainEvent, PlainLink, PlainScalar, PlainSpan, PlainValue } from "./trace.ts";

/** Times in scripts are relative to this: 2023-11-14 22:00:00 UTC. */
export const TIME_ZERO = 1_699_999_200_000_000_000n;

const NS_PER_UNIT: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 6e10, h: 3.6e12 };

/** ns of `250ms`, `-1.5s`. */
export function parseTime(text: string): bigint {
  const [, number = "", unit = ""] = /^(-?[\d.]+)(ns|us|ms|s|m|h)$/.exec(text) ?? [];
  if (unit === "") throw new Error(`no duration: ${text}`);
  return BigInt(Math.round(Number(number) * NS_PER_UNIT[unit]!));
}

class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** What `pattern` matches here, whitespace before it left out; undefined when it does not. */
  accept(pattern: RegExp): string | undefined {
    const sticky = new RegExp(`\\s*(${pattern.source})`, "y");
    sticky.lastIndex = this.#at;
    const match = sticky.exec(this.#text);
    if (match === null) return undefined;
    this.#at = sticky.lastIndex;
    return match[1];
  }

  expect(pattern: RegExp, what: string): string {
    const found = this.accept(pattern);
    if (found === undefined) throw new Error(`${what} expected at "${this.#text.slice(this.#at)}"`);
    return found;
  }

  isAtEnd(): boolean {
    return this.#text.slice(this.#at).trim() === "";
  }
}

const QUOTED = /"(?:[^"\\]|\\.)*"/;
const HEX = /[0-9a-f]+/;
const TIME = /-?[\d.]+[a-z]+/;

/** A word, or anything in quotes. */
function word(scanner: Scanner, what: string): string {
  const quoted = scanner.accept(QUOTED);
  return quoted === undefined ? scanner.expect(/[^\s"=(){}[\],]+/, what) : (JSON.parse(quoted) as string);
}

function scalar(scanner: Scanner): PlainScalar {
  const quoted = scanner.accept(QUOTED);
  if (quoted !== undefined) return JSON.parse(quoted) as string;
  const text = scanner.expect(/true|false|NaN|-?Infinity|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?/, "a value");
  if (text === "true" || text === "false") return text === "true";
  return /^-?\d+$/.test(text) ? BigInt(text) : Number(text);
}

/** `{}` stands for what is stored but not searched. */
function value(scanner: Scanner): PlainValue {
  if (scanner.accept(/\{\}/) !== undefined) return null;
  if (scanner.accept(/\[/) === undefined) return scalar(scanner);
  const values: PlainScalar[] = [];
  while (scanner.accept(/\]/) === undefined) {
    if (values.length > 0) scanner.expect(/,/, "a comma");
    values.push(scalar(scanner));
  }
  return values;
}

function attributes(scanner: Scanner): Map<string, PlainValue> {
  const found = new Map<string, PlainValue>();
  while (scanner.accept(/\)/) === undefined) {
    const key = word(scanner, "a key");
    scanner.expect(/=/, "=");
    found.set(key, value(scanner));
  }
  return found;
}

function traceId(scanner: Scanner): string {
  return scanner.expect(HEX, "a trace id").padStart(32, "0");
}

function spanId(scanner: Scanner): string {
  return scanner.expect(HEX, "a span id").padStart(16, "0");
}

function service(scanner: Scanner): Map<string, PlainValue> {
  if (scanner.accept(/-(?=\s)/) !== undefined) return new Map();
  return new Map([["service.name", word(scanner, "a service")]]);
}

interface Rest {
  readonly span: Map<string, PlainValue>;
  readonly resource: Map<string, PlainValue>;
  readonly instrumentation: Map<string, PlainValue>;
  readonly intrinsics: Map<string, PlainValue>;
  readonly events: PlainEvent[];
  readonly links: PlainLink[];
}

/** Scope, then key: `.x`, `resource.x`, `instrumentation.x`; the others are the span's own. */
function attribute(scanner: Scanner, rest: Rest): void {
  const scope = scanner.accept(/(?:resource|instrumentation)?\.(?=\S)/);
  const key = word(scanner, "an attribute");
  scanner.expect(/=/, "=");
  const target =
    scope === "."
      ? rest.span
      : scope === "resource."
        ? rest.resource
        : scope === undefined
          ? rest.intrinsics
          : rest.instrumentation;
  target.set(key, value(scanner));
}

function readRest(scanner: Scanner, rest: Rest, start: bigint): void {
  while (!scanner.isAtEnd()) {
    if (scanner.accept(/event\(/) !== undefined) {
      const time = start + parseTime(scanner.expect(TIME, "the time of an event"));
      rest.events.push({
        time,
        name: word(scanner, "the name of an event"),
        attributes: attributes(scanner),
      });
    } else if (scanner.accept(/link\(/) !== undefined) {
      const linked = traceId(scanner);
      scanner.expect(/\//, "/");
      rest.links.push({ traceId: linked, spanId: spanId(scanner), attributes: attributes(scanner) });
    } else attribute(scanner, rest);
  }
}

export function parseSpan(line: string): PlainSpan {
  const scanner = new Scanner(line);
  const trace = traceId(scanner);
  scanner.expect(/\//, "/");
  const id = spanId(scanner);
  const parent = scanner.accept(/</) === undefined ? "" : spanId(scanner);
  const resource = service(scanner);
  const name = word(scanner, "a name");
  const kind = (KINDS as readonly string[]).indexOf(word(scanner, "a kind"));
  const statusCode = (STATUSES as readonly string[]).indexOf(word(scanner, "a status"));
  if (kind < 0 || statusCode < 0) throw new Error(`no such kind or status: ${line}`);
  const start = TIME_ZERO + parseTime(scanner.expect(TIME, "a start"));
  const end = start + parseTime(scanner.expect(TIME, "a duration"));
  const rest: Rest = {
    span: new Map(),
    resource,
    instrumentation: new Map(),
    intrinsics: new Map(),
    events: [],
    links: [],
  };
  readRest(scanner, rest, start);
  const text = (key: string): string => String(rest.intrinsics.get(key) ?? "");
  return {
    traceId: trace,
    spanId: id,
    parentSpanId: parent,
    name,
    kind,
    statusCode,
    statusMessage: text("statusMessage"),
    start,
    end,
    attributes: rest.span,
    events: rest.events,
    links: rest.links,
    resource: rest.resource,
    scope: {
      name: text("instrumentation:name"),
      version: text("instrumentation:version"),
      attributes: rest.instrumentation,
    },
  };
}
