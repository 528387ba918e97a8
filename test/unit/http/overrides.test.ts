// /api/overrides: Tempo's rules for versions, patches, shape and bounds.
import fc from "fast-check";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { mergePatch } from "../../../src/http/admin/overrides-schema.ts";
import { adminWorld, type CallOptions } from "../../support/admin-world.ts";

const PATH = "/api/overrides";
const EMPTY = {
  cost_attribution: {},
  metrics_generator: { processor: { service_graphs: {}, span_metrics: {}, host_info: {} } },
};
const FULL = {
  forwarders: ["f1"],
  cost_attribution: { dimensions: { "k8s.namespace.name": "namespace" } },
  metrics_generator: {
    processors: ["span-metrics", "service-graphs"],
    disable_collection: false,
    collection_interval: "30s",
    trace_id_label_name: "traceID",
    ingestion_time_range_slack: "30s",
    generate_native_histograms: "both",
    native_histogram_max_bucket_number: 100,
    native_histogram_bucket_factor: 1.1,
    native_histogram_min_reset_duration: "15m0s",
    span_name_sanitization: "enabled",
    processor: {
      service_graphs: {
        dimensions: ["cluster"],
        enable_client_server_prefix: true,
        enable_messaging_system_latency_histogram: true,
        enable_virtual_node_label: true,
        peer_attributes: ["peer.service"],
        filter_policies: [],
        histogram_buckets: [0.1, 0.2],
        span_multiplier_key: "",
        enable_tracestate_span_multiplier: false,
      },
      span_metrics: {
        dimensions: ["http.method"],
        intrinsic_dimensions: { span_name: false },
        dimension_mappings: [{ name: "env", source_labels: ["deployment.environment"], join: "/" }],
        enable_target_info: true,
        filter_policies: [
          { include: { match_type: "strict", attributes: [{ key: "kind", value: "SPAN_KIND_SERVER" }] } },
        ],
        histogram_buckets: [0.1],
        target_info_excluded_dimensions: [],
        enable_instance_label: true,
        span_multiplier_key: "",
        enable_tracestate_span_multiplier: false,
      },
      host_info: { host_identifiers: ["k8s.node.name"], metric_name: "traces_host_info" },
    },
  },
};

function setUp() {
  const admin = adminWorld({ mode: "open" });
  const send = (method: string, body?: unknown, ifMatch?: string, query = "") =>
    admin.call(method, PATH + query, {
      body,
      headers: { "x-scope-orgid": "acme", ...(ifMatch === undefined ? {} : { "if-match": ifMatch }) },
    });
  return { ...admin, send };
}

beforeEach(() => void vi.spyOn(console, "log").mockReturnValue());

describe("versions", () => {
  test("none: 404 for both scopes; another scope is 400", async () => {
    const { send } = setUp();
    for (const query of ["", "?scope=api", "?scope=merged"]) {
      expect(await send("GET", undefined, undefined, query)).toMatchObject({ status: 404, etag: null });
    }
    expect(await send("GET", undefined, undefined, "?scope=all")).toMatchObject({
      status: 400,
      text: "scope must be api or merged\n",
    });
  });

  test("POST: If-Match is needed, 0 for what is new; the answer is empty with the new ETag", async () => {
    const { send } = setUp();
    expect(await send("POST", {})).toMatchObject({ status: 428, text: "must specify If-Match header\n" });
    expect(await send("POST", {}, '"1"')).toMatchObject({ status: 412, etag: '"0"' });
    expect(await send("POST", {}, "0")).toMatchObject({ status: 200, etag: '"1"', text: "" });
    expect(await send("GET")).toMatchObject({ status: 200, etag: '"1"', body: EMPTY });
    for (const stale of ["0", '"0"', "2", "x", "*"]) {
      expect(await send("POST", {}, stale)).toMatchObject({ status: 412, etag: '"1"' });
    }
    for (const [etag, next] of [
      ['"1"', '"2"'],
      ["2", '"3"'],
      ['W/"3"', '"4"'],
    ] as const) {
      expect(await send("POST", FULL, etag)).toMatchObject({ status: 200, etag: next });
    }
    expect((await send("GET", undefined, undefined, "?scope=merged")).body).toEqual(FULL);
  });

  test("DELETE: as POST; afterwards there are none, and no version comes again", async () => {
    const { send } = setUp();
    await send("POST", FULL, "0");
    expect(await send("DELETE")).toMatchObject({ status: 428 });
    expect(await send("DELETE", undefined, "2")).toMatchObject({ status: 412, etag: '"1"' });
    expect(await send("DELETE", undefined, "1")).toMatchObject({ status: 200, text: "" });
    expect((await send("GET")).status).toBe(404);
    expect((await send("POST", {}, "1")).status).toBe(412);
    expect(await send("POST", {}, "0")).toMatchObject({ status: 200, etag: '"3"' });
  });

  test("of two over the same version one is stored", async () => {
    const { send } = setUp();
    const results = await Promise.all(["f1", "f2"].map((name) => send("POST", { forwarders: [name] }, "0")));
    expect(results.map(({ status }) => status).sort((a, b) => a - b)).toEqual([200, 412]);
  });

  test("every change is in the audit log, a reading and a refusal are not", async () => {
    const { send, call } = setUp();
    await send("POST", { forwarders: ["f1"] }, "0");
    await send("PATCH", { forwarders: null });
    await send("POST", {}, "0");
    await send("GET");
    await send("DELETE", undefined, "2");
    const { body } = await call("GET", "/api/admin/tenants/acme/audit");
    const entries = body["entries"] as { actor: string; action: string; detail: string }[];
    expect(entries.map(({ actor, action, detail }) => [actor, action, detail])).toEqual([
      ["operator", "delete overrides", ""],
      ["operator", "set overrides", "{}"],
      ["operator", "set overrides", '{"forwarders":["f1"]}'],
    ]);
  });
});

