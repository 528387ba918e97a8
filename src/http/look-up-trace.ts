// Looking a trace up for a request.
import { findTrace, type FoundTrace, type TraceQuery } from "../query/find-trace.ts";
import { scanCpuUs } from "../usage/cpu-model.ts";
import { traceHash } from "../util/hash.ts";
import { logFailure } from "./answers/answer.ts";
import type { AppDeps } from "./deps.ts";

/**
 * What the tenants have of the trace, up to so many bytes or the limit of all traces. What failed is logged.
 * @throws as `findTrace` and `ShardDirectory`
 */
export async function lookUpTrace(
  { ledger, limits, objects, shards: directory }: AppDeps,
  query: TraceQuery & { readonly tenants: readonly string[] },
  { signal, maxBytes }: { readonly signal: AbortSignal; readonly maxBytes: number },
): Promise<FoundTrace> {
  const hash = traceHash(query.traceId);
  const shards = (
    await Promise.all(query.tenants.map((tenant) => directory.forReading(tenant, hash)))
  ).flat();
  const maxTraceBytes = Math.min(limits.maxTraceBytes, maxBytes);
  const found = await findTrace({ limits: { ...limits, maxTraceBytes }, objects, shards }, query, signal);
  const meter = ledger?.meter(query.tenants[0] ?? "");
  meter?.add("workerCpuUs", scanCpuUs(found.inspectedBytes));
  meter?.add("inspectedBytes", found.inspectedBytes);
  for (const failure of found.failures) logFailure("part of a trace could not be read", failure);
  return found;
}
