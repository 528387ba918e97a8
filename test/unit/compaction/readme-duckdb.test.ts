// The README's queries, run as they stand there over a copy of a bucket: a day that is merged, one that is fresh.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type DuckDBConnection, DuckDBInstance } from "@duckdb/node-api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Compactor } from "../../../src/compaction/compactor.ts";
import { parseTraceId } from "../../../src/model/ids.ts";
import { must } from "../../../src/util/assert.ts";
import { hex, type ModelRow, modelColumns, modelRows } from "../../support/block-model.ts";
import { CompactorWorld } from "../../support/compactor-world.ts";
import { makeGenerator } from "../../support/generator.ts";
import { batchOf, spanWith } from "../../support/otlp.ts";

const DAY = 86_400_000;
const HOUR = 3_600_000;
const START = Date.UTC(2026, 10, 23);
const README_TRACE = parseTraceId("0af7651916cd43dd8448eb211c80319c");

type Row = Readonly<Record<string, unknown>>;

/** The statements of the README's section, in order; that of the bucket's secret is left out, which needs a bucket. */
const section =
  /\n## Query your bucket with DuckDB\n([^]*?)\n## /.exec(readFileSync("README.md", "utf8"))?.[1] ?? "";
const [views = "", ...queries] = [...section.matchAll(/```sql\n([^]*?)```/g)]
  .map(([, sql = ""]) => sql)
  .filter((sql) => !sql.includes("CREATE SECRET"));
const asked = new Set<string>();

const folder = mkdtempSync(join(tmpdir(), "bucket-"));
const here = process.cwd();
let connection: DuckDBConnection;
/** Every span of the bucket, and the date of its flush. */
const rows: { readonly row: ModelRow; readonly date: string }[] = [];
let inputs: readonly string[] = [];

/** Runs the query that begins with this comment. */
async function ask(comment: string): Promise<Row[]> {
  const sql = must(
    queries.find((one) => one.startsWith(`-- ${comment}`)),
    `the README has a query "${comment}"`,
  );
  asked.add(sql);
  return (await connection.runAndReadAll(sql)).getRowObjectsJson();
}

/** Spans of the README's trace, a millisecond apart. */
function readmeTrace(from: number, count: number): Uint8Array {
  const spans = Array.from({ length: count }, (_, i) =>
    spanWith({
      traceId: README_TRACE,
      spanId: Uint8Array.from({ length: 8 }, () => from + i + 1),
      name: `step ${from + i}`,
      startTimeUnixNano: BigInt(START + from + i) * 1_000_000n,
      endTimeUnixNano: BigInt(START + from + i) * 1_000_000n + 2_500_000n,
    }),
  );
  return batchOf(...spans);
}

/** Requests of which one has a route: too few for a column of the block. */
function rareRoute(): Uint8Array {
  const attributes = [
    { key: "http.route", value: { value: { case: "stringValue" as const, value: "/rare" } } },
  ];
  const spans = Array.from({ length: 1500 }, (_, i) => {
    const spanId = Uint8Array.from({ length: 8 }, (_unused, at) => (at < 2 ? (i >> (8 * at)) & 255 : 7));
    return spanWith({ spanId, kind: 2, attributes: i === 700 ? attributes : [] });
  });
  return batchOf(...spans);
}

/** Two days of flushes; the first is merged, and its inputs are still there, as they are for their grace time. */
async function makeBucket(): Promise<CompactorWorld> {
  const world = new CompactorWorld(START + DAY + 2 * HOUR);
  const generator = makeGenerator({ seed: 77 });
  const retried = generator.batch(300);
  const flushes: { epoch: number; batches: Uint8Array[] }[] = [
    { epoch: START + HOUR, batches: [retried, readmeTrace(0, 3)] },
    { epoch: START + 2 * HOUR, batches: [generator.batch(900), retried] },
    { epoch: START + 3 * HOUR, batches: [readmeTrace(3, 2), generator.batch(400)] },
  ];
  for (const { epoch, batches } of flushes) await world.shard.flush(epoch, batches);
  await settle(world, world.start());
  inputs = [...world.shard.retired.values()];
  const fresh = [
    { epoch: START + DAY + HOUR, batches: [generator.batch(700), readmeTrace(5, 1)] },
    { epoch: START + DAY + 2 * HOUR, batches: [rareRoute(), generator.batch(200)] },
  ];
  for (const { epoch, batches } of fresh) await world.shard.flush(epoch, batches);
  const merged = modelRows(flushes.flatMap(({ batches }) => batches));
  rows.push(...merged.map((row) => ({ row, date: "2026-11-23" })));
  for (const { batches } of fresh)
    rows.push(...modelRows(batches).map((row) => ({ row, date: "2026-11-24" })));
  return world;
}

async function settle(world: CompactorWorld, compactor: Compactor): Promise<void> {
  await world.run(compactor);
  expect(world.shard.entries.size).toBe(1);
}

async function copy({ objects }: CompactorWorld): Promise<void> {
  for await (const { key, etag, byteLength } of objects.list("")) {
    const whole = await objects.getRange(key, { offset: 0, length: byteLength }, etag);
    const path = join("rubato-blocks", key);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, new Uint8Array(await new Response(whole).arrayBuffer()));
  }
}

beforeAll(async () => {
  process.chdir(folder);
  await copy(await makeBucket());
  connection = await (await DuckDBInstance.create()).connect();
  await connection.run(views);
}, 120_000);

afterAll(() => {
  connection.closeSync();
  process.chdir(here);
  rmSync(folder, { recursive: true });
});

