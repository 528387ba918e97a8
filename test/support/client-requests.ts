// What clients of Tempo's API send, with all parameters as they send them, and what they need of the answer.
import { DRILLDOWN } from "./traceql-queries.ts";

export interface ClientRequest {
  /** What sends it, and when. */
  readonly from: string;
  readonly path: string;
  readonly params: Readonly<Record<string, string | number>>;
  readonly accept?: string;
  /** Others than `accept`. */
  readonly headers?: Readonly<Record<string, string>>;
}

const PROTOBUF = "application/protobuf";
const METRICS_QUERY = /\|\s*(rate|count_over_time|\w+_over_time|compare)\s*\(/;

/** Requests over the range, in Unix seconds. */
export function clientRequests(start: number, end: number): readonly ClientRequest[] {
  return [
    ...drilldownRequests(start, end),
    ...dataSourceRequests(start, end),
    ...cliRequests(start, end),
    ...checkerRequests(start, end),
  ];
}

/** Limit, spans per spanset and step go with the place that a query is for. */
function drilldownRequests(start: number, end: number): ClientRequest[] {
  const range = { start, end };
  const seconds = end - start;
  return DRILLDOWN.map((q) => {
    const from = "Traces Drilldown";
    if (METRICS_QUERY.test(q)) {
      const points = q.includes("histogram_over_time") ? 24 : 64;
      const step = q.includes("compare(") ? seconds : Math.max(1, Math.floor(seconds / points));
      return { from, path: "/api/metrics/query_range", params: { q, ...range, step: `${step}s` } };
    }
    const [limit, spss] = q.includes("&>>")
      ? [200, 20]
      : q.includes("event.exception")
        ? [400, 10]
        : [200, 10];
    return { from, path: "/api/search", params: { q, limit, spss, ...range } };
  });
}

function dataSourceRequests(start: number, end: number): ClientRequest[] {
  const from = "Grafana's data source";
  const range = { start, end };
  const json = "application/json";
  const values = (tag: string, q: string): ClientRequest => ({
    from,
    path: `/api/v2/search/tag/${tag}/values`,
    params: { tag, limit: 5000, q, ...range },
  });
  return [
    { from, path: "/api/echo", params: {} },
    { from, path: "/api/search", params: { q: "{}", limit: 20, spss: 3, ...range }, accept: json },
    { from, path: "/api/search", params: { q: '{resource.service.name="X"}', ...range }, accept: json },
    {
      from,
      path: "/api/metrics/query_range",
      params: { q: "{} | rate()", ...range, step: "15s", exemplars: 100 },
      accept: json,
    },
    {
      from,
      path: "/api/metrics/query_range",
      params: { q: "{} | rate()", ...range, step: "" },
      accept: json,
    },
    { from, path: "/api/metrics/query", params: { q: "{} | rate()", ...range, exemplars: 0 }, accept: json },
    { from, path: "/api/v2/search/tags", params: { limit: 5000 } },
    { from, path: "/api/v2/search/tags", params: { limit: 5000, ...range } },
    values("resource.service.name", "{}"),
    values("name", '{resource.service.name="shop" && status=error}'),
    // Durations and booleans are quoted, whatever they are compared with.
    values("span.http.method", '{duration>"100ms" && span.retried="true" && kind=server && span.n=5}'),
    values("status", "{status="),
    values("span.attr/slash", "{ .a = "),
  ];
}

function cliRequests(start: number, end: number): ClientRequest[] {
  const from = "tempo-cli";
  const accept = "application/json";
  const internal = {
    mode: "",
    blockID: "",
    startPage: 0,
    pagesToSearch: 0,
    version: "",
    encoding: "none",
    size: 0,
    footerSize: 0,
  };
  const q = "{} | rate()";
  const ns = { start: `${start}000000000`, end: `${end}000000000` };
  return [
    { from, path: "/api/search", params: { start, end, spss: 0, q: "{}" }, accept },
    { from, path: "/api/search", params: { start, end, limit: 5, spss: 0, q: "{ status = error }" }, accept },
    { from, path: "/api/v2/search/tags", params: {}, accept },
    { from, path: "/api/v2/search/tags", params: { start, end }, accept },
    { from, path: "/api/v2/search/tag/.service.name/values", params: { q: "{}", start, end }, accept },
    {
      from,
      path: "/api/metrics/query_range",
      params: { ...ns, ...internal, q, exemplars: 0, maxSeries: 0 },
      accept,
    },
    { from, path: "/api/metrics/query", params: { ...ns, q }, accept },
  ];
}

/** Their end lies in the future. */
function checkerRequests(start: number, end: number): ClientRequest[] {
  const from = "the consistency checker";
  const range = { start: start - 1800, end: end + 1800 };
  const accept = "application/json";
  return [
    { from, path: "/api/search", params: { ...range, tags: "vulture-0=value" }, accept },
    { from, path: "/api/search", params: { ...range, q: '{.vulture-0 = "value"}' }, accept },
    {
      from,
      path: "/api/metrics/query_range",
      params: { ...range, q: '{.vulture-0 = "value"} | count_over_time()', step: "10s" },
      accept,
    },
  ];
}

/** Lookups of a trace, over the range in Unix seconds; all clients read them as protobuf. */
export function lookupRequests(id: string, start: number, end: number): readonly ClientRequest[] {
  const lookup = (
    from: string,
    version: "" | "/v2",
    params: ClientRequest["params"] = {},
    headers: ClientRequest["headers"] = {},
  ): ClientRequest => ({
    from,
    path: `/api${version}/traces/${id}`,
    params,
    accept: PROTOBUF,
    headers,
  });
  const dataSource = "Grafana's data source";
  const cli = "tempo-cli";
  return [
    lookup(dataSource, "/v2"),
    lookup(dataSource, "/v2", { start, end }),
    // Asked for after a 404.
    lookup(dataSource, ""),
    lookup(dataSource, "", { start, end }),
    lookup(cli, "/v2", {}, { "x-scope-orgid": "" }),
    lookup(cli, "", {}, { "x-scope-orgid": "" }),
    lookup(cli, "/v2", {
      q: "{ status = error }",
      keep_hierarchy: "true",
      match_depth: 0,
      ancestor_depth: -1,
    }),
    lookup(
      "the consistency checker",
      "",
      { start: start - 1800, end: end + 1800 },
      { "recent-data-target": "live-store" },
    ),
  ];
}
