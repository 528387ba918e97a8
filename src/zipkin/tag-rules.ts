// What becomes of a tag, by its key.
import type { ByteSource } from "../util/byte-source.ts";
import { isResourceKey } from "./resource-keys.ts";

/** `attribute` is an attribute of the span; the rest have a place of their own in OTLP. */
export const RULE = {
  attribute: 0,
  resource: 1,
  scopeName: 2,
  scopeVersion: 3,
  traceState: 4,
  statusCode: 5,
  statusDescription: 6,
  error: 7,
  spanKind: 8,
  serviceNameSource: 9,
  link: 10,
} as const;

const NAMED: ReadonlyMap<string, number> = new Map([
  ["otel.library.name", RULE.scopeName],
  ["otel.library.version", RULE.scopeVersion],
  ["w3c.tracestate", RULE.traceState],
  ["otel.status_code", RULE.statusCode],
  ["otel.status_description", RULE.statusDescription],
  ["error", RULE.error],
  ["span.kind", RULE.spanKind],
  ["otlp.service.name.source", RULE.serviceNameSource],
]);

const LINK_KEY = /^otlp\.link\.\d{1,4}$/;

/** The rule of a key. */
export function ruleOf(key: string): number {
  const named = NAMED.get(key);
  if (named !== undefined) return named;
  if (isResourceKey(key)) return RULE.resource;
  return LINK_KEY.test(key) ? RULE.link : RULE.attribute;
}

/** The first three letters of all keys with a rule: the others, most of all tags, are told by one look-up. */
const BEGINNINGS = "aws clo con dep dev err faa hos k8s ope os. ote otl pro ser spa tel w3c web".split(" ");
const BITS = 4096;
const MAY_HAVE_RULE = new Uint8Array(BITS);
for (const text of BEGINNINGS) {
  MAY_HAVE_RULE[slotOf(text.charCodeAt(0), text.charCodeAt(1), text.charCodeAt(2))] = 1;
}

function slotOf(a: number, b: number, c: number): number {
  return (a * 31 + b * 577 + c * 17) & (BITS - 1);
}

/** Keys remembered, a power of 2; real batches have some 20 to remember. Another of the same slot takes its place. */
const SLOTS = 256;

/** Rules of keys given as ranges of one body, remembered. */
export class TagRules {
  readonly #source: ByteSource;
  // Of the key in each slot. No key is empty.
  readonly #starts = new Int32Array(SLOTS);
  readonly #lengths = new Int32Array(SLOTS);
  readonly #rules = new Int32Array(SLOTS);

  constructor(source: ByteSource) {
    this.#source = source;
  }

  of(start: number, end: number): number {
    const source = this.#source;
    const { bytes } = source;
    const length = end - start;
    const beginning = slotOf(bytes[start] ?? 0, bytes[start + 1] ?? 0, bytes[start + 2] ?? 0);
    if (MAY_HAVE_RULE[beginning] === 0 || length < 4) return RULE.attribute;
    const middle = bytes[(start + end) >>> 1] ?? 0;
    const slot = (beginning + length * 37 + middle * 11 + (bytes[end - 1] ?? 0) * 3) & (SLOTS - 1);
    if (this.#lengths[slot] === length && source.isSame(this.#starts[slot] ?? 0, start, length)) {
      return this.#rules[slot] ?? RULE.attribute;
    }
    const rule = ruleOf(source.text(start, end));
    this.#starts[slot] = start;
    this.#lengths[slot] = length;
    this.#rules[slot] = rule;
    return rule;
  }
}

/** STATUS_CODE by the name that exporters write: `Ok`, `OK`, `STATUS_CODE_OK`. Undefined when it is none. */
export function statusCodeOf(text: string): number | undefined {
  switch (text.toUpperCase().replace(/^STATUS_CODE_/, "")) {
    case "UNSET":
      return 0;
    case "OK":
      return 1;
    case "ERROR":
      return 2;
    default:
      return undefined;
  }
}
