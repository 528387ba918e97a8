// Queries by the construct they show: what every row of the language's checklist accepts and refuses.

export interface Row {
  /** The construct's number in the checklist and what it is. */
  readonly row: string;
  readonly accepted: readonly string[];
  readonly refused?: readonly string[];
}

export const LEXICAL: readonly Row[] = [
  {
    row: "L1 whitespace and newlines",
    accepted: ["{span.a=1}", "{ span.a\t=\r\n 1 }", "\n{}\n|\nrate()\n", "{\u00a0span.a\u2003= 1 }"],
  },
  {
    row: "L2 comments",
    accepted: ["{ span.a = 1 } // the end", "{ /* { */ span.a /* = */ = 1 }", "// first\n{ true }", "{}//"],
    refused: ["{ /* span.a = 1 }", "// nothing else"],
  },
  {
    row: "L3 strings",
    accepted: [
      String.raw`{ span.a = "tab \t quote \" backslash \\ bell \a \x41 \u00e9 \U0001F600 \101" }`,
      String.raw`{ span.a =~ "a\\.b" }`,
      `{ span.a = "" }`,
    ],
    refused: [
      String.raw`{ span.a =~ "a\.b" }`,
      String.raw`{ span.a = "\$" }`,
      String.raw`{ span.a = "\x4" }`,
      String.raw`{ span.a = "\u12" }`,
      String.raw`{ span.a = "\ud800" }`,
      String.raw`{ span.a = "\477" }`,
      `{ span.a = "open }`,
      '{ span.a = "two\nlines" }',
    ],
  },
  {
    row: "L4 raw strings",
    accepted: [
      '{ span.a = `no \\escapes "here"` }',
      "{ span.a =~ `\\d+\\.\\d+` }",
      "{ span.a = `two\nlines` }",
    ],
    refused: ["{ span.a = `open }"],
  },
  { row: "L5 single quotes", accepted: [], refused: ["{ span.a = 'x' }", "{ span.'a b' = 1 }"] },
  {
    row: "L6 integers",
    accepted: [
      "{ span.a = 9223372036854775807 }",
      "{ span.a > minInt && span.a < maxInt }",
      "{ span.a = 007 }",
    ],
    refused: ["{ span.a = 9223372036854775808 }", "{ span.a = -9223372036854775808 }", "{ span.a = 0x1F }"],
  },
  {
    row: "L7 floats",
    accepted: [
      "{ span.a = 1.5 }",
      "{ span.a = 1e3 }",
      "{ span.a = .5 }",
      "{ span.a = 2.5E-3 }",
      "{ span.a = 1. }",
    ],
    refused: ["{ span.a = 1e999 }", "{ span.a = 1.2.3 }", "{ span.a = 1e }"],
  },
  {
    row: "L8 durations",
    accepted: [
      "{ duration > 1.5s }",
      "{ duration > 100ms }",
      "{ duration > 1h30m }",
      "{ duration > 10us || duration > 10\u00b5s || duration > 10\u03bcs }",
      "{ duration > 15ns }",
      "{ duration > 1d }",
      "{ duration > 1w2d3h }",
      "{ duration > 1y }",
      "{ duration > .5s }",
      "{ duration > 30m1h }",
    ],
    refused: [
      "{ duration > 1.5d }",
      "{ duration > 3h1d }",
      "{ duration > 1d1d }",
      "{ duration > 1d5us }",
      "{ duration > 5parsec }",
      "{ duration > 1h5 }",
      "{ duration > 300y }",
      "{ duration > 1s2 }",
    ],
  },
  { row: "L9 booleans, nil", accepted: ["{ span.a = true || span.a = false }", "{ span.a = nil }"] },
  { row: "L10 status", accepted: ["{ status = ok || status = error || status = unset }"] },
  {
    row: "L11 kind",
    accepted: [
      "{ kind = unspecified || kind = internal || kind = server || kind = client || kind = producer || kind = consumer }",
    ],
  },
  {
    row: "L12 attribute runes",
    accepted: [
      "{ .a+1 = 2 }",
      "{ .a-b = 2 }",
      "{ .a/b = 2 }",
      "{ .a%b = 2 }",
      "{ .a[0] = 2 }",
      "{ .a:b = 2 }",
      "{ span.http.method=`GET`}",
      "{ .größe > 1 && .\u{1F600} = 1 && .a@b#c;d?e$f\\g*h'i = 1 }",
    ],
    refused: ["{ . = 1 }", "{ span. = 1 }", "{ .a b = 1 }"],
  },
  {
    row: "L13 quoted attribute",
    accepted: [
      `{ ."a b" = 1 }`,
      `{ span."x y" = 1 && resource."k8s/pod" = 1 }`,
      `{ span.http."a b".c = 1 }`,
      String.raw`{ ."quote \" and backslash \\" = 1 }`,
      '{ ."tab\tnewline\n" = 1 }',
      `{ ."{}()=~!<>&|^," = 1 }`,
      `{ ."1" = 1 }`,
    ],
    refused: [`{ ."" = 1 }`, `{ ."open = 1 }`, String.raw`{ ."\n" = 1 }`],
  },
  {
    row: "L14 dot spacing",
    accepted: ["{.foo=1}", "{ span.foo = 1 }"],
    refused: ["{ span .foo = 1 }", "{ span. foo = 1 }", "{ . foo = 1 }"],
  },
];

