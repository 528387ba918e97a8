// The XML of the S3 API: elements and text, nothing else. Bounded; no document types, hence no entities but XML's own.

/** An element without its attributes and namespace prefix. Text is that of the element itself, decoded. */
export interface XmlElement {
  readonly name: string;
  readonly text: string;
  readonly children: readonly XmlElement[];
}

// A list of 1,000 objects has 10 elements each, with checksums and owner; the deepest path is 4.
const ELEMENTS_MAX = 50_000;
const DEPTH_MAX = 16;

const ENTITIES: ReadonlyMap<string, string> = new Map([
  ["amp", "&"],
  ["lt", "<"],
  ["gt", ">"],
  ["quot", '"'],
  ["apos", "'"],
]);

interface OpenElement {
  readonly name: string;
  text: string;
  readonly children: XmlElement[];
}

/** Thrown by `parseXml`; its callers turn it into the failure of their request. */
export class XmlError extends Error {
  override readonly name = "XmlError";
}

function decodeEntity(whole: string, name: string): string {
  const digits = /^#(?:x([0-9a-f]{1,6})|([0-9]{1,7}))$/i.exec(name);
  if (digits === null) {
    const text = ENTITIES.get(name);
    if (text === undefined) throw new XmlError(`unknown entity ${whole.slice(0, 20)}`);
    return text;
  }
  const [, hex, decimal = ""] = digits;
  const code = hex === undefined ? Number.parseInt(decimal, 10) : Number.parseInt(hex, 16);
  if (code > 0x10ffff) throw new XmlError(`character ${whole.slice(0, 20)} is none`);
  return String.fromCodePoint(code);
}

function decodeText(raw: string): string {
  if (!raw.includes("&")) return raw;
  // A `&` that begins no reference is an error: \w* also matches nothing.
  return raw.replace(/&(#?\w*);?/g, (whole, name: string) => {
    if (!whole.endsWith(";")) throw new XmlError("a `&` without `;`");
    return decodeEntity(whole, name);
  });
}

/** The text between `from` and the next `end`, and where what follows begins. */
function until(xml: string, end: string, from: number): { text: string; next: number } {
  const at = xml.indexOf(end, from);
  if (at < 0) throw new XmlError(`no "${end}" after position ${from}`);
  return { text: xml.slice(from, at), next: at + end.length };
}

class XmlParser {
  readonly #xml: string;
  readonly #open: OpenElement[] = [];
  #root: XmlElement | undefined;
  #count = 0;

  constructor(xml: string) {
    this.#xml = xml;
  }

  parse(): XmlElement {
    let at = this.#xml.startsWith("\ufeff") ? 1 : 0;
    while (at < this.#xml.length) {
      const tag = this.#xml.indexOf("<", at);
      this.#text(decodeText(this.#xml.slice(at, tag < 0 ? undefined : tag)));
      if (tag < 0) break;
      at = this.#markup(tag);
    }
    if (this.#root === undefined || this.#open.length > 0) throw new XmlError("the document is cut short");
    return this.#root;
  }

  /** Takes the markup that begins at `at`, and gives the position after it. */
  #markup(at: number): number {
    if (this.#xml.startsWith("<!--", at)) return until(this.#xml, "-->", at + 4).next;
    if (this.#xml.startsWith("<?", at)) return until(this.#xml, "?>", at + 2).next;
    if (this.#xml.startsWith("<![CDATA[", at)) {
      const { text, next } = until(this.#xml, "]]>", at + 9);
      this.#text(text);
      return next;
    }
    const { text, next } = until(this.#xml, ">", at + 1);
    // No answer of S3's has a `>` in an attribute, nor a document type; HTML has both.
    const [, close, name = "", empty] =
      /^(\/?)(?:[\w.-]{1,64}:)?([A-Za-z_][\w.-]{0,127})(?:\s[^<]*?)?(\/?)$/.exec(text) ?? [];
    if (name === "") throw new XmlError(`no element at position ${at}`);
    if (close === "/") this.#close(name);
    else {
      this.#start(name);
      if (empty === "/") this.#close(name);
    }
    return next;
  }

  #start(name: string): void {
    if (this.#root !== undefined) throw new XmlError("more than one root element");
    this.#count += 1;
    if (this.#count > ELEMENTS_MAX) throw new XmlError(`more than ${ELEMENTS_MAX} elements`);
    if (this.#open.length >= DEPTH_MAX) throw new XmlError(`more than ${DEPTH_MAX} levels`);
    this.#open.push({ name, text: "", children: [] });
  }

  #close(name: string): void {
    const element = this.#open.pop();
    if (element?.name !== name) throw new XmlError(`</${name}> closes no element`);
    const parent = this.#open.at(-1);
    if (parent === undefined) this.#root = element;
    else parent.children.push(element);
  }

  #text(text: string): void {
    const element = this.#open.at(-1);
    if (element !== undefined) element.text += text;
    else if (text.trim() !== "") throw new XmlError("text outside the root element");
  }
}

/** @throws XmlError when it is not well-formed, or larger than any answer of S3's */
export function parseXml(xml: string): XmlElement {
  return new XmlParser(xml).parse();
}

/** Text of the first child called `name`, undefined without one. */
export function childText(element: XmlElement, name: string): string | undefined {
  return element.children.find((child) => child.name === name)?.text;
}

/** `text` as the content of an element: markup and control characters as references. */
export function escapeXml(text: string): string {
  return text.replace(/[<>&"'\p{Cc}]/gu, (char) => `&#${char.charCodeAt(0)};`);
}
