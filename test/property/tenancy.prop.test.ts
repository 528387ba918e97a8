// Whatever a request brings: what it is answered holds nothing of a tenant that its token may not read.
import fc from "fast-check";
import { beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { SCOPES } from "../../src/model/token.ts";
import { ADMIN_TOKEN } from "../support/access-world.ts";
import { pathOf } from "../support/query-app.ts";
import {
  ask,
  check,
  type Installation,
  installation,
  MARKS,
  RANGE,
  anyRequest,
  TENANTS,
} from "../support/tenancy-world.ts";

let world: Installation;

beforeAll(async () => {
  vi.spyOn(console, "log").mockReturnValue();
  world = await installation();
});

beforeEach(() => {
  vi.spyOn(console, "warn").mockReturnValue();
  vi.spyOn(console, "log").mockReturnValue();
});

describe("tenants", () => {
  test("no answer holds what is another's: names, values, ids, counts; a trace of another's is as one of nobody", async () => {
    const seen = { whole: 0, refused: 0, other: 0 };
    await fc.assert(
      fc.asyncProperty(anyRequest, async (asked) => void seen[await check(world, asked)]++),
      { numRuns: 1_500 },
    );
    // It is no proof when nobody is let in, or nobody kept out.
    expect(seen.whole).toBeGreaterThan(20);
    expect(seen.refused).toBeGreaterThan(100);
  });

  test("the operator reads whom he names, and nobody else", async () => {
    for (const [i, tenant] of TENANTS.entries()) {
      const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, "x-scope-orgid": tenant };
      const { status, body } = await ask(world, {
        path: pathOf("/api/v2/search/tag/name/values", RANGE),
        headers,
      });
      expect(status).toBe(200);
      for (const [j, mark] of MARKS.entries()) expect(body.includes(mark)).toBe(i === j);
    }
  });

  test("what was used, noted and set of a tenant is told to its own tokens, and is one tenant's", async () => {
    for (const [i, tenant] of TENANTS.entries()) {
      const own = world.made.find(({ home, request }) => home === tenant && request.scopes.length === 3);
      const headers = { "x-api-key": own?.text ?? "", "x-scope-orgid": tenant };
      for (const path of ["/api/usage", "/api/doctor", "/api/overrides"]) {
        const { status, body } = await ask(world, { path, headers });
        expect([path, status]).toEqual([path, 200]);
        expect(MARKS.filter((mark) => body.includes(mark))).toEqual([MARKS[i]]);
      }
      const scraped = await ask(world, { path: "/metrics", headers });
      expect(TENANTS.filter((name) => scraped.body.includes(`tenant="${name}"`))).toEqual([tenant]);
    }
  });

  test("scopes are those of the model", () => {
    expect(new Set(world.made.flatMap(({ request }) => request.scopes))).toEqual(new Set(SCOPES));
  });
});