export const FIELDS: readonly Row[] = [
  { row: "F1 unscoped", accepted: ["{ .x = 1 }", "{ .span.x = 1 }"] },
  { row: "F2 span", accepted: ["{ span.x = 1 }"] },
  { row: "F3 resource", accepted: ["{ resource.x = 1 }"] },
  { row: "F4 event", accepted: ["{ event.x = 1 }"] },
  { row: "F5 link", accepted: ["{ link.x = 1 }"] },
  { row: "F6 instrumentation", accepted: ["{ instrumentation.x = 1 }"] },
  {
    row: "F7 parent",
    accepted: [
      "{ parent.x = 1 }",
      "{ parent.span.x = 1 }",
      "{ parent.resource.x = 1 }",
      "{ parent.event.x = 1 && parent.link.x = 1 && parent.instrumentation.x = 1 }",
      "{ parent.name = `a` && parent.duration > 1s && parent.span:status = error }",
      "{ parent.kind = nil }",
      "{} | max(parent.duration) > 1s",
      "{} | rate() by (parent.name)",
    ],
    refused: [
      "{ parent = nil }",
      "{ parent }",
      "{ parent. = 1 }",
      "{ parent.span. = 1 }",
      "{ parent.rootName = `a` }",
    ],
  },
  { row: "F8 attribute named like an intrinsic", accepted: ["{ .duration = `x` && span.name = 1 }"] },
  { row: "no trace scope", accepted: [], refused: ["{ trace.x = 1 }", "{ app.user = 1 }", "{ x = 1 }"] },
];

/** Both spellings of each intrinsic, with a literal of its type. */
export const INTRINSIC_SPELLINGS: readonly (readonly [
  canonical: string,
  spellings: readonly string[],
  literal: string,
])[] = [
  ["duration", ["duration", "span:duration"], "1s"],
  ["name", ["name", "span:name"], `"a"`],
  ["status", ["status", "span:status"], "error"],
  ["statusMessage", ["statusMessage", "span:statusMessage"], `"a"`],
  ["kind", ["kind", "span:kind"], "server"],
  ["span:id", ["span:id"], `"0102030405060708"`],
  ["span:parentID", ["span:parentID"], `"0102030405060708"`],
  ["span:childCount", ["span:childCount"], "3"],
  ["traceDuration", ["traceDuration", "trace:duration"], "1s"],
  ["rootName", ["rootName", "trace:rootName"], `"a"`],
  ["rootServiceName", ["rootServiceName", "trace:rootService"], `"a"`],
  ["trace:id", ["trace:id"], `"01"`],
  ["event:name", ["event:name"], `"exception"`],
  ["event:timeSinceStart", ["event:timeSinceStart"], "1s"],
  ["link:traceID", ["link:traceID"], `"01"`],
  ["link:spanID", ["link:spanID"], `"01"`],
  ["instrumentation:name", ["instrumentation:name"], `"a"`],
  ["instrumentation:version", ["instrumentation:version"], `"1"`],
  ["nestedSetLeft", ["nestedSetLeft"], "1"],
  ["nestedSetRight", ["nestedSetRight"], "1"],
  ["nestedSetParent", ["nestedSetParent"], "-1"],
];

