// What the times of spans say of their senders' clocks.
import type { BatchSums } from "../store/insight-rpc.ts";

/** Clocks that are kept by NTP are closer than this. */
const AHEAD_MS = 2_000;
/** SDKs send within 5 s, collectors within 10 s or so: if no batch was fresher than this, it is the clock or a queue. */
const BEHIND_MS = 300_000;

export interface ClockAdvice {
  /** Milliseconds from a batch's newest span end to its arrival; negative: it ended in the future. */
  readonly leastDelayMs: number;
  readonly mostDelayMs: number;
  readonly advice: string;
}

export function clockAdvice({ minDelayMs, maxDelayMs }: BatchSums): ClockAdvice {
  const seconds = Math.round(Math.abs(minDelayMs) / 1000);
  let advice = "clocks agree";
  if (minDelayMs < -AHEAD_MS) {
    advice = `some sender's clock is ${seconds} s ahead or more: let it be set by NTP, or its spans are found in the wrong place`;
  } else if (minDelayMs > BEHIND_MS) {
    advice = `no span arrived sooner than ${seconds} s after its end: a clock is behind, or a queue on the way is long`;
  }
  return { leastDelayMs: minDelayMs, mostDelayMs: maxDelayMs, advice };
}
