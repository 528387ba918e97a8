// Tags of a search: `service.name=shop http.url="a b"`.
import { badRequest } from "./query-params.ts";

const KEY = /[^\s="]+/y;
const BARE = /[^\s="]+/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/sy;
const SPACE = /\s*/y;

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };

function unquote(text: string): string {
  return text.replace(/\\(?:u([0-9a-fA-F]{4})|(.))/gs, (_, hex: string | undefined, char: string) =>
    hex === undefined ? (ESCAPES[char] ?? char) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/**
 * Reads pairs of keys and values. A key without `=` has the value "".
 * @throws AppError `invalid_argument`: `invalid tags: tag x has been set twice`, `invalid tags: … at pos N`
 */
export function parseLogfmt(text: string): Map<string, string> {
  const tags = new Map<string, string>();
  let at = matchAt(SPACE, text, 0)?.[0].length ?? 0;
  while (at < text.length) {
    const key = matchAt(KEY, text, at)?.[0];
    if (key === undefined) throw badRequest(`invalid tags: unexpected '${text[at]}' at pos ${at + 1}`);
    at += key.length;
    let value = "";
    if (text[at] === "=") {
      const found = readValue(text, at + 1);
      value = found.value;
      at = found.end;
    }
    if (at < text.length && !/\s/.test(text[at] ?? "")) {
      throw badRequest(`invalid tags: unexpected '${text[at]}' at pos ${at + 1}`);
    }
    if (tags.has(key)) throw badRequest(`invalid tags: tag ${key} has been set twice`);
    tags.set(key, value);
    at += matchAt(SPACE, text, at)?.[0].length ?? 0;
  }
  return tags;
}

function readValue(text: string, at: number): { readonly value: string; readonly end: number } {
  if (text[at] === '"') {
    const [whole, content = ""] = matchAt(QUOTED, text, at) ?? [];
    if (whole === undefined) throw badRequest(`invalid tags: unterminated quoted value at pos ${at + 1}`);
    return { value: unquote(content), end: at + whole.length };
  }
  const value = matchAt(BARE, text, at)?.[0] ?? "";
  return { value, end: at + value.length };
}
