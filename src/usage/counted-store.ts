// An object store whose operations are counted as they are billed. Deletes and aborts are free.
import type { ObjectStore, ObjectUpload } from "../store/object-store.ts";

export type BilledOperation = "r2ClassA" | "r2ClassB";

/** Objects of one page of a list. */
const PAGE_OBJECTS = 1_000;

/** @param count is called once for each operation, when it begins: one that fails counts too. `key` is what it is about */
export function countedStore(
  store: ObjectStore,
  count: (operation: BilledOperation, key: string) => void,
): ObjectStore {
  return {
    put(key, bytes) {
      count("r2ClassA", key);
      return store.put(key, bytes);
    },
    putIf(key, bytes, condition) {
      count("r2ClassA", key);
      return store.putIf(key, bytes, condition);
    },
    async startUpload(key) {
      count("r2ClassA", key);
      return countedUpload(await store.startUpload(key), () => count("r2ClassA", key));
    },
    getRange(key, range, etag) {
      count("r2ClassB", key);
      return store.getRange(key, range, etag);
    },
    delete: (keys) => store.delete(keys),
    async *list(prefix) {
      let objects = 0;
      count("r2ClassA", prefix);
      for await (const object of store.list(prefix)) {
        if (objects > 0 && objects % PAGE_OBJECTS === 0) count("r2ClassA", prefix);
        objects++;
        yield object;
      }
    },
  };
}

function countedUpload(upload: ObjectUpload, count: () => void): ObjectUpload {
  return {
    addPart(bytes) {
      count();
      return upload.addPart(bytes);
    },
    complete() {
      count();
      return upload.complete();
    },
    abort: () => upload.abort(),
  };
}
