// What the routes for search, tags and metrics share.
import type { ScanDeps } from "../query/query-scan.ts";
import { ScanCache } from "../scan/scan-cache.ts";
import { countedScanners } from "../usage/counted-scanner.ts";
import { scanCpuUs } from "../usage/cpu-model.ts";
import type { AppDeps } from "./deps.ts";

/**
 * What a query over many spans of some tenants is given.
 * @throws AppError `unavailable`, `not_found` as `ShardDirectory`
 */
export type ScanPorts = (tenants: readonly string[]) => Promise<ScanDeps>;

/** With a cache that lives as long as the app does. */
export function scanPorts({ ledger, limits, objects, shards, clock, scannerOf }: AppDeps): ScanPorts {
  const cache = new ScanCache(limits.scan);
  const scanners =
    ledger === undefined || scannerOf === undefined
      ? scannerOf
      : countedScanners({ scannerOf, meterOf: (tenant) => ledger.meter(tenant), clock });
  return async (tenants) => ({
    limits,
    objects,
    shards: (await Promise.all(tenants.map((tenant) => shards.forScanning(tenant)))).flat(),
    cache,
    // As its request, a query over several tenants is the first one's.
    noteInspected: ({ all, here }) => {
      const meter = ledger?.meter(tenants[0] ?? "");
      meter?.add("workerCpuUs", scanCpuUs(here));
      meter?.add("inspectedBytes", all);
    },
    scannerOf: scanners,
  });
}
