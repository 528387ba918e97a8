// What the parameters of several endpoints have in common. An empty parameter counts as absent.
import { AppError } from "../../util/errors.ts";
import { formatGoDuration } from "./durations.ts";

/** The error for a request that is wrong in itself. */
export function badRequest(message: string): AppError {
  return new AppError("invalid_argument", message);
}

export function textParam(params: URLSearchParams, name: string): string | undefined {
  const text = params.get(name) ?? "";
  return text === "" ? undefined : text;
}

const UINT32_MAX = 0xffff_ffff;

/** Reads a whole number from 0 to 2^32 - 1. @returns undefined when it is none */
export function parseUint32(text: string): number | undefined {
  const value = /^\+?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  return value <= UINT32_MAX ? value : undefined;
}

/**
 * Unix seconds; undefined when absent or 0, which clients send for "not set".
 * @throws AppError `invalid_argument`
 */
export function secondsParam(params: URLSearchParams, name: string): number | undefined {
  const text = textParam(params, name);
  if (text === undefined) return undefined;
  const seconds = parseUint32(text);
  if (seconds === undefined) throw badRequest(`invalid ${name}: "${text}" is no time in Unix seconds`);
  return seconds === 0 ? undefined : seconds;
}

export const NS_PER_SECOND = 1_000_000_000n;
const NS_PER_MS = 1_000_000n;

export function nsOfMs(ms: number): bigint {
  return BigInt(ms) * NS_PER_MS;
}

/** The window of whole seconds: all of the last one as well, so that a span of this second is in "until now". */
export function secondsWindow(
  startSeconds: number,
  endSeconds: number,
): { readonly startNs: bigint; readonly endNs: bigint } {
  return {
    startNs: BigInt(startSeconds) * NS_PER_SECOND,
    endNs: (BigInt(endSeconds) + 1n) * NS_PER_SECOND - 1n,
  };
}

/** A maximum in milliseconds as error texts have it: `168h0m0s`. */
export function formatMs(ms: number): string {
  return formatGoDuration(nsOfMs(ms));
}