export const WRONG_INTRINSICS: readonly string[] = [
  "trace:status",
  "trace:kind",
  "trace:name",
  "trace:rootServiceName",
  "span:rootName",
  "childCount",
  "span:events",
  "resource:name",
];

export const OPERATORS: readonly Row[] = [
  {
    row: "O1 equality",
    accepted: [
      "{ name = `a` }",
      "{ 1 != 1.5 }",
      "{ duration = 5 }",
      "{ span.a = span.b }",
      "{ status != ok }",
    ],
    refused: [
      "{ 1 = `a` }",
      "{ name = 1 }",
      "{ status = server }",
      "{ kind = ok }",
      "{ true = 1 }",
      "{ span.a == 1 }",
    ],
  },
  {
    row: "O2 order",
    accepted: [
      "{ span.a < `b` }",
      "{ 1 < 1h }",
      "{ duration >= span.limit }",
      "{ name <= `m` }",
      "{ 5 > .a }",
    ],
    refused: [
      "{ status > ok }",
      "{ kind < server }",
      "{ true > false }",
      "{ span.a > true }",
      "{ span.a < nil }",
    ],
  },
  {
    row: "O3 regular expressions",
    accepted: ["{ name =~ `GET .*` }", "{ span.a !~ `a|b` }", "{ `a` =~ `a` }"],
    refused: [
      "{ name =~ 5 }",
      "{ name =~ span.a }",
      "{ name =~ `[` }",
      "{ span.a !~ `(?=x)` }",
      "{ duration =~ `1s` }",
      "{ status =~ `ok` }",
    ],
  },
  {
    row: "O4 arithmetic",
    accepted: ["{ .a + 1 - 2 * 3 / 4 % 5 ^ 2 = 1 }", "{ duration / 2 > 1s }", "{ duration * 1.5 > span.b }"],
    refused: [
      "{ 1 + `a` = 1 }",
      "{ name * 2 = 1 }",
      "{ true - 1 = 1 }",
      "{ nil + 1 = 1 }",
      "{ 1 / 0 = 1 }",
      "{ .a ** 2 = 1 }",
    ],
  },
  {
    row: "O5 logic",
    accepted: ["{ .a && .b || false }", "{ true && name = `a` }"],
    refused: [
      "{ 1 && true }",
      "{ true || name }",
      "{ true && nil }",
      "{ true and false }",
      "{ true & false }",
    ],
  },
  {
    row: "O6 not",
    accepted: ["{ !.a }", "{ !(name = `a`) }", "{ !!true }"],
    refused: ["{ !1 = 1 }", "{ !name }", "{ !ok }"],
  },
  {
    row: "O7 minus",
    accepted: ["{ -.a = 2 }", "{ -duration < 0 }", "{ - -1 = 1 }"],
    refused: ["{ -name = 1 }", "{ -true }"],
  },
  {
    row: "a filter is a condition",
    accepted: ["{ .a }", "{ true }", "{ 1 = 2 }", "{ (((.a))) }"],
    refused: [
      "{ 1 + 1 }",
      "{ `foo` }",
      "{ status }",
      "{ duration }",
      "{ nil }",
      "{ ok }",
      "{ 1h }",
      "{ .a",
      "{ (.a }",
      "{ .a) }",
    ],
  },
  {
    row: "nil",
    accepted: [
      "{ .a = nil }",
      "{ nil = .a }",
      "{ nil = nil || nil != nil }",
      "{ name != nil }",
      "{ resource.service.name != nil }",
      "{ event.x = nil }",
    ],
    refused: [
      "{ name = nil }",
      "{ nil = span:status }",
      "{ resource.service.name = nil }",
      "{ nil = resource.service.name }",
    ],
  },
];