describe("PATCH", () => {
  test("merges as RFC 7386 says, without If-Match, over nothing too", async () => {
    const { send } = setUp();
    const patched = await send("PATCH", { metrics_generator: { collection_interval: "60s" } });
    expect(patched).toMatchObject({ status: 200, etag: '"1"' });
    expect(patched.body).toEqual({
      ...EMPTY,
      metrics_generator: { ...EMPTY.metrics_generator, collection_interval: "1m0s" },
    });
    expect(
      await send("PATCH", {
        forwarders: ["f1"],
        metrics_generator: { collection_interval: null, processor: { host_info: { metric_name: "x" } } },
      }),
    ).toMatchObject({ etag: '"2"' });
    expect((await send("GET")).body).toEqual({
      forwarders: ["f1"],
      cost_attribution: {},
      metrics_generator: {
        processor: { service_graphs: {}, span_metrics: {}, host_info: { metric_name: "x" } },
      },
    });
  });

  test("a field that there is not, or a value that may not be, is 400 and changes nothing", async () => {
    const { send } = setUp();
    await send("POST", {}, "0");
    expect(await send("PATCH", { metrics_generator: { nothing: 1 } })).toMatchObject({
      status: 400,
      text: "there is no field metrics_generator.nothing\n",
    });
    expect(await send("PATCH", { forwarders: "f1" })).toMatchObject({
      status: 400,
      text: "forwarders must be a list\n",
    });
    expect(await send("GET")).toMatchObject({ etag: '"1"', body: EMPTY });
  });

  test("applied anew when somebody else was faster; 500 with Tempo's text when that goes on", async () => {
    const { send, world } = setUp();
    const real = world.tenant("acme").overrides.bind(world.tenant("acme"));
    let races = 2;
    vi.spyOn(world.tenant("acme"), "overrides").mockImplementation(() => {
      const read = real();
      if (races-- > 0) world.tenant("acme").setOverrides(`{"forwarders":["${races}"]}`, { actor: "another" });
      return read;
    });
    expect(await send("PATCH", { cost_attribution: { dimensions: { a: "b" } } })).toMatchObject({
      status: 200,
      etag: '"3"',
      body: { forwarders: ["0"], cost_attribution: { dimensions: { a: "b" } } },
    });
    races = 3;
    expect(await send("PATCH", {})).toMatchObject({
      status: 500,
      text: "overrides have been modified during request processing, try again\n",
    });
  });

  test("what patches add up to is bounded as a body is", async () => {
    const { send } = setUp();
    const half = "x".repeat(40_000);
    expect((await send("PATCH", { forwarders: [half] })).status).toBe(200);
    expect(await send("PATCH", { cost_attribution: { dimensions: { a: half } } })).toMatchObject({
      status: 413,
      text: "the overrides are larger than 65536 bytes\n",
    });
  });

  test("mergePatch: RFC 7386's examples, and names that are JavaScript's", () => {
    const cases: readonly (readonly [unknown, unknown, unknown])[] = [
      [{ a: "b" }, { a: "c" }, { a: "c" }],
      [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
      [{ a: "b" }, { a: null }, {}],
      [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
      [{ a: ["b"] }, { a: "c" }, { a: "c" }],
      [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
      [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
      [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
      [
        ["a", "b"],
        ["c", "d"],
        ["c", "d"],
      ],
      [{ a: "b" }, ["c"], ["c"]],
      [{ a: "foo" }, null, null],
      [{ a: "foo" }, "bar", "bar"],
      [{ e: null }, { a: 1 }, { e: null, a: 1 }],
      [[1, 2], { a: "b", c: null }, { a: "b" }],
      [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
    ];
    for (const [target, patch, result] of cases) expect(mergePatch(target, patch)).toEqual(result);
    const merged = mergePatch({}, JSON.parse('{"__proto__": {"x": 1}}'));
    expect(Object.keys(merged as object)).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(merged)).toBe(Object.prototype);
  });

  test("mergePatch: a patch applied twice is one applied once; no null is left of it", () => {
    const json = fc.letrec((tie) => ({
      value: fc.oneof({ depthSize: "small" }, fc.constant(null), fc.integer(), tie("object")),
      object: fc.dictionary(fc.constantFrom("a", "b", "c"), tie("value")),
    }));
    fc.assert(
      fc.property(json.object, json.object, (target, patch) => {
        const once = mergePatch(target, patch);
        expect(mergePatch(once, patch)).toEqual(once);
      }),
    );
  });
});

describe("what may be set", () => {
  const set = (generator: object) => setUp().send("POST", { metrics_generator: generator }, "0");

  test.each([
    [{ collection_interval: "15s" }, { collection_interval: "14.999s" }],
    [{ collection_interval: "5m" }, { collection_interval: "5m0.001s" }],
    [{ ingestion_time_range_slack: "0s" }, { ingestion_time_range_slack: "-1ns" }],
    [{ ingestion_time_range_slack: "12h" }, { ingestion_time_range_slack: "12h1ns" }],
    [{ native_histogram_bucket_factor: 1.0001 }, { native_histogram_bucket_factor: 1 }],
    [{ native_histogram_max_bucket_number: 0 }, { native_histogram_max_bucket_number: -1 }],
    [{ native_histogram_max_bucket_number: 2 ** 32 - 1 }, { native_histogram_max_bucket_number: 2 ** 32 }],
    [{ generate_native_histograms: "native" }, { generate_native_histograms: "none" }],
    [{ trace_id_label_name: "_trace_id9" }, { trace_id_label_name: "9trace" }],
    [{ trace_id_label_name: "t" }, { trace_id_label_name: "" }],
    [{ processors: [] }, { processors: ["local-blocks"] }],
    [{ processors: ["host-info", "span-metrics-size"] }, { processors: ["span_metrics"] }],
    [
      { processor: { span_metrics: { histogram_buckets: [1, 2] } } },
      { processor: { span_metrics: { histogram_buckets: [1, 1] } } },
    ],
    [
      { processor: { service_graphs: { histogram_buckets: [] } } },
      { processor: { service_graphs: { histogram_buckets: [2, 1] } } },
    ],
    [
      { processor: { span_metrics: { intrinsic_dimensions: { service: true } } } },
      { processor: { span_metrics: { intrinsic_dimensions: { kind: true } } } },
    ],
  ])("%j is taken, %j is not", async (good, bad) => {
    expect(await set(good)).toMatchObject({ status: 200 });
    const refused = await set(bad);
    expect([refused.status, refused.text]).toEqual([400, expect.stringMatching(/^\S.+\n$/)]);
    const [name = ""] = Object.keys(bad);
    expect(refused.text).toMatch(new RegExp(`${name}|histogram_buckets`));
  });

  test("null is what is not there", async () => {
    const { send } = setUp();
    await send("POST", { forwarders: null, metrics_generator: { processors: null, processor: null } }, "0");
    expect((await send("GET")).body).toEqual(EMPTY);
  });

  test("an empty list of processors is not the same as none: it switches all off", async () => {
    const { send } = setUp();
    await send("POST", { metrics_generator: { processors: [] } }, "0");
    expect((await send("GET")).body).toMatchObject({ metrics_generator: { processors: [] } });
  });

  test("skip-conflicting-overrides-check is true or false", async () => {
    const { send } = setUp();
    for (const [value, status] of [
      ["true", 200],
      ["false", 200],
      ["maybe", 400],
    ] as const) {
      const query = `?skip-conflicting-overrides-check=${value}`;
      expect((await send("PATCH", {}, undefined, query)).status).toBe(status);
    }
  });
});

describe("who may", () => {
  test("read to look, admin to change; a tenant by X-Scope-OrgID; one at a time", async () => {
    const { call, makeToken } = adminWorld();
    const read = await makeToken("acme", { scopes: ["read"] });
    const admin = await makeToken("acme", { scopes: ["admin"] });
    const status = async (method: string, options: CallOptions) => (await call(method, PATH, options)).status;
    expect(await status("PATCH", { token: admin, body: {} })).toBe(200);
    expect(await status("GET", { token: read })).toBe(200);
    expect(await status("GET", { token: admin })).toBe(403);
    for (const method of ["POST", "PATCH", "DELETE"]) {
      expect(await status(method, { token: read, body: {} })).toBe(403);
    }
    expect(await status("GET", { token: read, headers: { "x-scope-orgid": "other" } })).toBe(403);
    expect(await status("GET", { token: null })).toBe(401);
    expect(await call("GET", PATH)).toMatchObject({ status: 401, text: "no org id\n" });
    await makeToken("other", { scopes: ["read"] });
    expect(await call("GET", PATH, { headers: { "x-scope-orgid": "acme|other" } })).toMatchObject({
      status: 400,
      text: "multiple org IDs present\n",
    });
    expect(await status("PUT", { token: admin, body: {} })).toBe(404);
  });

  test("open: whoever reads looks, but a change needs the admin secret", async () => {
    const { call } = adminWorld({ mode: "open", isMultitenant: false });
    expect((await call("GET", PATH, { token: null })).status).toBe(404);
    expect((await call("PATCH", PATH, { token: null, body: {} })).status).toBe(401);
    expect((await call("PATCH", PATH, { body: {} })).status).toBe(200);
    expect((await call("GET", PATH, { token: null })).status).toBe(200);
  });
});
