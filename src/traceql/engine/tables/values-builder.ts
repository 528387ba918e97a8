// Values of any kind, collected one by one.
import type { Values } from "../../storage.ts";

export class ValuesBuilder {
  #kind: "bytes" | "bits" | number = "bytes";
  #bytes = new Uint8Array(256);
  #length = 0;
  readonly #ends: number[] = [];

  /**
   * Appends a copy of value `index`. All values have the kind of the first one.
   * @returns 1 + its position
   */
  add(values: Values, index: number): number {
    switch (values.kind) {
      case "bytes":
        this.#kind = "bytes";
        this.#append(values.bytes, values.offsets[2 * index] ?? 0, values.offsets[2 * index + 1] ?? 0);
        return this.#ends.length;
      case "fixed":
        this.#kind = values.width;
        this.#append(values.bytes, values.width * index, values.width * (index + 1));
        return this.#ends.length;
      case "bits":
        // There are two booleans: the dictionary has both.
        this.#kind = "bits";
        return 1 + (((values.bytes[index >>> 3] ?? 0) >>> (index & 7)) & 1);
    }
  }

  #append(bytes: Uint8Array, start: number, end: number): void {
    const length = this.#length + end - start;
    if (length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(length, 2 * this.#bytes.length));
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    for (let i = start, at = this.#length; i < end; i++, at++) this.#bytes[at] = bytes[i] ?? 0;
    this.#length = length;
    this.#ends.push(length);
  }

  build(): Values {
    if (this.#kind === "bits") return { kind: "bits", count: 2, bytes: Uint8Array.of(0b10) };
    const count = this.#ends.length;
    const bytes = this.#bytes.slice(0, this.#length);
    if (this.#kind !== "bytes") return { kind: "fixed", count, bytes, width: this.#kind };
    const offsets = new Uint32Array(2 * count);
    this.#ends.forEach((end, index) => {
      offsets[2 * index] = this.#ends[index - 1] ?? 0;
      offsets[2 * index + 1] = end;
    });
    return { kind: "bytes", count, bytes, offsets };
  }
}
