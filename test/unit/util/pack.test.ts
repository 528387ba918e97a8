// Plain values through bytes and back.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isAppError } from "../../../src/util/errors.ts";
import { pack, unpack } from "../../../src/util/pack.ts";

const through = (value: unknown): unknown => unpack(pack(value, Infinity));

function faultOf(work: () => unknown): unknown {
  try {
    work();
    return undefined;
  } catch (error) {
    return isAppError(error) ? error.kind : error;
  }
}

const arbPlain = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom(undefined, null, true, false, -0, Number.NaN, Infinity, 2 ** 31, -(2 ** 30)),
    fc.double(),
    fc.integer(),
    fc.bigInt(),
    fc.string({ unit: "grapheme" }),
    fc.string({ minLength: 65, maxLength: 90 }),
    fc.uint8Array(),
    fc.uint32Array(),
    fc.float64Array(),
    fc.array(tie("value"), { maxLength: 5 }),
    fc.dictionary(fc.string({ maxLength: 3 }), tie("value"), { maxKeys: 4, noNullPrototype: true }),
    fc
      .array(fc.tuple(fc.string({ maxLength: 3 }), tie("value")), { maxLength: 4 })
      .map((all) => new Map(all)),
  ),
})).value;

describe("pack", () => {
  test("what comes out is what went in", () => {
    fc.assert(
      fc.property(arbPlain, (value) => {
        expect(through(value)).toStrictEqual(value);
      }),
    );
  });

  test("objects of one shape say their keys once, and a view only its own bytes", () => {
    const many = Array.from({ length: 1000 }, (_, i) => ({ traceIdentifier: i, startNanoseconds: 5 }));
    expect(pack(many, Infinity).length).toBeLessThan(8 * many.length);
    const view = new Uint8Array(1_000_000).subarray(7, 17);
    expect(pack(view, Infinity).length).toBeLessThan(20);
  });

  test("at the bound it is packed, one byte below it is too large", () => {
    const value = { texts: ["a", "b"], numbers: Uint32Array.of(1, 2, 3) };
    const { length } = pack(value, Infinity);
    expect(unpack(pack(value, length))).toEqual(value);
    expect(() => pack(value, length - 1)).toThrow("more than");
  });

  test("no plain value is refused", () => {
    expect(() => pack(new Date(0), Infinity)).toThrow("no plain value");
    expect(() => pack(() => 1, Infinity)).toThrow("no plain value");
  });

  test("bytes that are cut or changed are corrupt, or some other value, and nothing else", () => {
    fc.assert(
      fc.property(arbPlain, fc.nat(), fc.nat(255), (value, at, byte) => {
        const bytes = pack(value, Infinity);
        for (const bad of [bytes.slice(0, at % bytes.length), bytes.with(at % bytes.length, byte)]) {
          expect(faultOf(() => unpack(bad))).toBeOneOf(["corrupt", undefined]);
        }
      }),
    );
  });
});
