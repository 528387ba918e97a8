// The admin API where tokens are asked for: tenants, tokens, roles, ETags, audit log.
import { beforeEach, describe, expect, test, vi } from "vitest";
import { DEFAULT_TENANT_LIMITS, TENANT_LIMIT_SPECS } from "../../../src/model/tenant-limits.ts";
import { ADMIN_TOKEN } from "../../support/access-world.ts";
import { adminWorld } from "../../support/admin-world.ts";

const TENANTS = "/api/admin/tenants";
const INGEST = { scopes: ["ingest"] };
const ADMIN = { scopes: ["admin"] };

beforeEach(() => void vi.spyOn(console, "log").mockReturnValue());

describe("tenants", () => {
  test("created once, listed by name with the one that is always there", async () => {
    const { call } = adminWorld();
    for (const [tenant, status] of [
      ["zebra", 201],
      ["acme", 201],
      ["acme", 200],
      ["single-tenant", 200],
    ] as const) {
      expect(await call("POST", TENANTS, { body: { tenant } })).toMatchObject({
        status,
        etag: '"1"',
        body: { tenant, state: "active", version: 1, shards: 1 },
      });
    }
    expect((await call("GET", TENANTS)).body).toEqual({
      tenants: [{ tenant: "acme" }, { tenant: "single-tenant" }, { tenant: "zebra" }],
    });
  });

  test("several slashes are one here, too", async () => {
    const { call } = adminWorld();
    expect((await call("GET", "//api//admin/tenants")).body).toEqual({
      tenants: [{ tenant: "single-tenant" }],
    });
    expect((await call("GET", "//api//admin/tenants", { token: null })).status).toBe(401);
  });

  test("the list is paged", async () => {
    const { call, world } = adminWorld();
    for (const name of ["a", "b", "c"]) world.directory.names.add(name);
    expect((await call("GET", `${TENANTS}?limit=2`)).body).toEqual({
      tenants: [{ tenant: "a" }, { tenant: "b" }],
      next: "b",
    });
    expect((await call("GET", `${TENANTS}?limit=2&after=b`)).body).toEqual({
      tenants: [{ tenant: "c" }, { tenant: "single-tenant" }],
    });
  });

  test.each([
    ["?limit=0", "limit must be at least 1"],
    ["?limit=10001", "limit must be at most 10000"],
    ["?limit=ten", "limit must be a whole number"],
    ["?after=a%2Fb", "tenant ID 'a/b' contains unsupported character '/'"],
  ])("the list with %s: 400", async (query, message) => {
    expect((await adminWorld().call("GET", TENANTS + query)).body).toEqual({
      error: { kind: "invalid_argument", message },
    });
  });

  test("one that nobody made is 404 on every route but the one that makes its first token", async () => {
    const { call, world } = adminWorld();
    for (const [method, rest, body] of [
      ["GET", "", undefined],
      ["PUT", "/shards", { count: 2 }],
      ["PUT", "/retention", { hours: 2 }],
      ["POST", "/rebuild-catalogue", undefined],
      ["DELETE", "", undefined],
      ["GET", "/tokens", undefined],
      ["DELETE", "/tokens/abc", undefined],
      ["GET", "/audit", undefined],
      ["GET", "/limits", undefined],
      ["PATCH", "/limits", {}],
    ] as const) {
      expect(await call(method, `${TENANTS}/acme${rest}`, { body })).toMatchObject({
        status: 404,
        body: { error: { kind: "not_found", message: 'there is no tenant "acme"' } },
      });
    }
    expect(world.tenants.size).toBe(0);
    expect((await call("POST", `${TENANTS}/acme/tokens`, { body: { name: "x", ...INGEST } })).status).toBe(
      201,
    );
    expect((await call("GET", `${TENANTS}/acme`)).status).toBe(200);
  });

  test("with one tenant only no other can be made, nor a token for it", async () => {
    const { call, world } = adminWorld({ isMultitenant: false });
    for (const [path, body] of [
      [TENANTS, { tenant: "acme" }],
      [`${TENANTS}/acme/tokens`, { name: "x", ...INGEST }],
    ] as const) {
      expect(await call("POST", path, { body })).toMatchObject({
        status: 400,
        body: { error: { message: "there is one tenant, single-tenant, until MULTITENANCY=on is set" } },
      });
    }
    expect(world.directory.names.size).toBe(0);
    const made = await call("POST", `${TENANTS}/single-tenant/tokens`, { body: { name: "x", ...INGEST } });
    expect(made.status).toBe(201);
  });

  test("a full directory: 429, and nothing is made", async () => {
    const { call, world } = adminWorld();
    vi.spyOn(world.directory, "add").mockResolvedValue({ ok: false, kind: "rate_limited", message: "full" });
    expect(await call("POST", TENANTS, { body: { tenant: "acme" } })).toMatchObject({
      status: 429,
      body: { error: { kind: "rate_limited", message: "full" } },
    });
    expect(world.tenants.size).toBe(0);
  });
});

