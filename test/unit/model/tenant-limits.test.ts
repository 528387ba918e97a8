import { describe, expect, test } from "vitest";
import { readConfig } from "../../../src/model/config.ts";
import { DEFAULT_LIMITS, limitsOfTenant } from "../../../src/model/limits.ts";
import {
  BROWSER_KEY_LIMITS,
  DEFAULT_TENANT_LIMITS,
  MIN_ATTRIBUTE_BYTES,
  readNamedOverrides,
  resolveTenantLimits,
  TENANT_LIMIT_FIELDS,
  TENANT_LIMIT_SPECS,
  TOKEN_LIMIT_FIELDS,
  wrongOverride,
} from "../../../src/model/tenant-limits.ts";

describe("limits of a tenant", () => {
  test.each(TENANT_LIMIT_FIELDS)("%s: taken at its bounds, refused one past them, by name", (field) => {
    const { override, min, max } = TENANT_LIMIT_SPECS[field];
    for (const value of [min, max]) expect(wrongOverride({ [field]: value })).toBeUndefined();
    for (const value of [min - 1, max + 1, min + 0.5, Number.NaN, "5", null]) {
      expect(wrongOverride({ [field]: value })).toContain(`${override} must be a whole number`);
    }
  });

  test("every default is one that could be set, and no two have the same name", () => {
    expect(wrongOverride({ ...DEFAULT_TENANT_LIMITS })).toBeUndefined();
    expect(wrongOverride({ ...BROWSER_KEY_LIMITS }, TOKEN_LIMIT_FIELDS)).toBeUndefined();
    const names = TENANT_LIMIT_FIELDS.map((field) => TENANT_LIMIT_SPECS[field].override);
    expect(new Set(names).size).toBe(Object.keys(DEFAULT_TENANT_LIMITS).length);
    for (const name of names) expect(name).toMatch(/^(ingestion|global|read)\.[a-z_]+$/);
  });

  test("nothing that may be set cuts what the walker does not look at", () => {
    expect(TENANT_LIMIT_SPECS.maxAttributeKeyBytes.min).toBe(MIN_ATTRIBUTE_BYTES);
    expect(TENANT_LIMIT_SPECS.maxAttributeValueBytes.min).toBe(MIN_ATTRIBUTE_BYTES);
    expect(MIN_ATTRIBUTE_BYTES).toBeGreaterThanOrEqual(128);
  });

  test("overrides over the installation's defaults; of unknown ones nothing is taken", () => {
    const defaults = { ...DEFAULT_TENANT_LIMITS, rateBytes: 5, maxLiveTraces: 6 };
    const newer = { rateBytes: 7, maxFutureThing: 8 };
    expect(resolveTenantLimits(newer, defaults)).toEqual({ ...defaults, rateBytes: 7 });
    expect(resolveTenantLimits({ rateBytes: undefined } as never, defaults)).toEqual(defaults);
  });

  test("where the installation and the tenant bound the same, the smaller holds", () => {
    const { maxBodyBytes } = DEFAULT_LIMITS;
    expect(limitsOfTenant(DEFAULT_LIMITS, { maxBytesPerRequest: 1_024 }).maxBodyBytes).toBe(1_024);
    expect(limitsOfTenant({ ...DEFAULT_LIMITS, maxBodyBytes: 10 }, {}).maxBodyBytes).toBe(10);
    expect(limitsOfTenant(DEFAULT_LIMITS, undefined).maxBodyBytes).toBe(maxBodyBytes);
  });

  test("a token has rates alone", () => {
    expect(wrongOverride({ rateBytes: 1 }, TOKEN_LIMIT_FIELDS)).toBeUndefined();
    expect(wrongOverride({ maxLiveTraces: 1 }, TOKEN_LIMIT_FIELDS)).toBe('there is no limit "maxLiveTraces"');
  });

  test("by the names of overrides", () => {
    expect(
      readNamedOverrides({ "ingestion.rate_limit_bytes": 9, "read.max_search_duration": 60_000 }),
    ).toEqual({
      rateBytes: 9,
      maxSearchMs: 60_000,
    });
    expect(() => readNamedOverrides({ "ingestion.rate": 9 })).toThrow('there is no limit "ingestion.rate"');
    expect(() => readNamedOverrides({ "ingestion.rate_limit_bytes": 0 })).toThrow(
      "ingestion.rate_limit_bytes must be a whole number of bytes per second from 1 to 10000000000, not 0",
    );
  });

  test("the variable sets defaults, and says what is wrong with it", () => {
    const of = (text: string) => readConfig({ TENANT_LIMITS: text }).limits.tenant;
    expect(of("")).toEqual(DEFAULT_TENANT_LIMITS);
    expect(of('{"global.max_bytes_per_trace":5000000}')).toEqual({
      ...DEFAULT_TENANT_LIMITS,
      maxBytesPerTrace: 5_000_000,
    });
    for (const text of ["{", "5", "null", '{"a.b":1}', '{"global.max_bytes_per_trace":"5"}', "[1]"]) {
      expect(() => of(text)).toThrow(/^variable TENANT_LIMITS must be a JSON object of limits by name: /);
    }
  });
});
