// What an isolate counts goes along with calls that are made anyway, each count once.
import { describe, expect, test } from "vitest";
import type { UsageDelta } from "../../../src/store/rpc.ts";
import { MemoryStore } from "../../../src/store/memory-store.ts";
import { countedStore } from "../../../src/usage/counted-store.ts";
import { UsageLedger } from "../../../src/usage/ledger.ts";
import { dayOf, decodeUsage } from "../../../src/usage/usage-days.ts";

const NOW = Date.UTC(2026, 10, 30, 23, 59);
const DAY = dayOf(NOW);

function setUp() {
  const clock = { ms: NOW, now: () => clock.ms };
  const ledger = new UsageLedger(clock, "i");
  const taken: (readonly UsageDelta[])[] = [];
  const call = (shard = "t/0", fails = false) => {
    clock.ms += 1_000;
    return carry(shard, fails);
  };
  const carry = (shard = "t/0", fails = false) =>
    ledger
      .carry("t", shard, async (usage) => {
        taken.push(usage);
        if (fails) throw new Error("lost");
      })
      .catch(() => undefined);
  return { clock, ledger, taken, call, carry };
}

const requests = (deltas: readonly UsageDelta[] = []) =>
  deltas.map(({ id, usage }) => {
    const days = decodeUsage(usage);
    return `${id}: ${days.days.map((day) => `${day - DAY}/${days.on(day).get("workerRequests")}`).join(" ")}`;
  });

describe("ledger", () => {
  test("a call takes all that was counted, by day; the next one only what came since", async () => {
    const { clock, ledger, taken, call } = setUp();
    ledger.meter("t").add("workerRequests", 2);
    ledger.meter("other").add("workerRequests", 9);
    clock.ms += 120_000;
    ledger.meter("t").add("workerRequests", 3);
    await call();
    await call();
    ledger.meter("t").add("workerRequests", 4);
    await call();
    expect(taken.map((deltas) => requests(deltas))).toEqual([["i-1: 0/2 1/3"], [], ["i-2: 1/4"]]);
  });

  test("where calls are many, one a second takes what there is; who wants all gets it", async () => {
    const { clock, ledger, taken, carry } = setUp();
    clock.ms -= 60_000;
    const count = () => ledger.meter("t").add("workerRequests", 1);
    count();
    await carry();
    for (let i = 0; i < 5; i++) {
      count();
      clock.ms += 199;
      await carry();
    }
    clock.ms += 5;
    await carry();
    count();
    await carry();
    await ledger.carryAll("t", "t/1", async (usage) => void taken.push(usage));
    // A clock that goes back stops nothing.
    count();
    clock.ms -= 30_000;
    await carry();
    expect(taken.map((deltas) => requests(deltas))).toEqual([
      ["i-1: 0/1"],
      [],
      [],
      [],
      [],
      [],
      ["i-2: 0/5"],
      [],
      ["i-3: 0/1"],
      ["i-4: 0/1"],
    ]);
  });

  test("what a failed call took goes again, as it was, to the same shard and to no other", async () => {
    const { ledger, taken, call } = setUp();
    ledger.meter("t").add("workerRequests", 1);
    await call("t/0", true);
    ledger.meter("t").add("workerRequests", 2);
    await call("t/1");
    ledger.meter("t").add("workerRequests", 3);
    await call("t/0", true);
    await call("t/0");
    await call("t/0");
    expect(taken.map((deltas) => requests(deltas))).toEqual([
      ["i-1: 0/1"],
      ["i-2: 0/2"],
      ["i-1: 0/1", "i-3: 0/3"],
      ["i-1: 0/1", "i-3: 0/3"],
      [],
    ]);
  });

  test("of failed calls eight deltas are kept, and one more is not", async () => {
    const { ledger, taken, call } = setUp();
    for (let i = 0; i < 9; i++) {
      ledger.meter("t").add("workerRequests", 1);
      await call("t/0", true);
    }
    await call();
    expect(taken.at(-1)?.map(({ id }) => id)).toEqual([2, 3, 4, 5, 6, 7, 8, 9].map((n) => `i-${n}`));
  });

  test("a thousand tenants are counted; of one more the one silent longest is given up", async () => {
    const { ledger } = setUp();
    for (let i = 0; i <= 1000; i++) {
      ledger.meter(`t${i}`).add("workerRequests", 1);
      ledger.meter("t0").add("workerRequests", 1);
    }
    const has = async (tenant: string) => {
      let count = 0;
      await ledger.carry(tenant, `${tenant}/0`, async (usage) => void (count = usage.length));
      return count === 1;
    };
    expect(await has("t1")).toBe(false);
    expect(await has("t2")).toBe(true);
    expect(await has("t0")).toBe(true);
    expect(await has("t1000")).toBe(true);
  });
});

describe("counted store", () => {
  test("each operation by its class, failed ones too; deletes and aborts are free", async () => {
    const operations: string[] = [];
    const memory = new MemoryStore();
    const store = countedStore(memory, (operation, key) => void operations.push(`${operation} ${key}`));
    const seen = () => operations.splice(0);
    const { etag } = await store.put("a", new Uint8Array(10));
    expect(seen()).toEqual(["r2ClassA a"]);
    await store.putIf("a", new Uint8Array(1), { absent: true });
    expect(seen()).toEqual(["r2ClassA a"]);
    await (await store.getRange("a", { offset: 0, length: 10 }, etag)).cancel();
    await expect(store.getRange("b", { offset: 0, length: 1 }, etag)).rejects.toThrow("no object");
    expect(seen()).toEqual(["r2ClassB a", "r2ClassB b"]);
    const upload = await store.startUpload("c");
    await upload.addPart(new Uint8Array(5 * 1024 * 1024));
    await upload.addPart(new Uint8Array(1));
    await upload.complete();
    await upload.abort();
    expect(seen()).toEqual(Array.from({ length: 4 }, () => "r2ClassA c"));
    for (let i = 0; i < 1000; i++) await memory.put(`l/${i}`, new Uint8Array(1));
    const list = async () => {
      let count = 0;
      for await (const _ of store.list("l/")) count++;
      return count;
    };
    expect(await list()).toBe(1000);
    expect(seen()).toEqual(["r2ClassA l/"]);
    await memory.put("l/1000", new Uint8Array(1));
    expect(await list()).toBe(1001);
    expect(seen()).toEqual(["r2ClassA l/", "r2ClassA l/"]);
    await store.delete(["a", "c"]);
    expect(seen()).toEqual([]);
  });
});