describe("tokens", () => {
  test("the text is shown once; what is listed is what was asked for; each is of use at once", async () => {
    const { call, makeToken } = adminWorld();
    const made = await call("POST", `${TENANTS}/acme/tokens`, {
      body: { name: "collector", scopes: ["read", "ingest", "read"], expires: "2027-01-01T01:00:00+01:00" },
    });
    const { token, ...record } = made.body;
    expect(token).toMatch(/^rbt_acme_[0-9a-f]{40}$/);
    expect(record).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{12}$/),
      name: "collector",
      scopes: ["read", "ingest"],
      tenants: [],
      origins: [],
      created: "2026-11-30T00:00:00.000Z",
      expires: "2027-01-01T00:00:00.000Z",
    });
    expect((await call("GET", "/api/echo", { token: String(token) })).status).toBe(200);
    const second = await makeToken("acme", ADMIN);
    const listed = await call("GET", `${TENANTS}/acme/tokens`);
    expect(listed.body["tokens"]).toEqual([record, expect.objectContaining({ name: "test" })]);
    for (const text of [String(token), second]) expect(listed.text).not.toContain(text.slice(-40));
  });

  test("revoked: refused at once where it was revoked, elsewhere within a minute", async () => {
    const { call, isolate, makeToken, world } = adminWorld();
    const token = await makeToken("acme", { scopes: ["read"] });
    const other = isolate();
    expect((await call("GET", "/api/echo", { token })).status).toBe(200);
    expect((await other("GET", "/api/echo", { token })).status).toBe(200);
    const [{ id }] = (await call("GET", `${TENANTS}/acme/tokens`)).body["tokens"] as [{ id: string }];
    expect(await call("DELETE", `${TENANTS}/acme/tokens/${id}`)).toMatchObject({
      status: 200,
      etag: '"2"',
      body: { revoked: id },
    });
    expect((await call("GET", "/api/echo", { token })).status).toBe(401);
    expect((await other("GET", "/api/echo", { token })).status).toBe(200);
    world.nowMs += 60_000;
    expect((await other("GET", "/api/echo", { token })).status).toBe(401);
    expect(await call("DELETE", `${TENANTS}/acme/tokens/${id}`)).toMatchObject({
      status: 404,
      body: { error: { message: `there is no token ${id}` } },
    });
  });

  test.each([
    [{ scopes: ["ingest"] }, "name must be a text"],
    [{ name: "", scopes: ["ingest"] }, "name must have at least 1 characters"],
    [{ name: "x".repeat(101), scopes: ["ingest"] }, "name must have at most 100 characters"],
    [{ name: "a\nb", scopes: ["ingest"] }, "name holds a character that cannot be shown"],
    [{ name: "a\u202eb", scopes: ["ingest"] }, "name holds a character that cannot be shown"],
    [{ name: "x" }, "scopes must be a list"],
    [{ name: "x", scopes: [] }, "scopes must have at least 1 entries"],
    [{ name: "x", scopes: ["ingest", "write"] }, "scopes[1] must be ingest or read or admin or metrics"],
    [{ name: "x", ...INGEST, tenants: [1] }, "tenants[0] must be a text"],
    [{ name: "x", ...INGEST, tenants: ["a b"] }, "tenant ID 'a b' contains unsupported character ' '"],
    [
      { name: "x", ...INGEST, tenants: Array.from({ length: 101 }, String) },
      "tenants must have at most 100 entries",
    ],
    [
      { name: "x", ...INGEST, origins: ["example.com"] },
      'an origin is like https://example.com, not "example.com"',
    ],
    [{ name: "x", ...INGEST, expires: "tomorrow" }, "expires must be a time like 2026-12-31T00:00:00Z"],
    [{ name: "x", ...INGEST, expires: "2026-11-30T00:00:00Z" }, "a token expires in the future"],
    [{ name: "x", ...INGEST, scope: "ingest" }, "there is no field scope"],
    [["x"], "the body is no JSON object"],
    ["{", expect.stringMatching(/^the body is no JSON: /)],
    [`{"name":${"[".repeat(17)}${"]".repeat(17)}}`, "the body is nested deeper than 16 levels"],
  ])("%j: 400", async (body, message) => {
    const { call, world } = adminWorld();
    expect(await call("POST", `${TENANTS}/acme/tokens`, { body })).toMatchObject({
      status: 400,
      body: {
        error: {
          kind: "invalid_argument",
          message,
        },
      },
    });
    expect(world.tenants.size).toBe(0);
  });

  test("a body up to 64 KiB is read, one of a byte more is 413", async () => {
    const { call } = adminWorld();
    const body = (bytes: number): string => JSON.stringify({ name: "x", ...INGEST }).padEnd(bytes);
    const post = (bytes: number) => call("POST", `${TENANTS}/acme/tokens`, { body: body(bytes) });
    expect((await post(64 * 1024)).status).toBe(201);
    expect(await post(64 * 1024 + 1)).toMatchObject({
      status: 413,
      body: { error: { kind: "too_large", message: "request body is larger than 65536 bytes" } },
    });
  });

  test("a body is JSON, whatever the request calls it", async () => {
    const { call } = adminWorld();
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "application/json; charset=utf-8",
    ]) {
      const made = await call("POST", `${TENANTS}/acme/tokens`, {
        body: { name: type, ...INGEST },
        headers: { "content-type": type },
      });
      expect(made.status).toBe(201);
    }
  });

  test("500 tokens and no more", async () => {
    const { call } = adminWorld();
    for (let i = 0; i < 500; i++) {
      await call("POST", `${TENANTS}/acme/tokens`, { body: { name: `${i}`, ...INGEST } });
    }
    expect(await call("POST", `${TENANTS}/acme/tokens`, { body: { name: "x", ...INGEST } })).toMatchObject({
      status: 400,
      body: { error: { message: "the tenant has 500 tokens, the most there may be: revoke some" } },
    });
  });
});

