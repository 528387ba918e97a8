// How many traces a shard's buffer may hold, and how much of one: judged by the heads of batches, just before their commit.
import type { Limits } from "../model/limits.ts";
import type { AppendResult } from "../store/rpc.ts";
import type { Epochs, ParsedFrame } from "./epochs.ts";

/** What the buffer holds. */
export type LiveTraces = Pick<
  Epochs,
  "rawBytes" | "spanCount" | "traceCount" | "isOpen" | "bytesOf" | "spansOf"
>;

interface Size {
  bytes: number;
  spans: number;
}

const OK: AppendResult = { ok: true };
const NOTHING: Readonly<Size> = { bytes: 0, spans: 0 };
/** A flush takes about as long. */
const RETRY_MS = 5_000;

/**
 * Which of the frames, that are to be committed together, keep to the limits; by frame. Those that do not leave the room to
 * the frames behind them.
 * @param limits those of the tenant as `limits.tenant`
 */
export function judgeTraces(
  frames: readonly ParsedFrame[],
  live: LiveTraces,
  tenant: string,
  limits: Limits,
): readonly AppendResult[] {
  if (fitInAnyCase(frames, live, limits)) return frames.map(() => OK);
  const group = new Group(live, tenant, limits);
  return frames.map((frame) => group.judge(frame));
}

/** Most of the time no trace can be too large, nor can there be too many: then none is looked at. */
function fitInAnyCase(frames: readonly ParsedFrame[], live: LiveTraces, limits: Limits): boolean {
  let bytes = live.rawBytes;
  let spans = live.spanCount;
  let traces = live.traceCount;
  let maxTraces = Infinity;
  for (const { parsed, shardCount } of frames) {
    bytes += parsed.rawLength;
    spans += parsed.spanCount;
    traces += parsed.traceHashes?.length ?? 0;
    maxTraces = Math.min(maxTraces, maxLiveTraces(limits, shardCount));
  }
  const { maxBytesPerTrace, maxSpansPerTrace } = limits.tenant;
  return bytes <= maxBytesPerTrace && spans <= maxSpansPerTrace && traces <= maxTraces;
}

function maxLiveTraces(limits: Limits, shardCount: number): number {
  return Math.min(limits.maxLiveTraces, Math.ceil(limits.tenant.maxLiveTraces / shardCount));
}

/** The buffer, and the frames of the group that were found to be good. */
class Group {
  readonly #live: LiveTraces;
  readonly #tenant: string;
  readonly #limits: Limits;
  readonly #added = new Map<number, Size>();
  #newTraces = 0;

  constructor(live: LiveTraces, tenant: string, limits: Limits) {
    this.#live = live;
    this.#tenant = tenant;
    this.#limits = limits;
  }

  judge(frame: ParsedFrame): AppendResult {
    const hashes = frame.parsed.traceHashes ?? new Uint32Array();
    const isNew = (hash: number): boolean => !this.#live.isOpen(hash) && !this.#added.has(hash);
    const newTraces = hashes.reduce((count, hash) => count + (isNew(hash) ? 1 : 0), 0);
    const refusal = this.#tooLarge(frame, hashes) ?? this.#tooMany(frame, newTraces);
    if (refusal !== undefined) return refusal;
    this.#newTraces += newTraces;
    hashes.forEach((hash, i) => {
      const { bytes, spans } = this.#added.get(hash) ?? NOTHING;
      const size = sizeIn(frame, i);
      this.#added.set(hash, { bytes: bytes + size.bytes, spans: spans + size.spans });
    });
    return OK;
  }

  #tooLarge(frame: ParsedFrame, hashes: Uint32Array): AppendResult | undefined {
    const { maxBytesPerTrace, maxSpansPerTrace } = this.#limits.tenant;
    const traceHashes = hashes.filter((hash, i) => {
      const size = sizeIn(frame, i);
      const added = this.#added.get(hash) ?? NOTHING;
      const bytes = size.bytes + added.bytes + this.#live.bytesOf(hash);
      return (
        bytes > maxBytesPerTrace || size.spans + added.spans + this.#live.spansOf(hash) > maxSpansPerTrace
      );
    });
    if (traceHashes.length === 0) return undefined;
    const message =
      `TRACE_TOO_LARGE: max size of trace (${maxBytesPerTrace} bytes or ${maxSpansPerTrace} spans within ` +
      `what waits to be written to blocks) exceeded for tenant ${this.#tenant}`;
    return { ok: false, kind: "trace_too_large", message, traceHashes };
  }

  #tooMany({ parsed, shardCount }: ParsedFrame, newTraces: number): AppendResult | undefined {
    const max = maxLiveTraces(this.#limits, shardCount);
    const traces = parsed.traceHashes?.length ?? 0;
    const actual = this.#live.traceCount + this.#newTraces;
    if (newTraces === 0 || actual + newTraces <= max) return undefined;
    if (traces > max) {
      const message = `the batch has ${traces} traces, more than the ${max} of a shard: send fewer at a time`;
      return { ok: false, kind: "too_large", message };
    }
    const counts = `local: ${max} global: ${this.#limits.tenant.maxLiveTraces} actual local: ${actual}`;
    const message =
      `LIVE_TRACES_EXCEEDED: max live traces exceeded for tenant ${this.#tenant}: ` +
      `per-user traces limit (${counts}) exceeded while adding ${newTraces} traces`;
    return { ok: false, kind: "rate_limited", message, retryAfterMs: RETRY_MS };
  }
}

/** Of the trace at `index` of the frame's hashes; nothing when the sender did not say. */
function sizeIn({ parsed: { traceHashes, traceSizes } }: ParsedFrame, index: number): Readonly<Size> {
  if (traceHashes === undefined || traceSizes === undefined) return NOTHING;
  return { bytes: traceSizes[index] ?? 0, spans: traceSizes[traceHashes.length + index] ?? 0 };
}
