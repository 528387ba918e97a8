import { expect, test } from "vitest";
import { QuerySlots } from "../../../src/query/query-slots.ts";

function gate() {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  return { promise, resolve, reject };
}

const subject = (tenant: string, maxQueries = 2) => ({ tenant, maxQueries });

test("as many as may run at once do; one more is told that the queue is full, until one ends", async () => {
  const slots = new QuerySlots();
  const gates = [gate(), gate()];
  const running = gates.map(({ promise }) => slots.run([subject("a")], () => promise));
  await expect(slots.run([subject("a")], async () => "never")).rejects.toMatchObject({
    kind: "rate_limited",
    retryAfterMs: 1_000,
    message: "job queue full: 2 queries of user a run at once, the most there may be",
  });
  expect(await slots.run([subject("b")], async () => "another's")).toBe("another's");
  gates[0]!.resolve("done");
  expect(await running[0]).toBe("done");
  expect(await slots.run([subject("a")], async () => "next")).toBe("next");
  gates[1]!.resolve("done");
  await running[1];
});

test("a query over several tenants counts for each, and one that fails gives its place back", async () => {
  const slots = new QuerySlots();
  const { promise, reject } = gate();
  const both = slots.run([subject("a", 1), subject("b", 1)], () => promise);
  for (const tenant of ["a", "b"]) {
    await expect(slots.run([subject(tenant, 1)], async () => "")).rejects.toThrow("job queue full");
  }
  // It does not take a place of the one tenant when the other has none.
  await expect(slots.run([subject("c", 1), subject("a", 1)], async () => "")).rejects.toThrow("user a");
  expect(await slots.run([subject("c", 1)], async () => "free")).toBe("free");
  reject(new Error("lost"));
  await expect(both).rejects.toThrow("lost");
  expect(await slots.run([subject("a", 1), subject("b", 1)], async () => "free")).toBe("free");
});
