// Microseconds, which Zipkin and Jaeger count, to OTLP's nanoseconds: exact, without a bigint per time.

const TWO_32 = 2 ** 32;
const NANOS_PER_MICRO = 1000;

/** An unsigned 64-bit number of nanoseconds that stays at 2^64 - 1 rather than run over. */
export class Nanos {
  low = 0;
  high = 0;

  /** Sets to `micros`, a number from 0 to 2^53. A fraction is rounded to nanoseconds. */
  setMicros(micros: number): void {
    const whole = Math.floor(micros);
    this.#setProduct(whole >>> 0, Math.floor(whole / TWO_32));
    if (whole !== micros) this.#add(Math.round((micros - whole) * NANOS_PER_MICRO), 0);
  }

  /** Adds `micros`, as in `setMicros`. */
  addMicros(micros: number): void {
    const { low, high } = this;
    this.setMicros(micros);
    this.#add(low, high);
  }

  /** Sets to a signed 64-bit number of microseconds, given as its halves; negative is 0. */
  setMicros64(low: number, high: number): void {
    if ((high | 0) < 0) this.#setProduct(0, 0);
    else this.#setProduct(low >>> 0, high);
  }

  /** Adds a signed 64-bit number of microseconds, given as its halves; negative is 0. */
  addMicros64(low: number, high: number): void {
    const before = { low: this.low, high: this.high };
    this.setMicros64(low, high);
    this.#add(before.low, before.high);
  }

  #setProduct(microsLow: number, microsHigh: number): void {
    // Both products stay below 2^53.
    const low = microsLow * NANOS_PER_MICRO;
    const high = microsHigh * NANOS_PER_MICRO + Math.floor(low / TWO_32);
    // `>>> 0` is % 2^32 for whole numbers; % of doubles is a call of 30 ns.
    this.low = low >>> 0;
    this.high = high;
    if (high >= TWO_32) this.#saturate();
  }

  #add(low: number, high: number): void {
    const sum = this.low + low;
    this.low = sum >>> 0;
    this.high += high + (sum >= TWO_32 ? 1 : 0);
    if (this.high >= TWO_32) this.#saturate();
  }

  #saturate(): void {
    this.low = TWO_32 - 1;
    this.high = TWO_32 - 1;
  }
}