describe("roles", () => {
  test("a token with the scope admin: tokens, audit log and the view of the tenants it may act for", async () => {
    const { call, makeToken, world } = adminWorld();
    world.directory.names.add("other");
    const token = await makeToken("acme", { ...ADMIN, tenants: ["other", "gone"] });
    for (const tenant of ["acme", "other"]) {
      expect((await call("GET", `${TENANTS}/${tenant}`, { token })).status).toBe(200);
      const made = await call("POST", `${TENANTS}/${tenant}/tokens`, {
        token,
        body: { name: "x", scopes: ["read"] },
      });
      expect(made.status).toBe(201);
      expect((await call("GET", `${TENANTS}/${tenant}/tokens`, { token })).status).toBe(200);
      expect((await call("GET", `${TENANTS}/${tenant}/audit`, { token })).status).toBe(200);
      const revoked = await call("DELETE", `${TENANTS}/${tenant}/tokens/${String(made.body["id"])}`, {
        token,
      });
      expect(revoked.status).toBe(200);
    }
    expect((await call("GET", TENANTS, { token })).body).toEqual({
      tenants: [{ tenant: "acme" }, { tenant: "other" }],
    });
    // It may act for that one, but there is none, and only the operator makes one.
    for (const method of ["GET", "POST"]) {
      const body = method === "POST" ? { name: "x", ...INGEST } : undefined;
      expect(await call(method, `${TENANTS}/gone/tokens`, { token, body })).toMatchObject({ status: 404 });
    }
    expect(world.directory.names.has("gone")).toBe(false);
  });

  test("not what is the operator's, not even for its own tenant", async () => {
    const { call, makeToken, world } = adminWorld();
    const token = await makeToken("acme", { ...ADMIN, tenants: ["*"] });
    const before = world.tenant("acme").view();
    for (const [method, path, body] of [
      ["POST", TENANTS, { tenant: "new" }],
      ["PUT", `${TENANTS}/acme/shards`, { count: 2 }],
      ["PUT", `${TENANTS}/acme/retention`, { hours: 2 }],
      ["PUT", `${TENANTS}/acme/retention`, "no JSON"],
      ["PATCH", `${TENANTS}/acme/limits`, { "ingestion.rate_limit_bytes": 1000 }],
      ["POST", `${TENANTS}/acme/rebuild-catalogue`, undefined],
      ["DELETE", `${TENANTS}/acme`, undefined],
    ] as const) {
      expect(await call(method, path, { token, body })).toMatchObject({
        status: 403,
        body: {
          error: { kind: "forbidden", message: "this is the operator's to do: it needs the admin secret" },
        },
      });
    }
    expect(world.tenant("acme").view()).toEqual(before);
  });

  test("a tenant it may not act for: the same answer whether there is one or not", async () => {
    const { call, makeToken, world } = adminWorld();
    world.directory.names.add("there");
    const token = await makeToken("acme", ADMIN);
    const ask = async (name: string) => {
      const answers: unknown[] = [];
      for (const [method, rest, body] of [
        ["GET", "", undefined],
        ["GET", "/tokens", undefined],
        ["POST", "/tokens", { name: "x", ...INGEST }],
        ["POST", "/tokens", "no JSON"],
        ["DELETE", "/tokens/abc", undefined],
        ["GET", "/audit", undefined],
      ] as const) {
        const { status, text, headers } = await call(method, `${TENANTS}/${name}${rest}`, { token, body });
        expect(status).toBe(403);
        answers.push([text.replaceAll(name, "?"), [...headers]]);
      }
      return answers;
    };
    expect(await ask("there")).toEqual(await ask("not-there"));
  });

  test("nobody gives away more than they have: tenants; every scope is theirs to give", async () => {
    const { call, makeToken } = adminWorld();
    const token = await makeToken("acme", { ...ADMIN, tenants: ["other"] });
    const post = (tenants: readonly string[]) =>
      call("POST", `${TENANTS}/acme/tokens`, {
        token,
        body: { name: "x", scopes: ["admin", "read", "ingest", "metrics"], tenants },
      });
    for (const tenants of [["third"], ["other", "*"]]) {
      expect(await post(tenants)).toMatchObject({
        status: 403,
        body: { error: { message: expect.stringContaining("cannot let another do so") } },
      });
    }
    expect((await post(["other", "acme"])).status).toBe(201);
    const all = await makeToken("acme", { ...ADMIN, tenants: ["*"] });
    const made = await call("POST", `${TENANTS}/acme/tokens`, {
      token: all,
      body: { name: "x", ...ADMIN, tenants: ["*", "third"] },
    });
    expect(made.status).toBe(201);
  });

  test.each([["ingest"], ["read"], ["metrics"]])(
    "a token with the scope %s alone: 403 everywhere",
    async (scope) => {
      const { call, makeToken } = adminWorld();
      const token = await makeToken("acme", { scopes: [scope] });
      for (const path of [TENANTS, `${TENANTS}/acme`, `${TENANTS}/acme/tokens`, "/api/admin/nothing"]) {
        expect(await call("GET", path, { token })).toMatchObject({
          status: 403,
          body: {
            error: { kind: "forbidden", message: `this token lacks the scope admin; it has ${scope}` },
          },
        });
      }
    },
  );

  test("no token: 401; expired: 401; a browser key: 403", async () => {
    const { call, makeToken, world } = adminWorld();
    expect((await call("GET", TENANTS, { token: null })).status).toBe(401);
    const key = await makeToken("acme", { ...INGEST, origins: ["https://shop.example"] });
    expect((await call("GET", TENANTS, { token: key })).status).toBe(403);
    const token = await makeToken("acme", { ...ADMIN, expires: "2026-11-30T00:00:10Z" });
    expect((await call("GET", TENANTS, { token })).status).toBe(200);
    world.nowMs += 10_000;
    expect(await call("GET", TENANTS, { token })).toMatchObject({
      status: 401,
      body: { error: { message: "this token expired at 2026-11-30T00:00:10.000Z" } },
    });
  });
});