const RELATIONS = [">", ">>", "<", "<<", "~"];

export const SPANSETS: readonly Row[] = [
  { row: "S1 filter", accepted: ["{ name = `a` }"] },
  { row: "S2 all", accepted: ["{}", "{ }"] },
  { row: "S3 none", accepted: ["{ false }"] },
  { row: "S4 and", accepted: ["{ .a } && { .b } && { .c }"], refused: ["{ .a } &&", "{ .a } and { .b }"] },
  { row: "S5 or", accepted: ["{ .a } || { .b }"], refused: ["|| { .b }", "{ .a } { .b }"] },
  ...RELATIONS.flatMap((relation) => [
    { row: `S6-10 ${relation}`, accepted: [`{ .a } ${relation} { .b }`], refused: [`{ .a } ${relation}`] },
    { row: `S11-15 !${relation}`, accepted: [`{ .a } !${relation} { .b }`] },
    { row: `S16-20 &${relation}`, accepted: [`{ .a } &${relation} { .b }`] },
  ]),
  {
    row: "S21 parentheses",
    accepted: ["({ .a })", "(({ .a } >> ({ .b } || { .c })))", "{ .a } >> { .b } > { .c } && { .d }"],
    refused: ["({ .a }", "{ .a })", "()", "(true)"],
  },
  {
    row: "S22 pipelines as operands",
    accepted: [
      "({ .a } | count() > 1) >> ({ .b })",
      "({ .a } | count() > 1 | { .c }) && ({ .b } | by(.x) | coalesce())",
      "(count() > 2) || ({ .b })",
    ],
    refused: ["({ .a } | rate()) >> ({ .b })", "({ .a } | count()) && ({ .b })"],
  },
  {
    row: "operators that do not relate spansets",
    accepted: [],
    refused: "+ - * / % ^ = <= >= != =~ !~~".split(" ").map((op) => `{ .a } ${op} { .b }`),
  },
];

