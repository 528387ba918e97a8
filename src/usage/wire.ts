// Numbers and texts in few bytes. Counts are below 2^53, so that a varint has eight bytes at most.
import { AppError } from "../util/errors.ts";

const TOO_LARGE = 2 ** 56;

export class UsageWriter {
  readonly #out: number[] = [];

  /** A whole number from 0 to 2^53, as a varint. */
  number(value: number): void {
    let rest = value;
    // Not by shifts: those have 32 bits.
    for (; rest > 127; rest = Math.floor(rest / 128)) this.#out.push((rest % 128) + 128);
    this.#out.push(rest);
  }

  /** A whole number of either sign, zigzag. */
  signed(value: number): void {
    this.number(value < 0 ? -2 * value - 1 : 2 * value);
  }

  text(text: string): void {
    const start = this.#out.length;
    this.number(text.length);
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 127) {
        // Not ASCII after all.
        this.#out.length = start;
        this.block(new TextEncoder().encode(text));
        return;
      }
      this.#out.push(code);
    }
  }

  /** Bytes behind their length. */
  block(bytes: Uint8Array): void {
    this.number(bytes.length);
    for (const byte of bytes) this.#out.push(byte);
  }

  bytes(): Uint8Array {
    return Uint8Array.from(this.#out);
  }
}

/** All throw AppError `corrupt` when the bytes end too soon. */
export class UsageReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  number(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined || scale > TOO_LARGE) throw corruptUsage("cut short");
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }

  signed(): number {
    const value = this.number();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  text(): string {
    return new TextDecoder().decode(this.block());
  }

  block(): Uint8Array {
    const length = this.number();
    const end = this.#at + length;
    if (end > this.#bytes.length) throw corruptUsage("cut short");
    const block = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return block;
  }
}

export function corruptUsage(what: string): AppError {
  return new AppError("corrupt", `usage: ${what}`);
}