describe("limits", () => {
  const LIMITS = `${TENANTS}/acme/limits`;
  const RATE = "ingestion.rate_limit_bytes";
  const QUERIES = "read.max_concurrent_queries";

  async function setUp() {
    const made = adminWorld();
    await made.call("POST", TENANTS, { body: { tenant: "acme" } });
    return made;
  }

  test("all of them by Tempo's names; those that were set, beside the rest", async () => {
    const { call, makeToken } = await setUp();
    const token = await makeToken("acme", ADMIN);
    const { body } = await call("GET", LIMITS, { token });
    expect(body).toMatchObject({ tenant: "acme", set: {} });
    expect(Object.keys(body["limits"] as object).sort()).toEqual(
      Object.values(TENANT_LIMIT_SPECS)
        .map(({ override }) => override)
        .sort(),
    );
    expect(body["limits"]).toMatchObject({ [RATE]: DEFAULT_TENANT_LIMITS.rateBytes });
  });

  test("a change names some, the others stay; null goes back to the default", async () => {
    const { call, world } = await setUp();
    const patch = async (body: object) => (await call("PATCH", LIMITS, { body })).body["set"];
    expect(await patch({ [RATE]: 1000 })).toEqual({ [RATE]: 1000 });
    expect(await patch({ [QUERIES]: 3 })).toEqual({ [RATE]: 1000, [QUERIES]: 3 });
    expect(world.tenant("acme").view().limits).toEqual({ rateBytes: 1000, maxConcurrentQueries: 3 });
    expect(await patch({ [RATE]: null })).toEqual({ [QUERIES]: 3 });
    expect((await call("GET", LIMITS)).body["limits"]).toMatchObject({
      [RATE]: DEFAULT_TENANT_LIMITS.rateBytes,
      [QUERIES]: 3,
    });
  });

  test.each(Object.values(TENANT_LIMIT_SPECS))(
    "$override: from $min to $max",
    async ({ override, min, max }) => {
      const { call } = await setUp();
      const status = async (value: unknown) =>
        (await call("PATCH", LIMITS, { body: { [override]: value } })).status;
      for (const good of [min, max]) expect(await status(good)).toBe(200);
      for (const bad of [min - 1, max + 1, min + 0.5, String(min)]) expect(await status(bad)).toBe(400);
    },
  );

  test("what is wrong is said with the name and the bound", async () => {
    const { call } = await setUp();
    for (const [body, message] of [
      [{ [QUERIES]: 0 }, `${QUERIES} must be at least 1`],
      [{ [QUERIES]: 1.5 }, `${QUERIES} must be a whole number`],
      [{ rateBytes: 5 }, "there is no field rateBytes"],
    ] as const) {
      expect((await call("PATCH", LIMITS, { body })).body).toMatchObject({ error: { message } });
    }
  });

  test("two who change different limits at once both do, if neither names a version", async () => {
    const { call } = await setUp();
    const results = await Promise.all([
      call("PATCH", LIMITS, { body: { [RATE]: 1000 } }),
      call("PATCH", LIMITS, { body: { [QUERIES]: 3 } }),
    ]);
    expect(results.map(({ status }) => status)).toEqual([200, 200]);
    expect((await call("GET", LIMITS)).body["set"]).toEqual({ [RATE]: 1000, [QUERIES]: 3 });
  });

  test("a token may have rates of its own, and no other limits", async () => {
    const { call, world } = await setUp();
    const make = (limits: object) =>
      call("POST", `${TENANTS}/acme/tokens`, { body: { name: "x", ...INGEST, limits } });
    expect(await make({ [RATE]: 1000 })).toMatchObject({ status: 201, body: { limits: { [RATE]: 1000 } } });
    expect(world.tenant("acme").view().tokens).toMatchObject([{ limits: { rateBytes: 1000 } }]);
    expect((await make({ [QUERIES]: 3 })).body).toMatchObject({
      error: { message: `there is no field limits.${QUERIES}` },
    });
  });
});