const resourceOf = (row: ModelRow) => (modelColumns(row) as { resource: Record<string, string> }).resource;
const serviceOf = (row: ModelRow) => resourceOf(row)["service.name"] ?? "";
const durationOf = ({ span }: ModelRow) => Number(span.endTimeUnixNano - span.startTimeUnixNano);

function routeOf({ span }: ModelRow): string | undefined {
  const value = span.attributes.find(({ key }) => key === "http.route")?.value?.value;
  return value?.case === "stringValue" ? value.value : undefined;
}

/** Ascending by the first key that differs; numbers descend, and null is last. */
function ordered(
  list: readonly Readonly<Record<string, string | number | bigint | null | undefined>>[],
  ...keys: readonly string[]
): unknown[] {
  const sorted = list.toSorted((a, b) => {
    for (const key of keys) {
      const [left, right] = [a[key] ?? "~", b[key] ?? "~"];
      if (left !== right) return left < right === (typeof left === "string") ? -1 : 1;
    }
    return 0;
  });
  // DuckDB writes integers of 64 bits as text.
  return sorted.map((row) =>
    Object.fromEntries(
      Object.entries(row).map(([key, value]) => [key, typeof value === "bigint" ? String(value) : value]),
    ),
  );
}

describe("the README's queries", () => {
  test("spans of each service", async () => {
    const groups = Map.groupBy(rows, ({ row, date }) => `${date} ${serviceOf(row)}`);
    const wanted = [...groups].map(([, members]) => {
      const { row, date } = must(members[0], "a row");
      return { date, service: serviceOf(row), spans: BigInt(members.length) };
    });
    expect(await ask("Spans of each service")).toEqual(ordered(wanted, "date", "spans", "service"));
    expect(new Set(wanted.map(({ date }) => date)).size).toBe(2);
  });

  test("p99 of each route, also of one that has no column in its block", async () => {
    const requests = rows.filter(({ row }) => row.span.kind === 2 && routeOf(row) !== undefined);
    const groups = Map.groupBy(requests, ({ row }) => `${serviceOf(row)} ${routeOf(row)}`);
    const wanted = [...groups.values()].map((members) => {
      const { row } = must(members[0], "a row");
      const durations = members.map((one) => durationOf(one.row)).toSorted((a, b) => a - b);
      const p99 = must(durations[Math.ceil(0.99 * durations.length) - 1], "a duration");
      return {
        service: serviceOf(row),
        route: routeOf(row),
        requests: BigInt(members.length),
        p99_ms: p99 / 1e6,
      };
    });
    expect(wanted.some(({ route }) => route === "/rare")).toBe(true);
    expect(await ask("Latency of each route")).toEqual(ordered(wanted, "p99_ms", "service", "route"));
  });

  test("error rate of each service", async () => {
    const groups = Map.groupBy(
      rows.filter(({ row }) => row.span.kind === 2),
      ({ row }) => serviceOf(row),
    );
    const wanted = [...groups].map(([service, members]) => {
      const errors = members.filter(({ row }) => row.span.status?.code === 2).length;
      const percent = Math.round((10_000 * errors) / members.length) / 100;
      return { service, requests: BigInt(members.length), errors: BigInt(errors), percent };
    });
    expect(wanted.some(({ percent }) => percent > 0)).toBe(true);
    expect(await ask("Error rate")).toEqual(ordered(wanted, "percent", "service"));
  });

  test("one trace's spans in order, merged and fresh ones together", async () => {
    expect(await ask("One trace")).toEqual(
      Array.from({ length: 6 }, (_, i) => ({
        start: i === 0 ? "2026-11-23 00:00:00" : `2026-11-23 00:00:00.00${i}`,
        ms: 2.5,
        service: "",
        name: `step ${i}`,
        span: hex(Uint8Array.from({ length: 8 }, () => i + 1)),
      })),
    );
  });

  test("the resource's JSON", async () => {
    const groups = Map.groupBy(rows, ({ row }) => {
      const resource = resourceOf(row);
      return JSON.stringify([serviceOf(row), resource["service.version"], resource["k8s.pod.name"]]);
    });
    const wanted = [...groups.values()].map((members) => {
      const { row } = must(members[0], "a row");
      const resource = resourceOf(row);
      const version = resource["service.version"] ?? null;
      return {
        service: serviceOf(row),
        version,
        pod: resource["k8s.pod.name"] ?? null,
        spans: BigInt(members.length),
      };
    });
    expect(wanted.length).toBeGreaterThan(5);
    expect(await ask("What runs where")).toEqual(ordered(wanted, "service", "version", "pod"));
  });

  test("are all tested, and say the same when merged blocks' inputs are deleted, and beside a block of version 1", async () => {
    expect(asked.size).toBe(queries.length);
    expect(inputs).toHaveLength(3);
    const all = async () =>
      Promise.all(queries.map(async (sql) => (await connection.runAndReadAll(sql)).getRowObjectsJson()));
    const before = await all();
    for (const key of inputs) rmSync(join("rubato-blocks", key));
    expect(await all()).toEqual(before);
    const old = join("rubato-blocks", "tenant=acme/date=2026-10-01/shard=00/0001790812800000.parquet");
    mkdirSync(dirname(old), { recursive: true });
    writeFileSync(old, readFileSync(join(here, "test/golden/blocks/v1/small.parquet")));
    const spans = (await ask("Spans of each service")).filter(({ date }) => date === "2026-10-01");
    expect(spans.reduce((sum, one) => sum + Number(one["spans"]), 0)).toBe(26);
  });
});
