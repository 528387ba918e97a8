// Objects that left the catalogue are deleted when nobody can be reading them any more.
import type { ObjectStore } from "../store/object-store.ts";
import type { Catalogue } from "./catalogue.ts";
import type { Epochs } from "./epochs.ts";
import type { ShardStorage } from "./storage.ts";

/** Objects of one request to the store, which takes no more. */
const BATCH_OBJECTS = 1000;

export interface RetiredContext {
  readonly storage: ShardStorage;
  readonly catalogue: Catalogue;
  readonly epochs: Epochs;
  readonly objects: ObjectStore;
}

/**
 * Deletes what is due at `nowMs`. Doing so again is harmless: no key comes into use a second time.
 * @returns how many
 * @throws AppError `unavailable`: the rest stays due
 */
export async function deleteRetired(context: RetiredContext, nowMs: number): Promise<number> {
  const { storage, catalogue, epochs, objects } = context;
  let deleted = 0;
  for (;;) {
    const due = storage.retiredBefore(nowMs, BATCH_OBJECTS);
    if (due.length === 0) return deleted;
    // Never an object in use, whatever led to its key being here.
    const unused = due.filter(({ id }) => !catalogue.has(id) && !epochs.has(id));
    if (unused.length > 0) await objects.delete(unused.map(({ key }) => key));
    deleted += unused.length;
    catalogue.change({ forget: due.map(({ id }) => id) });
  }
}