describe("ETags", () => {
  const CHANGES = [
    ["PUT", "/shards", { count: 2 }, 200],
    ["PUT", "/retention", { hours: 2 }, 200],
    ["POST", "/rebuild-catalogue", undefined, 202],
    ["PATCH", "/limits", { "read.max_concurrent_queries": 3 }, 200],
    ["POST", "/tokens", { name: "x", ...INGEST }, 201],
    ["DELETE", "", undefined, 202],
  ] as const;

  test.each(CHANGES)(
    "%s %s: made with the ETag that is current, or *; refused with another",
    async (...change) => {
      const [method, rest, body, status] = change;
      const { call, world } = adminWorld();
      await call("POST", TENANTS, { body: { tenant: "acme" } });
      const path = `${TENANTS}/acme`;
      const send = (etag: string) => call(method, path + rest, { body, headers: { "if-match": etag } });
      for (const wrong of ['"0"', '"2"', 'W/"7"']) {
        expect(await send(wrong)).toMatchObject({
          status: 412,
          etag: '"1"',
          body: { error: { kind: "conflict" } },
        });
      }
      expect(world.tenant("acme").view().version).toBe(1);
      expect(await send('"1"')).toMatchObject({ status, etag: '"2"' });
    },
  );

  test.each(CHANGES)("%s %s: a malformed If-Match is 400, and nothing is changed", async (...change) => {
    const [method, rest, body] = change;
    const { call, world } = adminWorld();
    await call("POST", TENANTS, { body: { tenant: "acme" } });
    for (const etag of ["1", '"one"', '"1", "2"', "", '"1', `"${"1".repeat(16)}"`]) {
      expect(
        await call(method, `${TENANTS}/acme${rest}`, { body, headers: { "if-match": etag } }),
      ).toMatchObject({
        status: 400,
        body: { error: { message: expect.stringMatching(/^If-Match must be /) } },
      });
    }
    expect(world.tenant("acme").view().version).toBe(1);
  });

  test("of two changes over the same version one is made", async () => {
    const { call } = adminWorld();
    await call("POST", TENANTS, { body: { tenant: "acme" } });
    const results = await Promise.all(
      [3, 4, 5].map((hours) =>
        call("PUT", `${TENANTS}/acme/retention`, { body: { hours }, headers: { "if-match": 'W/"1"' } }),
      ),
    );
    expect(results.map(({ status }) => status).sort((a, b) => a - b)).toEqual([200, 412, 412]);
    expect(results.map(({ etag }) => etag)).toEqual(['"2"', '"2"', '"2"']);
  });

  test("* is any version, but not of a tenant that there is not; nor is a number", async () => {
    const { call } = adminWorld();
    const post = (etag: string) =>
      call("POST", `${TENANTS}/acme/tokens`, {
        body: { name: "x", ...INGEST },
        headers: { "if-match": etag },
      });
    expect(await post('"0"')).toMatchObject({
      status: 412,
      etag: null,
      body: { error: { kind: "conflict" } },
    });
    await call("POST", TENANTS, { body: { tenant: "acme" } });
    expect(await post("*")).toMatchObject({ status: 201, etag: '"2"' });
  });
});

