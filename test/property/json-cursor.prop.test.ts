import { describe, expect, test } from "vitest";
import { ByteSource } from "../../src/util/byte-source.ts";
import { isAppError } from "../../src/util/errors.ts";
import { JsonCursor } from "../../src/util/json-cursor.ts";
import { makeRandom } from "../support/random.ts";

describe("JSON cursor", () => {
  test("takes and refuses what JSON.parse takes and refuses", () => {
    const random = makeRandom(11);
    const alphabet = '{}[]",:0123456789.eE+-truefalsn \\u/\n\t';
    for (let i = 0; i < 30_000; i++) {
      let text = i % 2 ? "" : JSON.stringify([{ a: [1, -2.5e3, "x\\n", null, true, {}], b: [] }]);
      const edits = i % 2 ? 1 + random.below(8) : 1 + random.below(3);
      for (let k = 0; k < edits; k++) {
        const at = random.below(text.length + 1);
        text =
          text.slice(0, at) + alphabet[random.below(alphabet.length)]! + text.slice(at + random.below(2));
      }
      let isJson = true;
      try {
        JSON.parse(text);
      } catch {
        isJson = false;
      }
      let taken = true;
      try {
        const cursor = new JsonCursor(new ByteSource(new TextEncoder().encode(text)));
        cursor.skip();
        cursor.finish();
      } catch (error) {
        if (!isAppError(error)) throw error;
        taken = false;
      }
      expect([text, taken]).toEqual([text, isJson]);
    }
  });

  test("numbers are what JSON.parse makes of them", () => {
    const random = makeRandom(12);
    const digits = (count: number): string =>
      Array.from({ length: count }, () => String(random.below(10))).join("");
    const texts = [
      "0",
      "-0",
      "9007199254740991",
      "9007199254740992",
      "9007199254740993",
      "999999999",
      "1000000000",
    ];
    for (let i = 0; i < 20_000; i++) {
      const whole = `${1 + random.below(9)}${digits(random.below(24))}`;
      const fraction = random.below(3) ? "" : `.${digits(1 + random.below(20))}`;
      const exponent = random.below(4) ? "" : `e${random.pick(["", "+", "-"])}${random.below(30)}`;
      texts.push(`${random.pick(["", "-"])}${whole}${fraction}${exponent}`);
    }
    for (const text of texts) {
      const cursor = new JsonCursor(new ByteSource(new TextEncoder().encode(text)));
      expect([text, cursor.number()]).toEqual([text, JSON.parse(text)]);
      cursor.finish();
    }
  });

  test("strings end where they end, wherever they lie", () => {
    const random = makeRandom(13);
    const alphabet = ["a", "~", "é", "€", "😀", "\u007f", "\u0080", " ", "!", "#", "[", "]"];
    for (let i = 0; i < 20_000; i++) {
      const text = Array.from({ length: random.below(14) }, () => random.pick(alphabet)).join("");
      const around = " ".repeat(random.below(5));
      const source = new ByteSource(new TextEncoder().encode(`${around}"${text}"${around}`));
      const cursor = new JsonCursor(source);
      cursor.skip();
      expect(source.text(cursor.start, cursor.end)).toBe(text);
      cursor.finish();
    }
  });

  test("what is passed over has 1000 levels at most", () => {
    const nested = (levels: number): JsonCursor =>
      new JsonCursor(
        new ByteSource(new TextEncoder().encode(`${'[{"a":'.repeat(levels / 2)}1${"}]".repeat(levels / 2)}`)),
      );
    const cursor = nested(1000);
    cursor.skip();
    cursor.finish();
    expect(() => nested(1002).skip()).toThrow("JSON nested deeper than 1000 levels at byte 3001");
  });
});
