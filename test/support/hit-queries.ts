// Random queries about what random-spans.ts makes, so that most of them find something. Not all pass the checker.
import fc from "fast-check";
import { SPANS_START } from "./random-spans.ts";

const TEXT_FIELDS = [
  "name",
  "span.x",
  ".x",
  "span.rare",
  "resource.service.name",
  "resource.x",
  "resource.region",
  "event.x",
  "event.type",
  "event:name",
  "link.x",
  "instrumentation.x",
  "instrumentation:name",
  "rootName",
  "rootServiceName",
  "statusMessage",
  "parent.name",
  "parent.span.x",
  "parent.resource.service.name",
];
const NUMBER_FIELDS = [
  "duration",
  "duration",
  "traceDuration",
  "span.n",
  "span.y",
  "span.x",
  ".x",
  "event.x",
  "event:timeSinceStart",
  "span:childCount",
  "nestedSetLeft",
  "nestedSetParent",
  "parent.duration",
  "parent.span.n",
];
const NIL_FIELDS = ["span.x", ".x", ".y", "span.rare", "resource.x", "event.x", "link.x", "parent.span.y"];
const FIELDS = [...TEXT_FIELDS, ...NUMBER_FIELDS, "status", "kind", "span:id", "span.flag", "span.missing"];

const TEXTS = [
  `"a"`,
  `"b"`,
  `""`,
  `"GET"`,
  `"POST"`,
  `"shop"`,
  `"cart"`,
  `"lib"`,
  `"log"`,
  `"boom"`,
  '`"q\\`',
];
const PATTERNS = [`"a|b"`, `"G.*"`, `".*"`, `"[^a]*"`, `"(?i)get|run"`, `"s?hop"`];
const NUMBERS = ["0", "1", "2", "200", "0.5", "-3", "1s", "500ms", "30s", "1152921504606846976", "1e300"];

/** Twenty seconds of the minute in which the spans start. */
const WINDOW = `, 5, ${SPANS_START + 10_000_000_000n}, ${SPANS_START + 30_000_000_000n}`;

const pick = (...texts: readonly string[]): fc.Arbitrary<string> => fc.constantFrom(...texts);
const join = (...parts: readonly (string | fc.Arbitrary<string>)[]): fc.Arbitrary<string> =>
  fc
    .tuple(...parts.map((part) => (typeof part === "string" ? fc.constant(part) : part)))
    .map((texts) => texts.join(" "));
const comparison = pick("=", "!=", "<", "<=", ">", ">=");
const equality = pick("=", "!=");
const textField = pick(...TEXT_FIELDS);
const numberField = pick(...NUMBER_FIELDS);
const number = pick(...NUMBERS);

const numeric = fc.oneof(
  { weight: 4, arbitrary: numberField },
  { weight: 1, arbitrary: join("(", numberField, pick("+", "-", "*"), fc.oneof(numberField, number), ")") },
  { weight: 1, arbitrary: join("(", numberField, pick("/", "%"), pick("2", "0.3", "7ms"), ")") },
  { weight: 1, arbitrary: join("-", numberField) },
);

const simple = fc.oneof(
  { weight: 4, arbitrary: join(textField, comparison, pick(...TEXTS)) },
  { weight: 2, arbitrary: join(textField, pick("=~", "!~"), pick(...PATTERNS)) },
  { weight: 4, arbitrary: join(numeric, comparison, fc.oneof(number, numeric)) },
  { weight: 2, arbitrary: join("status", equality, pick("ok", "error", "unset")) },
  { weight: 2, arbitrary: join("kind", equality, pick("server", "client", "internal")) },
  { weight: 2, arbitrary: join(pick(...NIL_FIELDS), equality, "nil") },
  { weight: 1, arbitrary: pick("span.flag", "!span.flag", "span.flag = true", ".x", "true", "false") },
  { weight: 1, arbitrary: join(textField, comparison, textField) },
  {
    weight: 1,
    arbitrary: join(
      pick("trace:id", "span:id", "span:parentID", "link:spanID"),
      comparison,
      pick(`"1"`, `"2"`, `"0003"`, `""`),
    ),
  },
  { weight: 1, arbitrary: pick("(span.y != 0 && span.n / span.y > 1)", "(.y = 0 || .n % .y < 2)") },
);

const { condition } = fc.letrec<{ condition: string }>((tie) => ({
  condition: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    { weight: 5, arbitrary: simple },
    { weight: 2, arbitrary: join(tie("condition"), "&&", tie("condition")) },
    { weight: 2, arbitrary: join("(", tie("condition"), "||", tie("condition"), ")") },
    { weight: 1, arbitrary: join("!(", tie("condition"), ")") },
  ),
}));

const filter = fc.oneof(
  { weight: 1, arbitrary: fc.constant("{}") },
  { weight: 5, arbitrary: join("{", condition, "}") },
);