describe("audit log", () => {
  test("every change by whom and when, the newest first; reading leaves nothing", async () => {
    const { call, makeToken, world } = adminWorld();
    const path = `${TENANTS}/acme`;
    await call("POST", TENANTS, { body: { tenant: "acme" } });
    const token = await makeToken("acme", { name: "boss", ...ADMIN });
    const [{ id }] = (await call("GET", `${path}/tokens`)).body["tokens"] as [{ id: string }];
    world.nowMs += 1_000;
    const made = await call("POST", `${path}/tokens`, {
      token,
      body: { name: "x", scopes: ["read", "ingest"] },
    });
    const made2 = String(made.body["id"]);
    await call("DELETE", `${path}/tokens/${made2}`, { token });
    await call("PUT", `${path}/shards`, { body: { count: 2 } });
    await call("PUT", `${path}/retention`, { body: { hours: 2 } });
    await call("POST", `${path}/rebuild-catalogue`);
    await call("PUT", `${path}/shards`, { body: { count: 3 } });
    await call("GET", path);
    await call("DELETE", path);
    const { body } = await call("GET", `${path}/audit`, {});
    const entries = body["entries"] as {
      id: number;
      at: string;
      actor: string;
      action: string;
      detail: string;
    }[];
    const boss = `token ${id} (boss)`;
    expect(
      entries.map((entry) => [entry.id, entry.at.slice(17), entry.actor, entry.action, entry.detail]),
    ).toEqual([
      [8, "01.000Z", "operator", "delete tenant", ""],
      [7, "01.000Z", "operator", "rebuild catalogue", ""],
      [6, "01.000Z", "operator", "set retention", "from default to 7200000 ms"],
      [5, "01.000Z", "operator", "set shards", "from 1 to 2"],
      [4, "01.000Z", boss, "revoke token", `${made2} (x)`],
      [3, "01.000Z", boss, "create token", `${made2} (x): read, ingest`],
      [2, "00.000Z", "operator", "create token", `${id} (boss): admin`],
      [1, "00.000Z", "operator", "create tenant", ""],
    ]);
    const text = JSON.stringify(body);
    for (const secret of [ADMIN_TOKEN, token.slice(-40)]) expect(text).not.toContain(secret);
  });

  test("paged by before", async () => {
    const { call } = adminWorld();
    const path = `${TENANTS}/acme`;
    await call("POST", TENANTS, { body: { tenant: "acme" } });
    for (let hours = 2; hours < 6; hours++) await call("PUT", `${path}/retention`, { body: { hours } });
    const page = async (query: string) => {
      const { body } = await call("GET", `${path}/audit${query}`);
      return [(body["entries"] as { id: number }[]).map(({ id }) => id), body["next"]];
    };
    expect(await page("?limit=2")).toEqual([[5, 4], 4]);
    expect(await page("?limit=2&before=4")).toEqual([[3, 2], 2]);
    expect(await page("?limit=2&before=2")).toEqual([[1], undefined]);
    expect(await page("?limit=5")).toEqual([[5, 4, 3, 2, 1], undefined]);
    for (const [query, message] of [
      ["?limit=1001", "limit must be at most 1000"],
      ["?before=x", "before must be a whole number"],
    ] as const) {
      expect((await call("GET", `${path}/audit${query}`)).body).toMatchObject({ error: { message } });
    }
  });
});

describe("the sign for all tenants", () => {
  test("no tenant is called like it: by a token of its own, or by name", async () => {
    const { call } = adminWorld();
    for (const made of [
      await call("POST", "/api/admin/tenants/*/tokens", { body: { name: "t", scopes: ["admin"] } }),
      await call("POST", "/api/admin/tenants", { body: { tenant: "*" } }),
    ]) {
      expect(made).toMatchObject({
        status: 400,
        body: { error: { message: "no tenant may be called *" } },
      });
    }
  });

  test("where there is one all the same, its admin gives nobody more than it has", async () => {
    const { world, call, makeToken } = adminWorld();
    const { text } = await world.token("*", { scopes: ["admin"] });
    const grant = { body: { name: "t", scopes: ["read"], tenants: ["*"] }, token: text };
    expect((await call("POST", "/api/admin/tenants/*/tokens", grant)).status).toBe(403);
    const star = await makeToken("acme", { scopes: ["admin"], tenants: ["*"] });
    expect((await call("POST", "/api/admin/tenants/acme/tokens", { ...grant, token: star })).status).toBe(
      201,
    );
  });
});
