// What a user's own DuckDB says of a block, against sums over the spans as they were sent.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance, type DuckDBConnection, DuckDBTimestampNanosecondsValue } from "@duckdb/node-api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  attributesOf,
  buildBlock,
  hex,
  jsonOf,
  type ModelRow,
  modelColumns,
  modelRows,
} from "../../support/block-model.ts";
import { makeGenerator } from "../../support/generator.ts";

// 34,000 spans: two column pages, dictionaries of 8 and 16 bits, columns that go on in PLAIN.
const generator = makeGenerator({ seed: 31 });
const messages = Array.from({ length: 34 }, () => generator.batch(1000));
const folder = mkdtempSync(join(tmpdir(), "block-"));
const path = join(folder, "block.parquet");
let rows: ModelRow[] = [];
let connection: DuckDBConnection;

type Row = Readonly<Record<string, unknown>>;

async function query(sql: string): Promise<Row[]> {
  const result = await connection.runAndReadAll(sql.replaceAll("BLOCK", `'${path}'`));
  return result.getRowObjects();
}

beforeAll(async () => {
  const { file } = await buildBlock(messages);
  writeFileSync(path, file);
  rows = modelRows(messages);
  connection = await (await DuckDBInstance.create()).connect();
}, 120_000);

afterAll(() => {
  connection.closeSync();
  rmSync(folder, { recursive: true });
});

function quantile(values: readonly bigint[], q: number): bigint {
  const sorted = values.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return sorted[Math.ceil(q * sorted.length) - 1] ?? 0n;
}