export const PIPELINES: readonly Row[] = [
  {
    row: "P1 filter",
    accepted: ["{ .a } | { .b }", "{ .a } | { .b } >> { .c }"],
    refused: ["{ .a } |", "| { .a }"],
  },
  {
    row: "P2 count",
    accepted: [
      "{ .a } | count() > 1",
      "{ .a } | count() >= 1 | count() < 5 | count() <= 5 | count() = 3 | count() != 4",
      "count() > 10",
      "avg(duration) > 20ms",
      "max(duration) > 3s | { status = error }",
    ],
    refused: [
      "{ .a } | count(1) > 1",
      "{ .a } | count = 1",
      "count() > 1 && { .a }",
      "{ .a } | 3 > 2",
      "3 = 2",
    ],
  },
  {
    row: "P3 numeric aggregates",
    accepted: [
      "{} | min(.a) > 1",
      "{} | max((1 + .a) * 2) = 1",
      "{} | avg(duration) > 1s",
      "{} | sum(span.bytes / 1024) < 1.5",
    ],
    refused: ["{} | sum(3) = 2", "{} | max(1h + 2h) > 1", "{} | max() = 1", "{} | median(.a) = 1"],
  },
  { row: "P4 no comparison", accepted: [], refused: ["{} | count()", "avg(.a) + 1", "max(duration)"] },
  {
    row: "P5 aggregates on both sides, arithmetic",
    accepted: [
      "{} | max(duration) > 2 * avg(duration)",
      "{} | max(.a) - min(.a) > 3",
      "{} | sum(.a) = min(.a)",
      "{} | -count() < -3",
      "{} | (count() + 1) * 2 ^ 2 > count()",
      "{} | 2 < count()",
    ],
    refused: [
      "({} | count()) > ({} | count())",
      "({} | count()) + ({} | count()) = 1",
      "{} | count() > 1 > 2",
      "{} | count() > { .a }",
    ],
  },
  { row: "P6 static arithmetic", accepted: ["avg(.f) > 1 - 3", "min(span:childCount) < 2 / 6"] },
  {
    row: "P7 by",
    accepted: [
      "{} | by(.a)",
      "{} | by(1 + .a)",
      "{} | by(name) | by(.b) | count() > 2",
      "{} | by(status = error)",
    ],
    refused: ["{} | by()", "{} | by(1)", "{} | by(`x`)", "{} | by(.a, .b)", "{} | by(.a"],
  },
  { row: "P8 by first", accepted: ["by(.a) | { .b }", "by(.a) | count() > 1"] },
  {
    row: "P9 coalesce",
    accepted: ["{} | by(.a) | coalesce()", "{} | coalesce()"],
    refused: ["coalesce()", "coalesce() | { .a }", "(coalesce())", "{} | coalesce(.a)"],
  },
  {
    row: "P10 select",
    accepted: ["{} | select(.a)", "select(.a, name, span:id)", "{ .a } | select(resource.b) | { .c }"],
    refused: ["select()", "{} | select(1)", "{} | select(.a + 1)", "{} | select(.a .b)", "{} | select(.a"],
  },
  {
    row: "P11 types",
    accepted: [],
    refused: [
      "max(name) = `foo`",
      "avg(`foo`) = 1",
      "max(status) = ok",
      "max(kind) > 1",
      "max(duration) < ok",
      "max(1 = 3) = 1",
    ],
  },
];

