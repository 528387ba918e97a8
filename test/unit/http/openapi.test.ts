// The description of the admin API: a valid document, complete, and true of what the routes answer.
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { createAdminApp } from "../../../src/http/admin/app.ts";
import { adminWorld, type Called, type CallOptions } from "../../support/admin-world.ts";

interface Operation {
  readonly requestBody?: unknown;
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly responses: Readonly<
    Record<
      string,
      { readonly content?: Readonly<Record<string, { readonly schema: object }>>; readonly headers?: object }
    >
  >;
}

interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

const { call } = adminWorld();
const fetched = await call("GET", "/api/openapi.json");
const document = JSON.parse(fetched.text) as Document;

beforeEach(() => void vi.spyOn(console, "log").mockReturnValue());

describe("the document", () => {
  test("is served as JSON to whoever is known, whatever their scope; not to others", async () => {
    const world = adminWorld();
    const token = await world.makeToken("acme", { scopes: ["ingest"] });
    const served = await world.call("GET", "/api/openapi.json", { token });
    expect([served.status, served.headers.get("content-type")]).toEqual([200, "application/json"]);
    expect(served.text).toBe(fetched.text);
    expect(await world.call("GET", "/api/openapi.json", { token: null })).toMatchObject({
      status: 401,
      body: { error: { kind: "unauthenticated" } },
    });
  });

  test("holds to the rules of OpenAPI 3.1", async () => {
    const validator = new Validator();
    expect(await validator.validate(JSON.parse(fetched.text))).toEqual({ valid: true });
    expect(validator.version).toBe("3.1");
    const broken = { ...document, paths: { "/x": { get: { responses: 1 } } } };
    expect(await new Validator().validate(broken)).toMatchObject({ valid: false });
  });

  test("holds every route that is registered, and no other", () => {
    const registered = createAdminApp()
      .routes.filter(({ method, path }) => method !== "ALL" && path !== "/api/openapi.json")
      .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, "{$1}")}`);
    const described = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(described.length).toBeGreaterThan(10);
    expect(described.sort()).toEqual([...new Set(registered)].sort());
  });

  test("every parameter of a path is described", () => {
    for (const [path, operations] of Object.entries(document.paths)) {
      const names = Array.from(path.matchAll(/\{(\w+)\}/g), ([, name]) => name);
      for (const { parameters = [] } of Object.values(operations)) {
        expect(parameters.filter((parameter) => parameter.in === "path").map(({ name }) => name)).toEqual(
          names,
        );
      }
    }
  });
});

describe("what is answered is what is described", () => {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats(ajv);
  ajv.addSchema({ $id: "document", ...document });

  /** The path of the document that a path of a request is one of. */
  function described(method: string, path: string): [string, Operation] {
    const bare = path.replace(/\?.*/, "");
    const found = Object.entries(document.paths).find(([template]) =>
      new RegExp(`^${template.replaceAll(/\{\w+\}/g, "[^/]+")}$`).test(bare),
    );
    const operation = found?.[1][method.toLowerCase()];
    if (found === undefined || operation === undefined) throw new Error(`${method} ${path} is not described`);
    return [found[0], operation];
  }

  /** What is wrong with an answer. */
  function misfit(method: string, path: string, { status, text, headers }: Called): unknown {
    const [template, { responses }] = described(method, path);
    const response = responses[status];
    if (response === undefined) return `${status} is not described`;
    const [[type] = []] = Object.entries(response.content ?? {});
    if (type === undefined) return text === "" ? undefined : `a body where none is described: ${text}`;
    if (!headers.get("content-type")?.startsWith(type)) return `${headers.get("content-type")}, not ${type}`;
    if (type !== "application/json") return undefined;
    const pointer = [
      "paths",
      template,
      method.toLowerCase(),
      "responses",
      String(status),
      "content",
      type,
      "schema",
    ].map((step) => encodeURIComponent(step.replaceAll("~", "~0").replaceAll("/", "~1")));
    const validate = ajv.getSchema(`document#/${pointer.join("/")}`);
    if (validate === undefined) return "no schema";
    return validate(JSON.parse(text)) === true ? undefined : validate.errors;
  }

  const TENANT = "/api/admin/tenants/acme";
  const HEADERS = { headers: { "x-scope-orgid": "acme" } };
  const overrides = (etag: string) => ({ headers: { "x-scope-orgid": "acme", "if-match": etag } });
  const FULL = {
    forwarders: ["f1"],
    cost_attribution: { dimensions: { "k8s.namespace.name": "namespace" } },
    metrics_generator: {
      processors: ["span-metrics"],
      collection_interval: "90s",
      processor: { span_metrics: { intrinsic_dimensions: { span_name: false }, histogram_buckets: [0.1] } },
    },
  };
  /** In order; each with the status that it must have, so that what is described is what was meant. */
  const REQUESTS: readonly (readonly [number, string, string, CallOptions?])[] = [
    [404, "GET", TENANT],
    [201, "POST", "/api/admin/tenants", { body: { tenant: "acme" } }],
    [200, "POST", "/api/admin/tenants", { body: { tenant: "acme" } }],
    [400, "POST", "/api/admin/tenants", { body: { tenant: "a/b" } }],
    [200, "GET", "/api/admin/tenants"],
    [200, "GET", "/api/admin/tenants?limit=1"],
    [401, "GET", "/api/admin/tenants", { token: null }],
    [403, "GET", "/api/admin/tenants", { token: "reader" }],
    [200, "GET", TENANT],
    [403, "GET", "/api/admin/tenants/other", { token: "admin" }],
    [200, "PUT", `${TENANT}/shards`, { body: { count: 2 } }],
    [429, "PUT", `${TENANT}/shards`, { body: { count: 4 } }],
    [413, "PUT", `${TENANT}/shards`, { body: " ".repeat(65_537) }],
    [200, "PUT", `${TENANT}/retention`, { body: { hours: 1.5 } }],
    [200, "PUT", `${TENANT}/spend-cap`, { body: { dayUsd: 2, action: "sample", keepShare: 0.2 } }],
    [412, "PUT", `${TENANT}/retention`, { body: { hours: 1.5 }, headers: { "if-match": '"0"' } }],
    [202, "POST", `${TENANT}/rebuild-catalogue`],
    [200, "PATCH", `${TENANT}/limits`, { body: { "ingestion.rate_limit_bytes": 1000 } }],
    [400, "PATCH", `${TENANT}/limits`, { body: { "ingestion.rate_limit_bytes": 0 } }],
    [200, "GET", `${TENANT}/limits`],
    [
      201,
      "POST",
      `${TENANT}/tokens`,
      {
        body: {
          name: "x",
          scopes: ["ingest"],
          limits: { "ingestion.rate_limit_spans": 100 },
          origins: ["https://a.example"],
          expires: "2030-01-01T00:00:00Z",
        },
      },
    ],
    [200, "GET", `${TENANT}/tokens`],
    [404, "DELETE", `${TENANT}/tokens/abc`],
    [200, "DELETE", `${TENANT}/tokens/THE-READER`],
    [200, "GET", `${TENANT}/usage`],
    [200, "GET", `${TENANT}/usage?from=2026-11-01&to=2026-11-30`],
    [400, "GET", `${TENANT}/usage?from=yesterday`],
    [403, "GET", "/api/admin/tenants/other/usage", { token: "admin" }],
    [200, "GET", `${TENANT}/audit`],
    [200, "GET", `${TENANT}/audit?limit=1`],
    [404, "GET", "/api/overrides", HEADERS],
    [401, "GET", "/api/overrides"],
    [400, "GET", "/api/overrides?scope=all", HEADERS],
    [428, "POST", "/api/overrides", { ...HEADERS, body: {} }],
    [200, "POST", "/api/overrides", { ...overrides("0"), body: {} }],
    [200, "GET", "/api/overrides", HEADERS],
    [412, "POST", "/api/overrides", { ...overrides("0"), body: {} }],
    [200, "PATCH", "/api/overrides", { ...HEADERS, body: FULL }],
    [400, "PATCH", "/api/overrides", { ...HEADERS, body: { forwarder: 1 } }],
    [413, "PATCH", "/api/overrides", { ...HEADERS, body: " ".repeat(65_537) }],
    [200, "GET", "/api/overrides?scope=merged", HEADERS],
    [403, "DELETE", "/api/overrides", { token: "sender" }],
    [428, "DELETE", "/api/overrides", HEADERS],
    [200, "DELETE", "/api/overrides", overrides("2")],
    [202, "DELETE", TENANT],
    [404, "PUT", `${TENANT}/shards`, { body: { count: 2 } }],
  ];

  test("each of a run through all routes; every route and every success is in the run", async () => {
    const world = adminWorld();
    const tokens: Record<string, string> = {};
    const seen = new Set<string>();
    let reader = "";
    for (const [status, method, path, options = {}] of REQUESTS) {
      const { token } = options;
      const answer = await world.call(method, path.replace("THE-READER", reader), {
        ...options,
        ...(typeof token === "string" ? { token: tokens[token] ?? token } : {}),
      });
      expect([method, path, answer.status, answer.text]).toEqual([method, path, status, answer.text]);
      expect({ method, path, status, misfit: misfit(method, path, answer) }).toMatchObject({
        misfit: undefined,
      });
      seen.add(`${method} ${described(method, path)[0]} ${status}`);
      if (status === 201 && tokens["reader"] === undefined) {
        tokens["reader"] = await world.makeToken("acme", { scopes: ["read"] });
        tokens["admin"] = await world.makeToken("acme", { scopes: ["admin"] });
        tokens["sender"] = await world.makeToken("acme", { scopes: ["ingest"] });
        reader = world.world.tenant("acme").view().tokens?.[0]?.id ?? "";
      }
    }
    const successes = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.entries(operations).flatMap(([method, { responses }]) =>
        Object.keys(responses)
          .filter((status) => status.startsWith("2"))
          .map((status) => `${method.toUpperCase()} ${path} ${status}`),
      ),
    );
    expect(successes.filter((success) => !seen.has(success))).toEqual([]);
  });

  test("an answer that is not as described would be found", async () => {
    const answer = await adminWorld().call("GET", "/api/admin/tenants");
    const wrong = { ...answer, text: '{"tenants":[{"tenant":1}]}' };
    expect(misfit("GET", "/api/admin/tenants", answer)).toBeUndefined();
    expect(misfit("GET", "/api/admin/tenants", wrong)).toMatchObject([{ keyword: "type" }]);
  });
});
