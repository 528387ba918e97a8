import { describe, expect, test } from "vitest";
import { search } from "../../../../src/traceql/engine/search.ts";
import { parseQuery } from "../../../../src/traceql/parse.ts";
import { search as oracleSearch } from "../../../support/oracle/search.ts";
import { makeTraces } from "../../../support/oracle/trace.ts";
import { plainSource } from "../../../support/plain-source.ts";
import { randomSpans, SPANS_START } from "../../../support/random-spans.ts";
import { splitSources } from "../../../support/split-sources.ts";

const SECOND = 1_000_000_000n;

function searchQuery(text: string): ReturnType<typeof parseQuery> & { kind: "search" } {
  const query = parseQuery(text);
  if (query.kind !== "search") throw new Error("no search");
  return query;
}

const QUERIES = [
  "{}",
  "{ true }",
  "{ false }",
  '{ name = "GET" }',
  '{ name != "GET" }',
  '{ name > "GET" }',
  '{ name =~ "G.*|run" }',
  '{ name !~ "G.*" }',
  '{ span.x = "a" }',
  '{ span.x != "a" }',
  '{ span.x = "ä😀" }',
  '{ span.x = `"q\\` }',
  '{ span.x =~ "[a-c]" }',
  '{ span.x !~ "[a-c]" }',
  "{ span.x = 200 }",
  "{ span.x > 1 }",
  "{ span.x <= 1.5 }",
  "{ span.x != 2 }",
  "{ span.x = nil }",
  "{ span.x != nil }",
  "{ nil = span.rare }",
  "{ span.x }",
  "{ !span.x }",
  "{ span.flag = true || span.flag = false }",
  '{ !(span.x = "a") }',
  "{ !(span.x > 1) && !(span.y > 1) }",
  '{ .x = "a" }',
  '{ .x != "a" }',
  "{ .x = nil }",
  "{ .x > 0 }",
  "{ .missing = nil }",
  "{ .missing != nil }",
  '{ resource.service.name = "shop" }',
  '{ resource.x = "b" }',
  '{ event.x = "a" }',
  '{ event.x != "a" }',
  "{ event.x = nil }",
  "{ event.x != nil }",
  '{ event:name = "log" }',
  "{ event:timeSinceStart > 500ms }",
  "{ link.x = nil }",
  '{ link:traceID = "1" || link:spanID = "5" }',
  '{ instrumentation.x = "a" }',
  '{ instrumentation:name = "lib" && instrumentation:version = "1.0" }',
  '{ instrumentation:version = "" }',
  "{ status = error }",
  "{ status != ok }",
  "{ kind = server || kind = client }",
  '{ statusMessage = "boom" }',
  '{ statusMessage = "" }',
  "{ duration > 1s }",
  "{ duration >= 500ms && duration <= 1s }",
  "{ duration != 500ms }",
  "{ duration > 0.5 }",
  "{ duration > 100ms * 3 }",
  "{ duration * 2 > 1s }",
  "{ -span.n < 0 }",
  "{ span.n + 1 = 2 }",
  "{ span.n > span.y }",
  "{ span.n = span.n }",
  "{ span.x = resource.x }",
  "{ span.n * 2 + span.y > duration }",
  "{ duration > span.n }",
  "{ span.y != 0 && span.n / 2 > 1 }",
  "{ traceDuration > 30s }",
  '{ rootName = "GET" }',
  '{ rootServiceName = "shop" }',
  '{ trace:id = "1" }',
  '{ trace:id =~ ".*3" }',
  '{ span:id = "3" }',
  '{ span:parentID = "" }',
  '{ span:parentID = "0004" }',
  "{ span:childCount > 1 }",
  "{ nestedSetParent < 0 }",
  "{ nestedSetParent = 0 }",
  "{ nestedSetLeft > 2 && nestedSetRight < 9 }",
  "{ nestedSetLeft = nestedSetParent + 1 }",
  '{ parent.name = "GET" }',
  '{ parent.span.x = "a" }',
  "{ parent.span.x = nil }",
  "{ parent.duration > duration }",
  "{ parent.resource.service.name != resource.service.name }",
  '{ (span.x = "a" || span.x = "b" || name = "run") && span.y != 1 }',
  '{ span.x != "a" && span.x != "b" && span.x != nil }',
  "{ true || .missing }",
  '{ name = "GET" } && { name = "POST" }',
  '{ name = "GET" } || { status = error }',
  '{ name = "GET" } && ({ status = error } || { kind = server })',
  ...[">", ">>", "<", "<<", "~", "!>", "!>>", "!<", "!<<", "!~", "&>", "&>>", "&<", "&<<", "&~"].flatMap(
    (op) => [`{ name = "GET" } ${op} { status = error }`, `{} ${op} {}`],
  ),
  '{ name = "GET" } >> { status = error } > { kind = server }',
  '{ name = "GET" } | { status = error }',
  "{ status = error } | count() > 1",
  "{} | count() = 3",
  "{} | avg(duration) > 800ms",
  "{} | max(duration) > 2 * avg(duration)",
  "{} | min(span.n) < 1 && 1 = 1 | { true }".replace(" && 1 = 1", ""),
  "{} | sum(span.n) > 100",
  "{} | max(span.n * 2) > 400",
  "{} | max(event:timeSinceStart) > 900ms",
  "{} | avg(span.y) > 0.3 | count() < 5",
  "{} | by(resource.service.name)",
  "{} | by(resource.service.name) | count() > 1",
  "{} | by(span.x) | by(name) | count() >= 1 | select(span.y)",
  "{} | by(name) | { status = error } && { kind = server }",
  "{} | by(name) | by(name) | count() > 1 | count() > 0",
  "{} | by(event.x)",
  "{} | by(span.n + 1)",
  "{} | by(duration)",
  "{} | by(name) | count() > 2 | coalesce()",
  "by(status) | max(duration) > 1s",
  "count() > 6",
  '({ name = "GET" } | count() > 1) >> { status = error }',
  '({ name = "GET" } | by(kind) | coalesce()) && { status = error }',
  "{} | select(span.x, .x, event.x, resource.x, name, status, kind, event:name, nestedSetLeft, parent.name)",
  "{ span.x = nil } | select(span.y)",
  "{ nestedSetParent < 0 } &>> { kind = server } || { status = error }",
];

describe("search", () => {
  test.each(QUERIES)("%s", async (text) => {
    const query = searchQuery(text);
    for (let seed = 1; seed <= 12; seed++) {
      const spans = randomSpans(seed, seed < 3 ? seed : 40);
      const options = {
        limit: 4,
        spansPerSpanset: 3,
        startNs: SPANS_START,
        endNs: SPANS_START + 40n * SECOND,
      };
      const wanted = oracleSearch(query, makeTraces(spans), {
        start: options.startNs,
        end: options.endNs,
        limit: 4,
        spansPerSpanset: 3,
      });
      for (const sources of [[plainSource(spans, { pageRows: 8 })], splitSources(spans, seed)]) {
        const { traces, total, cursor } = await search(sources, query, options);
        expect({ traces, total, cursor }, `seed ${seed}, ${sources.length} sources`).toEqual(wanted);
      }
    }
  });
});