export const METRICS: readonly Row[] = [
  {
    row: "M1 rate",
    accepted: ["{} | rate()"],
    refused: ["rate()", "{} | rate", "{} | rate(1)", "{} | rate() | { .a }"],
  },
  { row: "M2 count_over_time", accepted: ["{} | count_over_time()"] },
  ...["min", "max", "avg", "sum"].map((fn) => ({
    row: `M3-6 ${fn}_over_time`,
    accepted: [`{} | ${fn}_over_time(duration)`, `{} | ${fn}_over_time(span.bytes) by (name)`],
    refused: [`{} | ${fn}_over_time()`, `{} | ${fn}_over_time(1 + .a)`, `{} | ${fn}_over_time(name)`],
  })),
  {
    row: "M7 quantile_over_time",
    accepted: [
      "{} | quantile_over_time(duration, 0.9)",
      "{} | quantile_over_time(span.a, 0, .5, .99, 1) by (name)",
    ],
    refused: [
      "{} | quantile_over_time(duration)",
      "{} | quantile_over_time(duration, 1.1)",
      "{} | quantile_over_time(duration, -0.1)",
      "{} | quantile_over_time(0.9, duration)",
      "{} | quantile_over_time(duration, 1s)",
    ],
  },
  {
    row: "M8 histogram_over_time",
    accepted: ["{} | histogram_over_time(duration) by (name)"],
    refused: ["{} | histogram_over_time()"],
  },
  {
    row: "M9 compare",
    accepted: [
      "{} | compare({ status = error })",
      "{} | compare({ status = error }, 5)",
      "{} | compare({}, 10, 1700000000000000000, 1700000060000000000)",
    ],
    refused: [
      "{} | compare()",
      "{} | compare(status = error)",
      "{} | compare({}, 0)",
      "{} | compare({}, 1001)",
      "{} | compare({}, 10, 5)",
      "{} | compare({}, 10, 6, 5)",
      "{} | compare({ 1 })",
      "{} | compare({}) by (name)",
    ],
  },
  {
    row: "M10 by",
    accepted: ["{} | rate() by (name)", "{} | rate() by(.a,.b,.c,.d,.e,.f,.g)"],
    refused: ["{} | rate() by ()", "{} | rate() by (1)", "{} | rate() by (undefined)", "{} | by(.a) by (.b)"],
  },
  {
    row: "M11 topk, bottomk",
    accepted: ["{} | rate() | topk(10)", "{} | rate() by (name) | bottomk(3) | topk (2)"],
    refused: [
      "{} | topk(10)",
      "{} | rate() | topk(0)",
      "{} | rate() | bottomk(-1)",
      "{} | rate() | topk(1.5)",
      "{} | rate() | topk()",
    ],
  },
  {
    row: "M12 thresholds",
    accepted: [
      "{} | rate() > 10",
      "{} | rate() >= 1.5 <= 3 | topk(2) != 2",
      "({} | max_over_time(duration)) > 10s",
      "{} | rate() > -3",
      "({} | rate()) > 1 / 2",
      "{} | rate() = 4 | bottomk(2) < 5",
    ],
    refused: [
      "{} | rate() == 42",
      "{} > 10",
      "{} | rate() > (10s * 2)",
      "{} | rate() > count()",
      "{} | rate() =~ 5",
    ],
  },
  {
    row: "M13 scalar math",
    accepted: [
      "({} | rate()) * 100",
      "100 / ({} | rate())",
      "-1.5 * ({} | rate()) + 3 * 2",
      "(60 * ({} | rate() by (name))) / 2 > 5 | topk(1)",
      "1 + 2 + ({} | rate())",
    ],
    refused: [
      "{} | rate() + 5",
      "({} | rate()) % 10",
      "({} | rate()) ^ 2",
      "({} | rate()) * 10s",
      "2 * 3",
      "5 + {} | rate()",
      "-({} | rate())",
    ],
  },
  {
    row: "M14 pipeline math",
    accepted: [
      "({} | rate()) / ({} | count_over_time())",
      "(({ .a } | rate()) * ({} | rate())) - ({} | rate()) + ({ .b } | rate())",
    ],
    refused: [
      "({}) + ({})",
      "{} | rate() + {} | rate()",
      "({} | rate()) && ({} | rate())",
      "({} | rate()) >> ({} | rate())",
    ],
  },
  {
    row: "M15 hints",
    accepted: ["{} | rate() with(sample=true)", "{}|rate()with(exemplars=5,sample=0.1)"],
    refused: [
      "{} | rate() with()",
      "{} | rate() with(sample)",
      "{} with(sample=true) | rate()",
      "({} | rate() with(sample=true))",
    ],
  },
  {
    row: "compare stands alone",
    accepted: [],
    refused: [
      "{} | compare({}) | topk(1)",
      "{} | compare({}) > 1",
      "({} | compare({})) + 1",
      "({} | compare({})) / ({} | rate())",
    ],
  },
  {
    row: "metrics after any pipeline",
    accepted: [
      "{ .a } >> { .b } | rate()",
      "{} | { .a } | rate()",
      "{} | count() > 2 | rate() by (name)",
      "count() > 2 | rate()",
    ],
  },
];

export const HINTS: readonly Row[] = [
  {
    row: "3.7 every hint, and unknown ones",
    accepted: [
      "{} | rate() with(sample=true)",
      "{} | rate() with(sample=0.25)",
      "{} | rate() with(span_sample=0.1, trace_sample=true)",
      "{} | rate() with(exemplars=false)",
      "{ .a } with(most_recent=true)",
      "{} | rate() with(extrapolate=true)",
      "{} with(job_size=1, time_overlap_cutoff=0.5, concurrent_blocks=3, debug=true, info=true)",
      "{} with(debug_return_in=5s, debug_std_dev=1, debug_data_factor=2, spanonly_fetch=true)",
      "{} with(skip_ast_transformations=`all`, no_such_hint=-1)",
    ],
  },
];