describe("DuckDB", () => {
  test("counts, sums, quantiles", async () => {
    const durations = rows.map(({ span }) => span.endTimeUnixNano - span.startTimeUnixNano);
    const starts = rows.map(({ span }) => span.startTimeUnixNano);
    const [row] = await query(
      `select count(*) n, count(distinct trace_id) traces, sum(duration_nano)::varchar total, sum(kind)::bigint kinds,
         quantile_disc(duration_nano, 0.9) p90, min(start_time_unix_nano) as earliest, count(parent_span_id) children,
         sum(octet_length(otlp_span))::bigint bytes from BLOCK`,
    );
    expect(row).toEqual({
      n: BigInt(rows.length),
      traces: BigInt(new Set(rows.map(({ span }) => hex(span.traceId))).size),
      total: String(durations.reduce((a, b) => a + b)),
      kinds: BigInt(rows.reduce((sum, { span }) => sum + span.kind, 0)),
      p90: quantile(durations, 0.9),
      earliest: new DuckDBTimestampNanosecondsValue(starts.reduce((a, b) => (a < b ? a : b))),
      children: BigInt(rows.filter(({ span }) => span.parentSpanId.length > 0).length),
      bytes: BigInt(rows.reduce((sum, { bytes }) => sum + bytes.length + 10, 0)),
    });
  });

  test("nulls and values of each type of attribute", async () => {
    const values = (key: string): unknown[] =>
      rows.flatMap(({ span }) =>
        span.attributes.filter((one) => one.key === key).map(({ value }) => jsonOf(value)),
      );
    const statuses = values("http.response.status_code") as number[];
    const totals = values("app.cart.total") as number[];
    const [row] = await query(
      `select count("span.http.response.status_code.int") n, sum("span.http.response.status_code.int")::bigint status,
         count("span.app.cart.total.double") totals, round(sum("span.app.cart.total.double"), 3) total,
         count_if("span.app.experiment.new_ranking.bool") as enabled, count("span.app.experiment.new_ranking.bool") flags,
         count(distinct "span.session.id") sessions from BLOCK`,
    );
    expect(row).toEqual({
      n: BigInt(statuses.length),
      status: BigInt(statuses.reduce((a, b) => a + b)),
      totals: BigInt(totals.length),
      total: expect.closeTo(
        totals.reduce((a, b) => a + b),
        2,
      ),
      enabled: BigInt(values("app.experiment.new_ranking").filter((value) => value === true).length),
      flags: BigInt(values("app.experiment.new_ranking").length),
      sessions: BigInt(new Set(values("session.id")).size),
    });
  });

  test("group by service, JSON of the resource", async () => {
    const counts = new Map<string, bigint>();
    for (const row of rows) {
      const { resource } = modelColumns(row) as { resource: Record<string, string> };
      const key = `${resource["service.name"]} ${resource["k8s.pod.name"]}`;
      counts.set(key, (counts.get(key) ?? 0n) + 1n);
    }
    const result = await query(
      `select service || ' ' || (resource->>'$."k8s.pod.name"') as pod, count(*) n from BLOCK group by all`,
    );
    expect(new Map(result.map(({ pod, n }) => [pod, n]))).toEqual(counts);
  });

  test("JSON of events and of attributes without a column", async () => {
    const messagesSent = rows.flatMap(({ span }) =>
      span.events.map(({ attributes }) => attributesOf(attributes)),
    );
    const [row] = await query(
      `select sum(json_array_length(events))::bigint n,
         count(distinct events->>'$[0].attributes."exception.message"') texts from BLOCK`,
    );
    expect(row).toEqual({
      n: BigInt(messagesSent.length),
      texts: BigInt(new Set(messagesSent.map((one) => one["exception.message"])).size),
    });
    const [rest] = await query(
      `select count(attributes_rest) n, count_if(json_type(attributes_rest) = 'OBJECT') ok from BLOCK`,
    );
    expect(rest?.["n"]).toBeGreaterThan(0n);
    expect(rest?.["ok"]).toBe(rest?.["n"]);
  });

  test("parent_row_distance leads to the row with the parent's id", async () => {
    const [row] = await query(
      `with spans as (select * from read_parquet(BLOCK, file_row_number = true))
       select count(*) n, count_if(child.parent_span_id = parent.span_id and child.trace_id = parent.trace_id) ok
       from spans child join spans parent on parent.file_row_number = child.file_row_number - child.parent_row_distance
       where child.parent_row_distance > 0`,
    );
    const ids = new Set(rows.map(({ span }) => hex(span.traceId) + hex(span.spanId)));
    const children = rows.filter(({ span }) => ids.has(hex(span.traceId) + hex(span.parentSpanId)));
    expect(row).toEqual({ n: BigInt(children.length), ok: BigInt(children.length) });
  });

  test("its metadata: order, statistics, encodings", async () => {
    const columns = await query(
      `select path_in_schema as name, stats_min_value as low, stats_max_value as high, encodings from parquet_metadata(BLOCK)`,
    );
    const byName = new Map(columns.map((column) => [column["name"], column]));
    const starts = rows.map(({ span }) => span.startTimeUnixNano).toSorted((a, b) => (a < b ? -1 : 1));
    const iso = (ns: bigint): string =>
      new Date(Number(ns / 1_000_000n)).toISOString().slice(0, 19).replace("T", " ");
    expect(byName.get("start_time_unix_nano")?.["low"]).toContain(iso(starts[0] ?? 0n));
    expect(byName.get("start_time_unix_nano")?.["high"]).toContain(iso(starts.at(-1) ?? 0n));
    const durations = rows.map(({ span }) => Number(span.endTimeUnixNano - span.startTimeUnixNano));
    expect(byName.get("duration_nano")).toMatchObject({
      low: String(durations.reduce((a, b) => Math.min(a, b))),
      high: String(durations.reduce((a, b) => Math.max(a, b))),
    });
    expect(byName.get("service")?.["encodings"]).toContain("RLE_DICTIONARY");
    expect(byName.get("otlp_span")?.["encodings"]).not.toContain("DICTIONARY");
  });

  test("a block without spans", async () => {
    const { file } = await buildBlock([]);
    writeFileSync(join(folder, "empty.parquet"), file);
    expect(await query(`select count(*) n from '${join(folder, "empty.parquet")}'`)).toEqual([{ n: 0n }]);
  });
});
