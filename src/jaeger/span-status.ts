// Kind and status of a Jaeger span, which come as tags.
import { SPAN, STATUS, LENGTH, VARINT, tagOf } from "../otlp/wire.ts";
import type { WireWriter } from "../otlp/wire-writer.ts";
import { ByteKeys } from "../util/byte-keys.ts";
import type { ByteSource } from "../util/byte-source.ts";
import { TAG_TYPE, Tag } from "./tags.ts";

const ATTRIBUTES_TAG = tagOf(SPAN.attributes, LENGTH);
const KIND = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 } as const;
const KINDS = new ByteKeys(Object.entries(KIND));
const OK = 1;
const ERROR = 2;

const ROLE = { kind: 0, error: 1, code: 2, description: 3, httpCode: 4, httpMessage: 5 } as const;
const ROLES = new ByteKeys([
  ["span.kind", ROLE.kind],
  ["error", ROLE.error],
  ["otel.status_code", ROLE.code],
  ["otel.status_description", ROLE.description],
  ["http.status_code", ROLE.httpCode],
  ["http.status_message", ROLE.httpMessage],
]);
/** Lengths of the keys with a role, as bits: most tags are told by theirs. */
const LENGTHS = (1 << 5) | (1 << 9) | (1 << 16) | (1 << 19) | (1 << 23);

/**
 * Gathers the tags that say kind and status. The order of precedence:
 *
 * | tag                        | status                                                                        |
 * | -------------------------- | ----------------------------------------------------------------------------- |
 * | error = true (bool)        | ERROR; message from otel.status_description, else http.status_message         |
 * | otel.status_code           | OK, ERROR or none; message from otel.status_description                       |
 * | http.status_code           | ERROR for 5xx and what is no code, for 4xx unless the span is a server's      |
 *
 * What gives kind, error, code or description is not an attribute as well; http.* stays one.
 */
export class SpanStatus {
  readonly #source: ByteSource;
  #kind = 0;
  #isError = false;
  #code: number | undefined;
  #httpCode: number | undefined;
  #httpMessage = "";
  #hasDescription = false;
  readonly #description = new Tag();

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** Begins a span. */
  clear(): void {
    this.#kind = 0;
    this.#isError = false;
    this.#code = undefined;
    this.#httpCode = undefined;
    this.#httpMessage = "";
    this.#hasDescription = false;
  }

  /** Looks at a tag of the span. Returns true when it is not to be an attribute. */
  take(tag: Tag): boolean {
    const length = tag.keyEnd - tag.keyStart;
    if (length > 23 || (LENGTHS & (1 << length)) === 0) return false;
    const role = ROLES.of(this.#source.bytes, tag.keyStart, tag.keyEnd);
    return role >= 0 && this.#taken(role, tag);
  }

  #taken(role: number, tag: Tag): boolean {
    switch (role) {
      case ROLE.kind: {
        if (tag.type !== TAG_TYPE.string) return false;
        const kind = KINDS.of(this.#source.bytes, tag.textStart, tag.textEnd);
        if (kind < 0) return false;
        this.#kind = kind;
        return true;
      }
      case ROLE.error:
        if (tag.type !== TAG_TYPE.bool || !tag.bool) return false;
        this.#isError = true;
        return true;
      case ROLE.code: {
        const code = codeOf(tag.textOf(this.#source));
        if (code === undefined) return false;
        this.#code = code;
        return true;
      }
      case ROLE.description:
        // A second one leaves the first to the attributes.
        if (this.#hasDescription || tag.type !== TAG_TYPE.string) return false;
        this.#description.assign(tag);
        this.#hasDescription = true;
        return true;
      case ROLE.httpCode:
        this.#httpCode = httpCodeOf(tag, this.#source);
        return false;
      default:
        this.#httpMessage = tag.textOf(this.#source);
        return false;
    }
  }

  /** Writes kind and status of the span whose tags have all been taken. */
  write(out: WireWriter): void {
    if (this.#kind > 0) out.varint64(tagOf(SPAN.kind, VARINT), this.#kind, 0);
    const isExplicit = this.#isError || this.#code !== undefined;
    if (!isExplicit && this.#hasDescription) this.#description.write(out, ATTRIBUTES_TAG, this.#source);
    const code = this.#isError ? ERROR : (this.#code ?? this.#codeOfHttp());
    const message = this.#message(isExplicit, code);
    if (code === 0 && message === "") return;
    const body = out.open(tagOf(SPAN.status, LENGTH), 1);
    if (message !== "") out.string(tagOf(STATUS.message, LENGTH), message);
    if (code > 0) out.varint64(tagOf(STATUS.code, VARINT), code, 0);
    out.close(body, 1);
  }

  #message(isExplicit: boolean, code: number): string {
    if (isExplicit && this.#hasDescription) return this.#description.textOf(this.#source);
    if (this.#isError) return this.#httpMessage;
    return !isExplicit && code > 0 ? this.#httpMessage : "";
  }

  #codeOfHttp(): number {
    const code = this.#httpCode;
    if (code === undefined || (code >= 100 && code < 400)) return 0;
    return code >= 400 && code < 500 && this.#kind === KIND.server ? 0 : ERROR;
  }
}

function codeOf(text: string): number | undefined {
  switch (text.toUpperCase()) {
    case "UNSET":
      return 0;
    case "OK":
      return OK;
    case "ERROR":
      return ERROR;
    default:
      return undefined;
  }
}

/** The code of an integer tag, or of a string of digits. */
function httpCodeOf(tag: Tag, source: ByteSource): number | undefined {
  if (tag.type === TAG_TYPE.long) return tag.high === 0 ? tag.low : -1;
  const text = tag.textOf(source);
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}
