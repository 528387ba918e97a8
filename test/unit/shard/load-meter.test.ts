import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";
import { LoadMeter } from "../../../src/shard/load-meter.ts";

const MINUTE = 60_000;
const START = Date.UTC(2026, 10, 23);
const LIMITS = { ...DEFAULT_LIMITS.growth, appendsPerSecond: 10, rawBytesPerSecond: 1_000 };

/** A meter after minutes of so many appends of so many bytes each, and the time at their end. */
function after(minutes: readonly (readonly [appends: number, bytes: number])[]) {
  const meter = new LoadMeter(LIMITS);
  minutes.forEach(([appends, bytes], i) => {
    for (let n = 0; n < appends; n++) meter.note(START + i * MINUTE + (n * MINUTE) / appends, bytes);
  });
  return { meter, end: START + minutes.length * MINUTE };
}

describe("LoadMeter", () => {
  test("five minutes over the appends a second are an overload; four, or one at the limit, are none", () => {
    const busy = [601, 1] as const;
    const { meter, end } = after([busy, busy, busy, busy, busy]);
    expect(meter.overload(end)).toEqual({ appendsPerSecond: 601 / 60, rawBytesPerSecond: 601 / 60 });
    expect(meter.overload(end - 1)).toBeUndefined();
    const once = after([busy, busy, [600, 1], busy, busy]);
    expect(once.meter.overload(once.end)).toBeUndefined();
  });

  test("bytes count as well, but no mixture of both", () => {
    const large = [1, 60_001] as const;
    const { meter, end } = after([large, large, large, large, large]);
    expect(meter.overload(end)).toMatchObject({ rawBytesPerSecond: 60_001 / 60 });
    const mixed = after([large, [601, 1], large, [601, 1], large]);
    expect(mixed.meter.overload(mixed.end)).toBeUndefined();
  });

  test("a burst long enough ago is forgotten, a pause begins anew", () => {
    const busy = [601, 1] as const;
    const { meter, end } = after([busy, busy, busy, busy, busy]);
    expect(meter.overload(end + MINUTE - 1)).toBeDefined();
    expect(meter.overload(end + MINUTE)).toBeUndefined();
  });

  test("reset takes as long again; a clock that goes back forgets", () => {
    const busy = [601, 1] as const;
    const { meter, end } = after([busy, busy, busy, busy, busy]);
    meter.reset();
    expect(meter.overload(end)).toBeUndefined();
    const back = after([busy, busy, busy, busy, busy]);
    back.meter.note(START, 1);
    expect(back.meter.overload(back.end)).toBeUndefined();
  });
});
