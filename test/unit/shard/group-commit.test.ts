import { describe, expect, test } from "vitest";
import { GroupCommit } from "../../../src/shard/group-commit.ts";

function makeGate() {
  const waiting: (() => void)[] = [];
  return {
    wait: () => new Promise<void>((resolve) => void waiting.push(resolve)),
    async open() {
      waiting.splice(0).forEach((resolve) => resolve());
      for (let i = 0; i < 20; i++) await Promise.resolve();
    },
  };
}

describe("group commit", () => {
  test("what arrives during a commit shares the next one, in order", async () => {
    const gate = makeGate();
    const groups: string[][] = [];
    const commits = new GroupCommit<string, string>({
      maxGroupBytes: 1000,
      gather: () => Promise.resolve(),
      commit: async (items) => {
        groups.push([...items]);
        await gate.wait();
        return items.map((item) => `${item} is kept`);
      },
    });
    const first = commits.submit("a", 1);
    for (let i = 0; i < 5; i++) await Promise.resolve();
    const rest = ["b", "c", "d"].map((item) => commits.submit(item, 1));
    expect(commits.queuedBytes).toBe(4);
    await gate.open();
    expect(await first).toBe("a is kept");
    await gate.open();
    expect(await Promise.all(rest)).toEqual(["b is kept", "c is kept", "d is kept"]);
    expect(groups).toEqual([["a"], ["b", "c", "d"]]);
    expect(commits.queuedBytes).toBe(0);
  });

  test("a group is cut at its bytes; a larger item goes alone", async () => {
    const groups: number[][] = [];
    const commits = new GroupCommit<number, string>({
      maxGroupBytes: 10,
      gather: () => Promise.resolve(),
      commit: async (items) => {
        groups.push([...items]);
        return items.map(() => "kept");
      },
    });
    await Promise.all([5, 5, 1, 40, 3].map((bytes) => commits.submit(bytes, bytes)));
    expect(groups).toEqual([[5, 5], [1], [40], [3]]);
  });

  test("nothing is acknowledged before its commit ends, and a failed commit fails its group only", async () => {
    const gate = makeGate();
    let fail = true;
    let acknowledged = 0;
    const commits = new GroupCommit<string, string>({
      maxGroupBytes: 1,
      gather: () => Promise.resolve(),
      commit: async (items) => {
        await gate.wait();
        if (fail) throw new Error("disk full");
        return items;
      },
    });
    const lost = commits.submit("lost", 1).then(() => acknowledged++);
    const kept = commits.submit("kept", 1).then(() => acknowledged++);
    for (let i = 0; i < 20; i++) await Promise.resolve();
    expect(acknowledged).toBe(0);
    const failed = lost.catch((error: unknown) => String(error));
    await gate.open();
    expect(await failed).toBe("Error: disk full");
    fail = false;
    await gate.open();
    await kept;
    expect(acknowledged).toBe(1);
    expect(commits.queuedBytes).toBe(0);
  });
});
