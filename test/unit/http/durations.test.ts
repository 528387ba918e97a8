// Durations in parameters and answers.
import { describe, expect, test } from "vitest";
import {
  formatGoDuration,
  parseGoDuration,
  parsePrometheusDuration,
} from "../../../src/http/params/durations.ts";

describe("durations", () => {
  test.each<[string, bigint | undefined]>([
    ["0", 0n],
    ["1ns", 1n],
    ["1.5us", 1_500n],
    ["2µs", 2_000n],
    [".5ms", 500_000n],
    ["1.s", 1_000_000_000n],
    ["1h30m", 5_400_000_000_000n],
    ["30m1h", 5_400_000_000_000n],
    ["-2ms", -2_000_000n],
    ["+2ms", 2_000_000n],
    ["", undefined],
    ["5", undefined],
    ["s", undefined],
    ["1d", undefined],
    ["1s ", undefined],
    ["1e3s", undefined],
    ["9".repeat(30) + "h", undefined],
    ["1s".repeat(40), undefined],
  ])("Go's %j", (text, expected) => {
    expect(parseGoDuration(text)).toBe(expected);
  });

  test.each<[string, bigint | undefined]>([
    ["0", 0n],
    ["15m", 900_000_000_000n],
    ["1d", 86_400_000_000_000n],
    ["1w2d3h4m5s6ms", 788_645_006_000_000n],
    ["1y", 31_536_000_000_000_000n],
    ["1.5d", undefined],
    ["1m1h", undefined],
    ["1us", undefined],
    ["-1m", undefined],
    ["", undefined],
    ["999y", undefined],
  ])("Prometheus' %j", (text, expected) => {
    expect(parsePrometheusDuration(text)).toBe(expected);
  });

  test.each<[bigint, string]>([
    [0n, "0s"],
    [1n, "1ns"],
    [1_500n, "1.5µs"],
    [42_000_000n, "42ms"],
    [1_042_900_000n, "1.0429s"],
    [60_000_000_000n, "1m0s"],
    [90_500_000_000n, "1m30.5s"],
    [604_800_000_000_000n, "168h0m0s"],
    [-1_500_000n, "-1.5ms"],
  ])("%d ns is %s", (ns, expected) => {
    expect(formatGoDuration(ns)).toBe(expected);
    expect(parseGoDuration(expected)).toBe(ns);
  });
});
