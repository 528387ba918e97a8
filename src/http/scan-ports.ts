// What the routes for search, tags and metrics share.
import { SINGLE_TENANT } from "../model/ids.ts";
import type { ScanDeps } from "../query/query-scan.ts";
import { ScanCache } from "../scan/scan-cache.ts";
import type { AppDeps } from "./deps.ts";

/** What a query over many spans is given. @throws AppError `unavailable`, `not_found` as `ShardDirectory` */
export type ScanPorts = () => Promise<ScanDeps>;

/** With a cache that lives as long as the app does. */
export function scanPorts({ limits, objects, shards }: AppDeps): ScanPorts {
  const cache = new ScanCache(limits.scan);
  return async () => ({
    limits,
    objects,
    shards: await shards.forScanning(SINGLE_TENANT),
    cache,
  });
}
