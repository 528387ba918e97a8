// The status of a Zipkin v1 span, from four families of binary annotations.
import { STATUS, SPAN, LENGTH, VARINT, tagOf } from "../otlp/wire.ts";
import type { WireWriter } from "../otlp/wire-writer.ts";
import { statusCodeOf } from "./tag-rules.ts";
import type { V1Value } from "./v1-span.ts";

const OK = 1;
const ERROR = 2;

/** An integer, given as one or as digits. */
function integerOf(value: V1Value): number | undefined {
  if (value.type === "int") return value.high * 2 ** 32 + value.low;
  return value.type === "string" && /^-?\d{1,9}$/.test(value.value) ? Number(value.value) : undefined;
}

function textOf(value: V1Value): string {
  return value.type === "string" ? value.value : "";
}

/** An OTLP status code by name or number. */
function otelCodeOf(value: V1Value): number | undefined {
  const number = integerOf(value);
  if (number === undefined) return statusCodeOf(textOf(value));
  return number >= 0 && number <= ERROR ? number : undefined;
}

/**
 * Gathers a span's status. The first of these that is there counts:
 *
 * | key                | status                                      | message                           |
 * | ------------------ | ------------------------------------------- | --------------------------------- |
 * | census.status_code | 0 OK, else ERROR                            | (open)census.status_description   |
 * | otel.status_code   | as named                                    | otel.status_description           |
 * | error              | ERROR                                       | of the two above                  |
 * | http.status_code   | none for 100 to 399, else ERROR             | http.status_message               |
 */
export class V1Status {
  #census: number | undefined;
  #censusMessage = "";
  #otel: number | undefined;
  #otelMessage = "";
  #isError = false;
  #http: number | undefined;
  #httpMessage = "";

  /** Looks at a binary annotation. Returns true when it is not to be an attribute. */
  take(key: string, value: V1Value): boolean {
    switch (key) {
      case "census.status_code": {
        const code = integerOf(value);
        if (code === undefined) return false;
        this.#census = code === 0 ? OK : ERROR;
        return true;
      }
      case "census.status_description":
      case "opencensus.status_description":
        this.#censusMessage = textOf(value);
        return true;
      case "otel.status_code":
        this.#otel = otelCodeOf(value);
        return this.#otel !== undefined;
      case "otel.status_description":
        this.#otelMessage = textOf(value);
        return true;
      case "error":
        this.#isError = value.type !== "bool" || value.value;
        return value.type === "bool" ? value.value : textOf(value) === "true";
      case "http.status_code":
        this.#http = integerOf(value);
        return false;
      case "http.status_message":
        this.#httpMessage = textOf(value);
        return false;
      default:
        return false;
    }
  }

  /** Writes the status into the span that is open. */
  write(out: WireWriter): void {
    const [code, message] = this.#result();
    if (code === 0 && message === "") return;
    const body = out.open(tagOf(SPAN.status, LENGTH), 1);
    if (message !== "") out.string(tagOf(STATUS.message, LENGTH), message);
    if (code > 0) out.varint64(tagOf(STATUS.code, VARINT), code, 0);
    out.close(body, 1);
  }

  #result(): readonly [code: number, message: string] {
    if (this.#census !== undefined) return [this.#census, this.#censusMessage];
    if (this.#otel !== undefined) return [this.#isError ? ERROR : this.#otel, this.#otelMessage];
    if (this.#isError) return [ERROR, this.#censusMessage || this.#otelMessage];
    if (this.#http === undefined || (this.#http >= 100 && this.#http < 400)) return [0, ""];
    return [ERROR, this.#httpMessage];
  }
}
