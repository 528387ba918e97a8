// Who a request is from and for whom, over real tenants: tokens, tenants, what an isolate remembers and for how long.
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { NeededScope } from "../../../src/access/authenticator.ts";
import type { AccessSettings } from "../../../src/model/config.ts";
import { formatToken, type Scope } from "../../../src/model/token.ts";
import { isAppError } from "../../../src/util/errors.ts";
import { ADMIN_TOKEN, AccessWorld, CHANGE } from "../../support/access-world.ts";

beforeEach(() => {
  vi.spyOn(console, "log").mockReturnValue();
  vi.spyOn(console, "warn").mockReturnValue();
});

const bearer = (text: string, more: Record<string, string> = {}) =>
  new Headers({ authorization: `Bearer ${text}`, ...more });
const org = (id: string) => ({ "x-scope-orgid": id });

/** Asks as a request would, in an isolate of its own. */
function ask(
  world: AccessWorld,
  headers: Headers,
  scope: NeededScope = "ingest",
  settings: Partial<AccessSettings> = {},
) {
  return world.isolate(settings).authenticator.caller(headers, scope);
}

const GUESS = formatToken("acme", new Uint8Array(20));

describe("tokens", () => {
  test("a token is for its own tenant, by each of the ways to send one", async () => {
    const world = new AccessWorld();
    const { text, record } = await world.token("acme", { name: "collector" });
    for (const headers of [
      bearer(text),
      new Headers({ authorization: `bearer   ${text} ` }),
      new Headers({ authorization: `Basic ${btoa(`anybody:${text}`)}` }),
      new Headers({ authorization: `Basic ${btoa(`:${text}`)}` }),
      new Headers({ "x-api-key": text }),
      new Headers({ authorization: `Bearer ${text}`, "x-api-key": text }),
    ]) {
      expect(await ask(world, headers)).toMatchObject({
        kind: "token",
        actor: `token ${record.id} (collector)`,
        tenants: ["acme"],
      });
    }
  });

  test.each<[string, Record<string, string>]>([
    ["none", {}],
    ["empty", { authorization: "" }],
    ["a scheme alone", { authorization: "Bearer" }],
    ["another scheme", { authorization: `Digest ${GUESS}` }],
    ["two in one header", { authorization: `Bearer ${GUESS}, Bearer ${GUESS}` }],
    ["two that differ", { authorization: `Bearer ${GUESS}`, "x-api-key": "other" }],
    ["no base64", { authorization: "Basic ***" }],
    ["as user of Basic", { authorization: `Basic ${btoa(`${GUESS}:`)}` }],
    ["very long", { authorization: `Bearer ${"x".repeat(5_000)}` }],
    ["an empty key", { "x-api-key": " " }],
    ["a token nobody made", { authorization: `Bearer ${GUESS}` }],
    [
      "of a tenant that there is not",
      { authorization: `Bearer ${formatToken("nobody", new Uint8Array(20))}` },
    ],
    ["of a tenant that cannot be", { authorization: `Bearer rbt_a/b_${"0".repeat(40)}` }],
    ["no token at all", { authorization: "Bearer hello" }],
  ])("%s: unauthenticated", async (_, headers) => {
    const world = new AccessWorld();
    await world.token("acme");
    await expect(ask(world, new Headers(headers))).rejects.toMatchObject({ kind: "unauthenticated" });
  });

  test("a secret that differs in one digit, or one of another tenant, is unknown", async () => {
    const world = new AccessWorld();
    const { text } = await world.token("acme");
    await world.token("other");
    const last = text.endsWith("0") ? "1" : "0";
    for (const wrong of [
      text.slice(0, -1) + last,
      text.replace("acme", "other"),
      text.toUpperCase(),
      `${text}0`,
    ]) {
      await expect(ask(world, bearer(wrong))).rejects.toMatchObject({ kind: "unauthenticated" });
    }
  });

  test("a tenant's name may hold what separates it from the secret", async () => {
    const world = new AccessWorld();
    const { text } = await world.token("a_b_rbt_c");
    expect((await ask(world, bearer(text))).tenants).toEqual(["a_b_rbt_c"]);
  });

  test.each<[Scope, readonly Scope[]]>([
    ["ingest", ["read", "admin", "metrics"]],
    ["read", ["ingest", "admin", "metrics"]],
    ["admin", ["ingest", "read", "metrics"]],
    ["metrics", ["ingest", "read", "admin"]],
  ])("scope %s allows that alone", async (scope, others) => {
    const world = new AccessWorld();
    const { text } = await world.token("acme", { scopes: [scope] });
    expect((await ask(world, bearer(text), scope)).scopes).toEqual(new Set([scope]));
    expect(await ask(world, bearer(text), "any")).toMatchObject({ kind: "token" });
    for (const other of others) {
      await expect(ask(world, bearer(text), other)).rejects.toMatchObject({
        kind: "forbidden",
        message: `this token lacks the scope ${other}; it has ${scope}`,
      });
    }
  });

  test("until it expires, and not at that moment", async () => {
    const world = new AccessWorld();
    const expiresMs = world.nowMs + 1_000;
    const { text } = await world.token("acme", { expiresMs });
    world.nowMs = expiresMs - 1;
    expect(await ask(world, bearer(text))).toMatchObject({ kind: "token" });
    world.nowMs = expiresMs;
    await expect(ask(world, bearer(text))).rejects.toMatchObject({
      kind: "unauthenticated",
      message: "this token expired at 2026-11-30T00:00:01.000Z",
    });
  });

  test("a browser key serves pages of its origins alone", async () => {
    const world = new AccessWorld();
    const { text } = await world.token("acme", { origins: ["https://a.example", "https://b.example"] });
    expect(await ask(world, bearer(text, { origin: "https://b.example" }))).toMatchObject({ kind: "token" });
    for (const origin of [
      undefined,
      "null",
      "https://c.example",
      "http://a.example",
      "https://a.example.c",
    ]) {
      const headers = bearer(text, origin === undefined ? {} : { origin });
      await expect(ask(world, headers)).rejects.toMatchObject({ kind: "forbidden" });
    }
  });
});

