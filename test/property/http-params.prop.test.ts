// Parameters of the query API, whatever is sent: read, or refused as the sender's fault.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatGoDuration, parseGoDuration } from "../../src/http/params/durations.ts";
import { parseLogfmt } from "../../src/http/params/logfmt.ts";
import { readInstantParams, readRangeParams } from "../../src/http/params/metrics-params.ts";
import { formatCursor, readSearchParams } from "../../src/http/params/search-params.ts";
import {
  readTagField,
  readTagFieldV1,
  readTagNamesParams,
  tagNameInPath,
} from "../../src/http/params/tag-params.ts";
import { readTraceDiff } from "../../src/http/params/trace-diff-params.ts";
import { readTraceFilter } from "../../src/http/params/trace-filter.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { isAppError } from "../../src/util/errors.ts";

const NOW_MS = 1_795_392_000_000;

const NAMES = [
  ..."q query tags minDuration maxDuration limit spss start end since cursor step exemplars maxSeries scope".split(
    " ",
  ),
  ..."keep_hierarchy match_depth ancestor_depth mode other".split(" "),
];
const WORDS = [
  "{}",
  "{} | rate()",
  "{ .a = 1 } | count_over_time() by (name)",
  "0",
  "-1",
  "1",
  "100",
  "262145",
  "4294967295",
  "1795392000",
  "1795392000000000000",
  "2026-11-23T00:00:00Z",
  "9999-99-99T99:99:99Z",
  "1.5",
  "1e400",
  "15s",
  "1h30m",
  "3d",
  "a=b",
  'a="b c',
  "true",
  "resource",
  "17-2f7e42c49fb7b54526f062afab690d75",
  "NaN",
];

const arbParams = fc
  .array(fc.tuple(fc.constantFrom(...NAMES), fc.oneof(fc.constantFrom(...WORDS), fc.string())), {
    maxLength: 8,
  })
  .map((pairs) => new URLSearchParams(pairs));

/** What `read` throws, when that is not the sender's fault. */
function faultOf(read: () => unknown): unknown {
  try {
    read();
    return undefined;
  } catch (error) {
    return isAppError(error) && error.kind === "invalid_argument" ? undefined : error;
  }
}

describe("parameters", () => {
  test("any parameters are read or refused", () => {
    fc.assert(
      fc.property(arbParams, (params) => {
        for (const read of [readSearchParams, readRangeParams, readInstantParams, readTagNamesParams]) {
          expect(faultOf(() => read(params, NOW_MS, DEFAULT_LIMITS))).toBe(undefined);
        }
        expect(faultOf(() => readTraceFilter(params))).toBe(undefined);
      }),
      { numRuns: 2000 },
    );
  });

  test("what is read is within bounds", () => {
    fc.assert(
      fc.property(arbParams, (params) => {
        let read: ReturnType<typeof readRangeParams>;
        try {
          read = readRangeParams(params, NOW_MS, DEFAULT_LIMITS);
        } catch {
          return;
        }
        const { intervals, maxSeries, exemplars } = read;
        expect(intervals.count).toBeGreaterThan(0);
        expect(intervals.count).toBeLessThanOrEqual(10_003);
        expect(intervals.stepNs > 0n).toBe(true);
        expect(maxSeries).toBeGreaterThan(0);
        expect(maxSeries * intervals.count).toBeLessThanOrEqual(Math.max(300_000, intervals.count));
        expect(exemplars).toBeLessThanOrEqual(100);
      }),
      { numRuns: 2000 },
    );
  });

  test("any name of a tag is a field or refused", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((text) => `span.${text}`),
        ),
        (name) => {
          expect(faultOf(() => readTagField(name))).toBe(undefined);
          expect(faultOf(() => readTagFieldV1(name))).toBe(undefined);
          expect(faultOf(() => tagNameInPath(`/p/${name}/values`, "/p/"))).toBe(undefined);
        },
      ),
    );
  });

  test("an encoded name comes out of its path as it went in", () => {
    const name = fc.string({ unit: "grapheme", minLength: 1 });
    fc.assert(
      fc.property(name, (text) => {
        expect(tagNameInPath(`/p/${encodeURIComponent(text)}/values`, "/p/")).toBe(text);
      }),
    );
  });

  test("tags come out as they went in", () => {
    const key = fc.string({ minLength: 1 }).filter((text) => !/[\s="]/.test(text));
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(key, fc.string()), { selector: ([name]) => name }), (pairs) => {
        const text = pairs
          .map(([name, value]) => `${name}="${value.replace(/["\\]/g, String.raw`\$&`)}"`)
          .join(" ");
        expect([...parseLogfmt(text)]).toEqual(pairs);
      }),
    );
  });

  test("any tags are read or refused", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("a", "=", '"', "\\", " ", "u0041") }), (text) => {
        expect(faultOf(() => parseLogfmt(text))).toBe(undefined);
      }),
    );
  });

  test("any body of a comparison is read or refused", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(faultOf(() => readTraceDiff(text))).toBe(undefined);
      }),
    );
  });

  test("durations and cursors read as they are written", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }), (ns) => {
        expect(parseGoDuration(formatGoDuration(ns))).toBe(ns);
      }),
    );
    const id = fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map((n) => n.toString(16).padStart(32, "0"));
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), id, (startNs, traceId) => {
        const cursor = { startNs, traceId };
        const params = new URLSearchParams({ cursor: formatCursor(cursor) });
        expect(readSearchParams(params, NOW_MS, DEFAULT_LIMITS).cursor).toEqual(cursor);
      }),
    );
  });
});
