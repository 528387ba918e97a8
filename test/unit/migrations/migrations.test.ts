import { readdirSync, readFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";

const list = readFileSync("migrations/index.ts", "utf8");
const classes = readdirSync("migrations", { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

describe.each(classes)("migrations of %s", (name) => {
  const folder = `migrations/${name}`;
  const files = readdirSync(folder).sort();

  test("numbers: without gaps from 1, and each is in the list that objects apply", () => {
    expect(files.map((file) => Number(file.slice(0, 4)))).toEqual(files.map((_, i) => i + 1));
    const imports = files.map((file, i) => {
      const [, binding = ""] = new RegExp(`import (\\w+) from "\\./${name}/${file}"`).exec(list) ?? [];
      return `{ id: ${i + 1}, sql: ${binding} }`;
    });
    expect(list.replaceAll(/\s+/g, " ")).toMatch(
      new RegExp(`= \\[ ?${imports.map((entry) => entry.replaceAll(/[{}]/g, "\\$&")).join(", ")},? ?\\]`),
    );
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