describe("tenants of a request", () => {
  test("a token's header may name its own tenant, and those it lists", async () => {
    const world = new AccessWorld();
    const { text } = await world.token("acme", { scopes: ["read"], tenants: ["b", "c"] });
    await world.token("b");
    await world.token("c");
    const tenantsFor = async (id: string) => (await ask(world, bearer(text, org(id)), "read")).tenants;
    expect(await tenantsFor("acme")).toEqual(["acme"]);
    expect(await tenantsFor("c|acme|b|c")).toEqual(["acme", "b", "c"]);
    expect(await tenantsFor("b:key=value|acme:x=1")).toEqual(["acme", "b"]);
  });

  test("any other is forbidden, whether there is such a tenant or not", async () => {
    const world = new AccessWorld();
    const { text } = await world.token("acme", { scopes: ["read"], tenants: ["b"] });
    await world.token("b");
    await world.token("secret");
    for (const id of ["secret", "nobody", "acme|secret", "acme|nobody"]) {
      const other = id.replace("acme|", "");
      await expect(ask(world, bearer(text, org(id)), "read")).rejects.toMatchObject({
        kind: "forbidden",
        message: `this token may not act for tenant "${other}"`,
      });
    }
  });

  test("a listed tenant that there is not is said to be missing", async () => {
    const world = new AccessWorld();
    const { text } = await world.token("acme", { scopes: ["read"], tenants: ["*"] });
    await world.token("b");
    expect((await ask(world, bearer(text, org("b")), "read")).tenants).toEqual(["b"]);
    await expect(ask(world, bearer(text, org("nobody")), "read")).rejects.toMatchObject({
      kind: "not_found",
      message: 'there is no tenant "nobody"',
    });
  });

  test.each([
    ["|a", "no org id"],
    ["a|", "no org id"],
    ["a||b", "no org id"],
    ["a/b", /unsupported character/],
    ["..", /'\.\.'/],
    ["a, b", /unsupported character/],
    ["x".repeat(151), /150/],
    [Array.from({ length: 101 }, (_, i) => `t${i}`).join("|"), /100 tenants/],
  ])("header %j: bad request", async (id, message) => {
    const world = new AccessWorld();
    await expect(ask(world, bearer(ADMIN_TOKEN, org(id)), "read")).rejects.toMatchObject({
      kind: "invalid_argument",
      message: expect.stringMatching(message),
    });
  });

  test("spans are one tenant's", async () => {
    const world = new AccessWorld();
    const { text } = await world.token("acme", { tenants: ["b"] });
    await world.token("b");
    expect((await ask(world, bearer(text, org("b")))).tenants).toEqual(["b"]);
    await expect(ask(world, bearer(text, org("acme|b")))).rejects.toMatchObject({
      kind: "invalid_argument",
      message: "multiple org IDs present",
    });
  });

  test("the operator acts for whom the header names", async () => {
    const world = new AccessWorld();
    await world.token("acme");
    expect(await ask(world, bearer(ADMIN_TOKEN, org("acme")), "read")).toMatchObject({
      kind: "operator",
      tenants: ["acme"],
    });
    expect((await ask(world, bearer(ADMIN_TOKEN), "admin")).tenants).toEqual([]);
    expect((await ask(world, bearer(ADMIN_TOKEN, org("single-tenant")), "read")).tenants).toEqual([
      "single-tenant",
    ]);
    await expect(ask(world, bearer(ADMIN_TOKEN, org("nobody")), "read")).rejects.toMatchObject({
      kind: "not_found",
    });
  });
});

