// The small encodings by themselves: what one writes the other reads, and nothing else.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteBuffer, wordAt } from "../../../src/block/byte-buffer.ts";
import { ByteDictionary, WordDictionary } from "../../../src/block/dictionary.ts";
import { readVarint } from "../../../src/block/field-cursor.ts";
import {
  appendCodes,
  appendLevels,
  codeWidth,
  decodeCodes,
  decodeLevels,
} from "../../../src/block/levels.ts";
import { decodePageBody, decodePageHeader, encodePage } from "../../../src/block/page.ts";
import { appendSuffix, readSuffix, SUFFIX_BYTES } from "../../../src/block/suffix.ts";
import { decodeStruct, encodeStruct, type ThriftValue } from "../../../src/block/thrift.ts";
import { appendText, validUtf8 } from "../../../src/block/utf8.ts";
import { clampSigned, subtract, toBigInt, type Words } from "../../../src/block/words.ts";
import { concatBytes } from "../../../src/util/bytes.ts";
import { crc32 } from "../../../src/util/codec.ts";
import { isRefused } from "../../support/block-model.ts";

const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

function words(value: bigint): Words {
  return { low: Number(value & 0xffff_ffffn), high: Number(value >> 32n) };
}

describe("levels", () => {
  test("which rows have a value comes back", () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 300 }), (rows) => {
        const bits = new Uint8Array(40);
        for (const [row, has] of rows.entries()) if (has) bits[row >> 3]! |= 1 << (row & 7);
        const valueCount = rows.filter(Boolean).length;
        const out = new ByteBuffer();
        appendLevels(out, { bits, rowCount: rows.length, valueCount });
        out.appendByte(77);
        const levels = decodeLevels(out.view(), rows.length);
        const { present } = levels;
        const read = rows.map(
          (_, row) => present === undefined || ((present[row >> 3] ?? 0) >> (row & 7)) % 2 === 1,
        );
        expect({ ...levels, read }).toMatchObject({ valueCount, end: out.length - 1, read: rows });
      }),
    );
  });
});

describe("codes", () => {
  test.for<[entries: number, width: number]>([
    [1, 1],
    [256, 1],
    [257, 2],
    [65_536, 2],
    [65_537, 3],
    [2 ** 24, 3],
  ])("of %i entries take %i bytes", ([entries, width]) => {
    expect(codeWidth(entries)).toBe(width);
    const codes = Uint32Array.of(0, entries - 1, entries >> 1);
    for (const offset of [0, 1]) {
      const out = new ByteBuffer();
      for (let i = 0; i < offset; i++) out.appendByte(0);
      appendCodes(out, codes, 3, codeWidth(entries));
      expect(out.length).toBe(offset + 2 + 8 * width);
      expect([...decodeCodes(out.view(), offset, 3, entries)]).toEqual([...codes]);
      expect(isRefused(() => decodeCodes(out.view(), offset, 3, entries - 1))).toBe(true);
      expect(isRefused(() => decodeCodes(out.view(), offset, 9, entries))).toBe(true);
    }
  });
});

describe("dictionaries", () => {
  test("bytes: equal ones share a code, in order of first use, also after a cut back", () => {
    const value = fc.uint8Array({ maxLength: 6, max: 3 });
    fc.assert(
      fc.property(fc.array(value), fc.array(value), (before, after) => {
        const dictionary = new ByteDictionary();
        const known: string[] = [];
        const intern = (bytes: Uint8Array): void => {
          const key = String(bytes);
          if (!known.includes(key)) known.push(key);
          expect(dictionary.intern(bytes, 0, bytes.length)).toBe(known.indexOf(key));
        };
        before.forEach(intern);
        known.length >>= 1;
        dictionary.truncate(known.length);
        after.forEach(intern);
        expect(Array.from({ length: dictionary.size }, (_, code) => String(dictionary.value(code)))).toEqual(
          known,
        );
      }),
    );
  });

  test("words: likewise", () => {
    const dictionary = new WordDictionary(64);
    const codes = [5, 6, 5, 0xffff_ffff, 6].map((low) => dictionary.intern(low, low === 6 ? 1 : 0));
    expect(codes).toEqual([0, 1, 0, 2, 1]);
    const out = new ByteBuffer();
    dictionary.writePlain(1, out);
    expect([...out.view()]).toEqual([6, 0, 0, 0, 1, 0, 0, 0]);
  });

  test("words: small ones and others share no code, also after a cut back", () => {
    const dictionary = new WordDictionary(64);
    const lows = [255, 256, 0, 0xffff_ff00, 255];
    expect(lows.map((low) => dictionary.intern(low, 0))).toEqual([0, 1, 2, 3, 0]);
    expect(dictionary.intern(255, 1)).toBe(4);
    dictionary.truncate(1);
    expect([0, 255, 256, 255].map((low) => dictionary.intern(low, 0))).toEqual([1, 0, 2, 0]);
  });
});

