import { describe, expect, test } from "vitest";
import { childText, escapeXml, parseXml, XmlError } from "../../../src/store/s3-xml.ts";

describe("parseXml", () => {
  test("elements, text, attributes, prefixes, comments, CDATA", () => {
    const root = parseXml(
      '\ufeff<?xml version="1.0"?>\n<!-- c --><s3:List xmlns:s3="urn:x" a=\'b\'>' +
        "<Key>a&amp;b&lt;&gt;&quot;&apos;&#65;&#x1F680;</Key><Empty/><Empty a='1' /><Size> 7 </Size>" +
        "<Raw><![CDATA[<&amp;>]]></Raw></s3:List>\n",
    );
    expect(root.name).toBe("List");
    expect(root.children.map(({ name }) => name)).toEqual(["Key", "Empty", "Empty", "Size", "Raw"]);
    expect(childText(root, "Key")).toBe("a&b<>\"'A\u{1f680}");
    expect(childText(root, "Empty")).toBe("");
    expect(childText(root, "Size")).toBe(" 7 ");
    expect(childText(root, "Raw")).toBe("<&amp;>");
    expect(childText(root, "None")).toBeUndefined();
  });

  test.each([
    ["nothing", ""],
    ["text", "gateway timeout"],
    ["cut short", "<a><b>x</b>"],
    ["cut in a tag", "<a><b"],
    ["crossed", "<a><b></a></b>"],
    ["closed twice", "<a></a></a>"],
    ["two roots", "<a/><b/>"],
    ["text after the root", "<a/>x"],
    ["document type", '<!DOCTYPE a [<!ENTITY e "eeee">]><a>&e;</a>'],
    ["unknown entity", "<a>&e;</a>"],
    ["lone ampersand", "<a>1 & 2</a>"],
    ["no character", "<a>&#x110000;</a>"],
    ["open comment", "<a><!-- </a>"],
    ["HTML", "<!doctype html><html><body>503</body></html>"],
    ["a name of its own", "<a><1/></a>"],
  ])("refuses: %s", (_, xml) => {
    expect(() => parseXml(xml)).toThrow(XmlError);
  });

  test("16 levels and 50,000 elements are read, one more is refused", () => {
    const deep = (levels: number) => "<a>".repeat(levels) + "</a>".repeat(levels);
    expect(parseXml(deep(16)).name).toBe("a");
    expect(() => parseXml(deep(17))).toThrow("levels");
    const wide = (count: number) => `<a>${"<b/>".repeat(count - 1)}</a>`;
    expect(parseXml(wide(50_000)).children).toHaveLength(49_999);
    expect(() => parseXml(wide(50_001))).toThrow("elements");
  });

  test("hostile text takes time in proportion to its length", () => {
    const started = performance.now();
    for (const part of ["<", "<a ", "&", "<!--", "<a><", "&#", "<a b='", "</", "]]>", "<a:"]) {
      expect(() => parseXml(part.repeat(200_000))).toThrow(XmlError);
    }
    expect(() => parseXml(`<a ${" ".repeat(2_000_000)}<`)).toThrow(XmlError);
    expect(() => parseXml(`<${"a".repeat(2_000_000)}>`)).toThrow(XmlError);
    expect(() => parseXml(`<a ${"b ".repeat(1_000_000)}/`)).toThrow(XmlError);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  test("escaped text reads back", () => {
    const text = "a<b>&\"'\u0001\n\r\t\u{1f680}]]>";
    expect(parseXml(`<a>${escapeXml(text)}</a>`).text).toBe(text);
  });
});