describe("modes", () => {
  test("without an admin secret everything is closed, and says how to open it", async () => {
    const world = new AccessWorld();
    const { text } = await world.token("acme");
    for (const scope of ["ingest", "read", "admin", "metrics", "any"] as const) {
      await expect(ask(world, bearer(text), scope, { adminToken: undefined })).rejects.toMatchObject({
        kind: "unavailable",
        message: expect.stringContaining('"npx wrangler secret put ADMIN_TOKEN"'),
      });
    }
  });

  test("one tenant: the header is ignored, tokens are asked for all the same", async () => {
    const world = new AccessWorld();
    const { text } = await world.token("single-tenant");
    const { text: foreign } = await world.token("acme");
    const settings = { isMultitenant: false };
    expect((await ask(world, bearer(text, org("a|b")), "ingest", settings)).tenants).toEqual([
      "single-tenant",
    ]);
    for (const headers of [new Headers(), bearer(foreign), bearer(foreign, org("single-tenant"))]) {
      await expect(ask(world, headers, "ingest", settings)).rejects.toMatchObject({
        kind: "unauthenticated",
      });
    }
  });

  test("open: anybody, for the one tenant, whatever they bring; admin asks for its secret", async () => {
    const world = new AccessWorld();
    const settings = { mode: "open", isMultitenant: false } as const;
    for (const headers of [new Headers(), bearer("hello"), new Headers(org("a/b"))]) {
      expect(await ask(world, headers, "read", settings)).toMatchObject({
        kind: "open",
        tenants: ["single-tenant"],
      });
      await expect(ask(world, headers, "admin", settings)).rejects.toMatchObject({ kind: "unauthenticated" });
    }
    expect(world.asked).toEqual([]);
    expect(await ask(world, bearer(ADMIN_TOKEN), "admin", settings)).toMatchObject({ kind: "operator" });
  });

  test("open with several tenants: as Tempo, the header must be there", async () => {
    const world = new AccessWorld();
    const settings = { mode: "open", isMultitenant: true } as const;
    expect((await ask(world, new Headers(org("b|a")), "read", settings)).tenants).toEqual(["a", "b"]);
    for (const headers of [new Headers(), new Headers(org(" "))]) {
      await expect(ask(world, headers, "read", settings)).rejects.toMatchObject({
        kind: "unauthenticated",
        message: "no org id",
      });
    }
    await expect(ask(world, new Headers(org("a|b")), "ingest", settings)).rejects.toMatchObject({
      kind: "invalid_argument",
    });
  });
});

describe("what an isolate remembers", () => {
  test("a revoked token is of no use after 60 s, and at once where it was revoked", async () => {
    const world = new AccessWorld();
    const { text, record } = await world.token("acme");
    const [here, elsewhere] = [world.isolate(), world.isolate()];
    for (const { authenticator } of [here, elsewhere]) await authenticator.caller(bearer(text), "ingest");
    world.tenant("acme").revokeToken(record.id, CHANGE);
    here.views.forget("acme");
    await expect(here.authenticator.caller(bearer(text), "ingest")).rejects.toMatchObject({
      kind: "unauthenticated",
    });
    world.nowMs += 60_000;
    await expect(elsewhere.authenticator.caller(bearer(text), "ingest")).rejects.toMatchObject({
      kind: "unauthenticated",
    });
  });

  test("when the tenant cannot be asked, a known token passes for a minute, then nobody", async () => {
    const world = new AccessWorld();
    const { text } = await world.token("acme");
    const { authenticator } = world.isolate();
    await authenticator.caller(bearer(text), "ingest");
    world.isReachable = false;
    world.nowMs += 59_999;
    expect(await authenticator.caller(bearer(text), "ingest")).toMatchObject({ kind: "token" });
    world.nowMs += 1;
    await expect(authenticator.caller(bearer(text), "ingest")).rejects.toMatchObject({ kind: "unavailable" });
  });

  test("a thousand requests ask the objects once", async () => {
    const world = new AccessWorld();
    const { text } = await world.token("acme");
    const { authenticator } = world.isolate();
    for (let i = 0; i < 1_000; i++) await authenticator.caller(bearer(text), "ingest");
    expect([world.asked, world.directory.lists]).toEqual([["acme"], 1]);
  });

  test("guesses reach an object once in two seconds, and never that of a tenant that there is not", async () => {
    const world = new AccessWorld();
    await world.token("acme");
    const { authenticator } = world.isolate();
    const guess = (tenant: string, i: number) =>
      authenticator
        .caller(bearer(formatToken(tenant, new Uint8Array(20).fill(i))), "ingest")
        .catch((error: unknown) => (isAppError(error) ? error.kind : error));
    for (let i = 0; i < 200; i++) {
      expect(await guess("acme", i)).toBe("unauthenticated");
      expect(await guess(`nobody-${i}`, i)).toBe("unauthenticated");
      world.nowMs += 10;
    }
    expect(new Set(world.asked)).toEqual(new Set(["acme"]));
    expect(world.asked.length).toBeLessThanOrEqual(2);
    expect(world.directory.lists).toBeLessThanOrEqual(2);
  });

  test("a token that was just made is known two seconds later at the latest", async () => {
    const world = new AccessWorld();
    const { text: old } = await world.token("acme");
    const { authenticator } = world.isolate();
    await authenticator.caller(bearer(old), "ingest");
    const { text } = await world.token("acme");
    const { text: other } = await world.token("other");
    world.nowMs += 2_000;
    expect(await authenticator.caller(bearer(text), "ingest")).toMatchObject({ tenants: ["acme"] });
    expect(await authenticator.caller(bearer(other), "ingest")).toMatchObject({ tenants: ["other"] });
  });
});