describe("text", () => {
  test("is valid UTF-8 as the platform's decoder makes it, with its length before it", () => {
    // Bytes that begin, go on with and end sequences of all lengths, and a few that never may.
    const byte = fc.constantFrom(
      0x41,
      0x7f,
      0x80,
      0x9f,
      0xa0,
      0xbf,
      0xc1,
      0xc2,
      0xe0,
      0xe2,
      0xed,
      0xf0,
      0xf4,
      0xff,
    );
    const bytes = fc.oneof(
      fc.array(byte, { maxLength: 90 }).map((all) => Uint8Array.from(all)),
      fc.string({ unit: "binary", maxLength: 90 }).map((all) => new TextEncoder().encode(all)),
    );
    fc.assert(
      fc.property(bytes, fc.nat(3), (value, before) => {
        const out = new ByteBuffer();
        appendText(out, concatBytes([new Uint8Array(before), value]), before, before + value.length);
        const valid = new TextEncoder().encode(
          new TextDecoder("utf-8", { fatal: false, ignoreBOM: true }).decode(value),
        );
        expect(wordAt(out.bytes, 0)).toBe(valid.length);
        expect([...out.view().subarray(4)]).toEqual([...valid]);
        expect([...validUtf8(value)]).toEqual([...valid]);
      }),
    );
  });
});

describe("thrift", () => {
  const leaf: fc.Arbitrary<ThriftValue> = fc.oneof(
    fc.boolean().map((value): ThriftValue => ({ type: "bool", value })),
    fc.integer({ min: -128, max: 127 }).map((value): ThriftValue => ({ type: "i8", value })),
    fc.integer().map((value): ThriftValue => ({ type: "i32", value })),
    fc
      .bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
      .map((value): ThriftValue => ({ type: "i64", value })),
    fc.double().map((value): ThriftValue => ({ type: "double", value })),
    fc.uint8Array({ maxLength: 200 }).map((value): ThriftValue => ({ type: "binary", value })),
  );
  const { struct } = fc.letrec<{ struct: [number, ThriftValue][] }>((tie) => ({
    struct: fc
      .uniqueArray(
        fc.tuple(
          fc.integer({ min: 1, max: 300 }),
          fc.oneof(
            { maxDepth: 2, depthSize: "small" },
            leaf,
            tie("struct").map((fields): ThriftValue => ({ type: "struct", value: new Map(fields) })),
            fc.array(tie("struct"), { maxLength: 17 }).map((all): ThriftValue => ({
              type: "list",
              of: "struct",
              value: all.map((fields) => ({ type: "struct", value: new Map(fields) })),
            })),
          ),
        ),
        { selector: ([id]) => id, maxLength: 3 },
      )
      .map((fields) => fields.toSorted(([a], [b]) => a - b)),
  }));

  test("structs come back", () => {
    fc.assert(
      fc.property(struct, (fields) => {
        const bytes = encodeStruct(fields);
        expect(decodeStruct(bytes)).toEqual({ struct: new Map(fields), end: bytes.length });
        for (let length = 0; length < bytes.length; length += 1 + (bytes.length >> 5)) {
          expect(isRefused(() => decodeStruct(bytes.subarray(0, length)))).toBe(true);
        }
      }),
      { numRuns: 50 },
    );
  });

  test("nesting is bounded", () => {
    expect(isRefused(() => decodeStruct(new Uint8Array(100_000).fill(0x1c)))).toBe(true);
    expect(isRefused(() => decodeStruct(new Uint8Array(100_000).fill(0x19)))).toBe(true);
  });
});

describe("pages", () => {
  test.for(["zstd", "none"] as const)("come back with their checksum: %s", (compression) => {
    const raw = new Uint8Array(3000).map((_, i) => i >> 4);
    const { header, body } = encodePage({
      kind: "data",
      raw,
      valueCount: 7,
      encoding: 0,
      compression,
      zstdLevel: 3,
    });
    const decoded = decodePageHeader(Buffer.concat([header, body]), 0);
    expect(decoded).toMatchObject({
      bodyAt: header.length,
      header: { kind: "data", valueCount: 7, rawLength: 3000, length: body.length, crc: crc32(body) },
    });
    expect(decodePageBody(decoded.header, body, compression)).toEqual(raw);
    expect(isRefused(() => decodePageBody({ ...decoded.header, rawLength: 2999 }, body, compression))).toBe(
      true,
    );
    expect(isRefused(() => decodePageBody({ ...decoded.header, rawLength: 3001 }, body, compression))).toBe(
      true,
    );
  });

  test("the checksum is the one of gzip", () => {
    expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
  });
});

describe("numbers", () => {
  test("durations: never negative, at most 2^63 - 1", () => {
    fc.assert(
      fc.property(uint64, uint64, (end, start) => {
        const out: Words = { low: 0, high: 0 };
        subtract(words(end), words(start), out);
        const exact = end > start ? end - start : 0n;
        expect(toBigInt(out)).toBe(exact);
        clampSigned(out, out);
        expect(toBigInt(out)).toBe(exact > 2n ** 63n - 1n ? 2n ** 63n - 1n : exact);
      }),
    );
  });

  test("varints of 64 bits", () => {
    fc.assert(
      fc.property(uint64, (value) => {
        const bytes: number[] = [];
        let rest = value;
        for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
        const out: Words = { low: 0, high: 0 };
        readVarint(Uint8Array.of(9, ...bytes, Number(rest)), 1, out);
        expect(toBigInt(out)).toBe(value);
      }),
    );
  });

  test("the private field holds any index", () => {
    fc.assert(
      fc.property(fc.nat({ max: 0xffff_ffff }), fc.nat({ max: 0xffff_ffff }), (resource, scope) => {
        const out = new ByteBuffer(1);
        out.appendByte(1);
        appendSuffix(out, resource, scope);
        expect(out.length).toBe(1 + SUFFIX_BYTES);
        expect(readSuffix(out.bytes, out.length)).toEqual({ resource, scope });
      }),
    );
  });
});
