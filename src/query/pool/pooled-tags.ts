// Tags whose blocks are in several isolates.
import type { DistinctLimits } from "../tags/distinct.ts";
import { addNames, addValues, type NamesPart, type ValuesPart } from "../tags/tag-parts.ts";
import type { ScanGroup } from "./scan-group.ts";

export async function pooledTagNames(group: ScanGroup, limits: DistinctLimits): Promise<NamesPart> {
  const parts = await group.askAll("tagNames", undefined);
  return addNames(
    parts.map(({ value }) => value),
    limits,
  );
}

export async function pooledTagValues(group: ScanGroup, limits: DistinctLimits): Promise<ValuesPart> {
  const parts = await group.askAll("tagValues", undefined);
  return addValues(
    parts.map(({ value }) => value),
    limits,
  );
}
