import { readdirSync, readFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";

const folder = "migrations/trace-shard";
const files = readdirSync(folder).sort();

describe("migrations", () => {
  test("numbers: without gaps from 1, and each is in the list that objects apply", () => {
    expect(files.map((file) => Number(file.slice(0, 4)))).toEqual(files.map((_, i) => i + 1));
    const list = readFileSync("migrations/index.ts", "utf8");
    for (const file of files) expect(list).toContain(`./trace-shard/${file}`);
    expect(list.match(/\bid: \d+/g)).toEqual(files.map((_, i) => `id: ${i + 1}`));
  });

  test("each is safe to run twice and gives the same schema", () => {
    const db = new DatabaseSync(":memory:");
    const schema = () => db.prepare("SELECT name, sql FROM sqlite_master ORDER BY name").all();
    for (const file of files) db.exec(readFileSync(`${folder}/${file}`, "utf8"));
    const once = schema();
    expect(once.length).toBeGreaterThan(0);
    for (const file of files) db.exec(readFileSync(`${folder}/${file}`, "utf8"));
    expect(schema()).toEqual(once);
  });
});
