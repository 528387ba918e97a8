// Seeded pseudo-random numbers (sfc32), so that every run of a test or bench sees the same bytes.

export interface Random {
  /** An unsigned 32-bit integer. */
  u32(): number;
  /** A number in [0, 1). */
  unit(): number;
  /** An integer in [0, bound). */
  below(bound: number): number;
  /** True with `probability`. */
  chance(probability: number): boolean;
  pick<T>(items: readonly T[]): T;
  /** `length` random bytes, the first of them never 0, so that an id is never all zero. */
  bytes(length: number): Uint8Array;
  /** `digits` lower-case hex digits. */
  hex(digits: number): string;
  /** Log-normal with this mean. */
  logNormal(mean: number, sigma: number): number;
  /** Exponential with this mean. */
  exponential(mean: number): number;
}

const HEX = "0123456789abcdef";

function sfc32(seed: number): () => number {
  let a = 0x9e3779b9;
  let b = 0x243f6a88;
  let c = seed | 0;
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return sum >>> 0;
  };
  for (let i = 0; i < 15; i++) next();
  return next;
}

export function makeRandom(seed: number): Random {
  const u32 = sfc32(seed);
  const unit = (): number => u32() / 0x1_0000_0000;
  const below = (bound: number): number => Math.floor(unit() * bound);
  return {
    u32,
    unit,
    below,
    chance: (probability) => unit() < probability,
    pick: (items) => items[below(items.length)]!,
    bytes: (length) => {
      const out = new Uint8Array(length);
      for (let i = 0; i < length; i += 4) {
        const word = u32();
        for (let j = 0; j < 4 && i + j < length; j++) out[i + j] = word >>> (8 * j);
      }
      if (out[0] === 0) out[0] = 1 + (u32() % 255);
      return out;
    },
    hex: (digits) => {
      let text = "";
      for (let i = 0; i < digits; i++) text += HEX[u32() >>> 28];
      return text;
    },
    logNormal: (mean, sigma) => {
      const normal = Math.sqrt(-2 * Math.log(1 - unit())) * Math.cos(2 * Math.PI * unit());
      return mean * Math.exp(sigma * normal - (sigma * sigma) / 2);
    },
    exponential: (mean) => -mean * Math.log(1 - unit()),
  };
}