const SIGNALS = ["nestedSetParent<0", "true", "kind=server", "kind=consumer", `span.db.system.name!=""`];
const FILTERS = [
  `true`,
  `resource.service.name="shop"&&span.http.status_code=500`,
  `name=~"GET .*"&&duration>100ms`,
];

/** What Traces Drilldown sends, with its own spaces, for the primary signal P and filters F. */
function drilldownFor(p: string, f: string): readonly string[] {
  const filter = `${p} && ${f}`;
  const columns = "status, resource.service.name, name, nestedSetParent, nestedSetLeft, nestedSetRight";
  return [
    "{} | rate()",
    `{${filter}} | rate()  with(sample=true)`,
    `{${filter} && status=error} | rate()  with(sample=true)`,
    `{${filter}} | histogram_over_time(duration) with(sample=true)`,
    `{${filter} && resource.service.name != nil} | rate() by(resource.service.name)`,
    `{${filter} && status=error && name != nil} | rate() by(name)`,
    `{${filter} && span.http.route != nil} | quantile_over_time(duration, 0.9) by(span.http.route)`,
    `{${filter} && kind != nil} | quantile_over_time(duration, 0.5, 0.75, 0.9, 0.95, 0.99) by(kind)`,
    `{${filter} && resource.service.name="shop"} | rate() by(resource.service.name)`,
    `{${filter}} | rate() `,
    `{${filter} && status=error} | rate() `,
    `{${filter}} | quantile_over_time(duration, 0.9) `,
    `{${filter}} | compare({status = error})`,
    `{${filter}} | compare({duration >= 100ms && duration <= 2s}, 10, 1724236800000000000, 1724236860000000000)`,
    `{${filter}} | compare({})`,
    `{${filter}} | select(${columns})`,
    `{${filter} && status = error} | select(${columns})`,
    `{${filter} && duration > 1s} | select(${columns})`,
    `{${filter} && duration >= 1.5s && duration <= 2s} | select(${columns})`,
    `({${filter} } &>> { kind = server }) || ({${filter} }) | select(${columns})`,
    `({${filter} && status = error} &>> { status = error }) || ({${filter} && status = error}) | select(${columns})`,
    `({${filter} && duration > 1s} &>> { duration > 500ms }) || ({${filter} && duration > 1s}) | select(${columns})`,
    `{${filter} && status = error} | select(resource.service.name, event.exception.message,event.exception.stacktrace,event.exception.type) with(most_recent=true)`,
    `{${filter} && status = error && event.exception.message = "m" && event.exception.type = "t"} | select(name)`,
    String.raw`{${filter} && status = error && event.exception.message =~ "^timeout\\s+after .+$"} | select(resource.service.name)`,
    `{${filter} && status = error && event.exception.type = "t"} | select(resource.service.namespace)`,
  ];
}

export const DRILLDOWN: readonly string[] = [
  ...new Set(SIGNALS.flatMap((signal) => FILTERS.flatMap((filter) => drilldownFor(signal, filter)))),
];

/** Sent by a fault of Drilldown's. */
export const DRILLDOWN_FAULTY = "{nestedSetParent<0 && true && undefined != nil} | rate() by(undefined)";

/** What the data source, the command line client and the consistency checker send. */
export const CLIENTS: readonly string[] = [
  `{span.db.name="X" || span.db.system="X" || span.peer.service="X" || span.messaging.system="X" || span.net.peer.name="X"}`,
  `{resource.service.name="X"}`,
  `{.vulture-0 = "value"}`,
  `{.vulture-string-01 = "value"} | count_over_time()`,
  `{ event.exception.message != nil }`,
  `{ status = error } | rate() by (resource.service.name) with(exemplars=true)`,
];

export const CHECKLIST: readonly Row[] = [
  ...LEXICAL,
  ...FIELDS,
  ...OPERATORS,
  ...SPANSETS,
  ...PIPELINES,
  ...METRICS,
  ...HINTS,
];
