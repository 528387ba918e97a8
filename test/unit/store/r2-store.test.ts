// How R2's answers and errors are told apart. The same adapter meets the real simulator in test/integration.
import { expect, test } from "vitest";
import { R2Store } from "../../../src/store/r2-store.ts";

interface FakeBody {
  readonly stream: ReadableStream;
  cancelled: boolean;
}

function body(chunks: readonly Uint8Array[], failure?: Error): FakeBody {
  const fake: FakeBody = {
    cancelled: false,
    stream: new ReadableStream({
      type: "bytes",
      pull(controller): void {
        const chunk = chunks[at++];
        if (chunk !== undefined) return controller.enqueue(chunk.slice());
        if (failure !== undefined) throw failure;
        controller.close();
        controller.byobRequest?.respond(0);
      },
      cancel(): void {
        fake.cancelled = true;
      },
    }),
  };
  let at = 0;
  return fake;
}

function storeWith(bucket: Partial<Record<keyof R2Bucket, unknown>>): R2Store {
  return new R2Store(bucket as unknown as R2Bucket);
}

const range = { offset: 10, length: 6 };

async function read(store: R2Store): Promise<number> {
  let length = 0;
  for await (const chunk of await store.getRange("k", range, "e1")) length += chunk.length;
  return length;
}

test("R2Store: asks for exactly the range, on condition of the etag", async () => {
  const asked: unknown[] = [];
  const store = storeWith({
    async get(...args: unknown[]) {
      asked.push(args);
      return { size: 100, body: body([new Uint8Array(4), new Uint8Array(2)]).stream };
    },
  });
  expect(await read(store)).toBe(6);
  expect(asked).toEqual([["k", { range, onlyIf: { etagMatches: "e1" } }]]);
});

test("R2Store: null is not_found, an object without body was replaced, a range past the end is corrupt", async () => {
  await expect(read(storeWith({ get: async () => null }))).rejects.toMatchObject({ kind: "not_found" });
  await expect(read(storeWith({ get: async () => ({ size: 100 }) }))).rejects.toMatchObject({
    kind: "corrupt",
  });
  const rangeError = new Error("get: The requested range is not satisfiable (10039)");
  await expect(read(storeWith({ get: async () => Promise.reject(rangeError) }))).rejects.toMatchObject({
    kind: "corrupt",
    cause: rangeError,
  });
});

test("R2Store: an object that ends inside the range is corrupt and its body is let go", async () => {
  const short = body([new Uint8Array(5)]);
  await expect(
    read(storeWith({ get: async () => ({ size: 15, body: short.stream }) })),
  ).rejects.toMatchObject({ kind: "corrupt" });
  expect(short.cancelled).toBe(true);
});

test("R2Store: a body shorter or longer than the range is corrupt, never silently short", async () => {
  for (const length of [0, 5, 7]) {
    const chunks = length === 0 ? [] : [new Uint8Array(length)];
    const store = storeWith({ get: async () => ({ size: 100, body: body(chunks).stream }) });
    await expect(read(store)).rejects.toMatchObject({ kind: "corrupt" });
  }
});

test("R2Store: other failures are unavailable and keep their cause", async () => {
  const down = new Error("internal error; please try again (10001)");
  const broken = storeWith({
    get: async () => Promise.reject(down),
    put: async () => Promise.reject(down),
    delete: async () => Promise.reject(down),
    list: async () => Promise.reject(down),
  });
  const expected = { name: "AppError", kind: "unavailable", cause: down };
  await expect(read(broken)).rejects.toMatchObject(expected);
  await expect(broken.put("k", new Uint8Array(1))).rejects.toMatchObject(expected);
  await expect(broken.delete(["k"])).rejects.toMatchObject(expected);
  await expect(broken.list("k").next()).rejects.toMatchObject(expected);
});

test("R2Store: a body that breaks halfway is unavailable", async () => {
  const store = storeWith({
    get: async () => ({ size: 100, body: body([new Uint8Array(3)], new Error("connection lost")).stream }),
  });
  await expect(read(store)).rejects.toMatchObject({ kind: "unavailable" });
});

test("R2Store: giving up a range cancels R2's body", async () => {
  const fake = body([new Uint8Array(3), new Uint8Array(3)]);
  const store = storeWith({ get: async () => ({ size: 100, body: fake.stream }) });
  const reader = (await store.getRange("k", range, "e1")).getReader();
  await reader.read();
  await reader.cancel("enough");
  expect(fake.cancelled).toBe(true);
});

test("R2Store: deletes in calls of at most 1,000 keys", async () => {
  const calls: number[] = [];
  const store = storeWith({
    async delete(keys: string[]) {
      calls.push(keys.length);
    },
  });
  await store.delete(Array.from({ length: 2001 }, (_, i) => `k${i}`));
  await store.delete([]);
  expect(calls).toEqual([1000, 1000, 1]);
});

test("R2Store: list follows the cursor to the end", async () => {
  const asked: unknown[] = [];
  const store = storeWith({
    async list(options: { cursor?: string }) {
      asked.push(options);
      return options.cursor === undefined
        ? { objects: [{ key: "a", etag: "e-a", size: 7 }], truncated: true, cursor: "c1" }
        : { objects: [{ key: "b", etag: "e-b", size: 8 }], truncated: false };
    },
  });
  const keys: string[] = [];
  for await (const { key, etag, byteLength } of store.list("p/")) keys.push(`${key} ${etag} ${byteLength}`);
  expect(keys).toEqual(["a e-a 7", "b e-b 8"]);
  expect(asked).toEqual([{ prefix: "p/" }, { prefix: "p/", cursor: "c1" }]);
});