const relation = fc
  .tuple(pick("", "", "!", "&"), pick(">", ">>", "<", "<<", "~"))
  .map(([form, symbol]) => form + symbol);
const aggregate = fc.oneof(
  fc.constant("count()"),
  fc.tuple(pick("min", "max", "avg", "sum"), numeric).map(([fn, operand]) => `${fn}(${operand})`),
);
const scalarFilter = fc.oneof(
  { weight: 2, arbitrary: join("count()", comparison, pick("1", "2", "3")) },
  { weight: 2, arbitrary: join(aggregate, pick(">", "!=", "<="), number) },
  { weight: 1, arbitrary: join(aggregate, pick("+", "*"), pick("1", "2"), pick(">", "<="), aggregate) },
);
const fields = fc
  .array(fc.constantFrom(...FIELDS), { minLength: 1, maxLength: 3 })
  .map((names) => names.join(", "));

const { pipeline } = fc.letrec<{ spanset: string; stage: string; pipeline: string }>((tie) => ({
  spanset: fc.oneof(
    { maxDepth: 2, depthSize: "small" },
    { weight: 6, arbitrary: filter },
    { weight: 1, arbitrary: join("(", tie("spanset"), pick("&&", "||"), tie("spanset"), ")") },
    { weight: 2, arbitrary: join("(", tie("spanset"), relation, tie("spanset"), ")") },
    { weight: 1, arbitrary: join("(", tie("pipeline"), ")", pick("&&", "||"), tie("spanset")) },
  ),
  stage: fc.oneof(
    { weight: 2, arbitrary: tie("spanset") },
    { weight: 3, arbitrary: scalarFilter },
    { weight: 2, arbitrary: fc.constantFrom(...FIELDS).map((field) => `by(${field})`) },
    { weight: 1, arbitrary: numeric.map((value) => `by(${value})`) },
    { weight: 1, arbitrary: fc.constant("coalesce()") },
    { weight: 2, arbitrary: fields.map((names) => `select(${names})`) },
  ),
  pipeline: fc
    .tuple(tie("spanset"), fc.array(tie("stage"), { maxLength: 3 }))
    .map(([first, stages]) => [first, ...stages].join(" | ")),
}));

/** Text of a search. */
export const arbSearchText: fc.Arbitrary<string> = pipeline;

const by = fc.oneof(
  fc.constant(""),
  fields.map((names) => ` by(${names})`),
);
const counting = fc.tuple(pick("rate()", "count_over_time()"), by).map(([fn, names]) => fn + names);
const ofField = (...names: readonly string[]): fc.Arbitrary<string> =>
  fc.tuple(pick(...names), numberField, by).map(([fn, field, labels]) => `${fn}(${field})${labels}`);
/** Functions whose samples are exact: what follows can depend on the last bit. */
const exact = fc
  .tuple(fc.oneof(filter, pipeline), fc.oneof(counting, ofField("min_over_time", "max_over_time")))
  .map(([source, fn]) => `${source} | ${fn}`);
const summing = fc
  .tuple(fc.oneof(filter, pipeline), ofField("sum_over_time", "avg_over_time", "histogram_over_time"))
  .map(([source, fn]) => `${source} | ${fn}`);
const quantiles = fc
  .tuple(fc.oneof(filter, pipeline), numberField, pick("0.5", "0, 1", ".25, .9, .99"), by)
  .map(([source, field, q, names]) => `${source} | quantile_over_time(${field}, ${q})${names}`);
const compared = fc
  .tuple(fc.oneof(filter, pipeline), filter, pick("", ", 1", ", 3", WINDOW))
  .map(([source, selection, topN]) => `${source} | compare(${selection}${topN})`);
const stage = fc.oneof(
  join("|", pick("topk(1)", "topk(2)", "bottomk(1)", "bottomk(3)")),
  join(comparison, pick("0", "1", "0.1", "2s")),
);
const staged = fc
  .tuple(exact, fc.array(stage, { minLength: 1, maxLength: 2 }))
  .map(([metric, stages]) => [metric, ...stages].join(" "));
const calculated = fc.oneof(
  join("(", exact, ")", pick("+", "-", "*", "/"), "(", exact, ")"),
  join("(", exact, ")", pick("+", "-", "*", "/"), pick("2", "0.5", "0")),
);

/** Text of a metrics query. Quantiles, which are not exact, stand alone. */
export const arbMetricsText: fc.Arbitrary<string> = fc.oneof(
  { weight: 3, arbitrary: exact },
  { weight: 2, arbitrary: summing },
  { weight: 2, arbitrary: quantiles },
  { weight: 1, arbitrary: compared },
  { weight: 2, arbitrary: staged },
  { weight: 2, arbitrary: calculated },
);
