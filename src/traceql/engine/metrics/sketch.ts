// Buckets of numbers: those of a sketch for quantiles, and powers of two for histograms.
//
// The sketch is DDSketch (Charles Masson, Jee Rim, Homin Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with
// Relative-Error Guarantees", VLDB 2019) with the logarithm interpolated linearly between powers of two: a bucket is
// what the upper bits of a double say, exponent and 6 bits of the fraction. It spans a factor of at most 1 + 1/64, so
// its harmonic middle is within 0.8 % of whatever is in it.

const FRACTION_BITS = 6;
const SHIFT = 20 - FRACTION_BITS;
const SIGN = 0x8000_0000;

const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);

const EXPONENT = 0x7ff0_0000;

/** Whether a double with this upper word is finite. */
export function isFiniteWord(high: number): boolean {
  return (high & EXPONENT) !== EXPONENT;
}

/** The sketch's bucket of a finite number. Buckets are in the order of the numbers. */
export function sketchBucket(value: number): number {
  double[0] = value;
  return sketchBucketOf(words[1] ?? 0);
}

/** The same, of the upper word of the double, signed or not. */
export function sketchBucketOf(high: number): number {
  return (high | 0) < 0 ? -((high & ~SIGN) >>> SHIFT) : high >>> SHIFT;
}

function fromBits(high: number): number {
  words[0] = 0;
  words[1] = high;
  return double[0] ?? 0;
}

/** The number that stands for those of a bucket. That of bucket 0 is 0. */
export function bucketMiddle(bucket: number): number {
  const low = fromBits(Math.abs(bucket) << SHIFT);
  const high = fromBits((Math.abs(bucket) + 1) << SHIFT);
  const middle = Number.isFinite(high) ? low * (2 / (1 + low / high)) : low;
  return bucket < 0 ? -middle : middle;
}

/** No power of two: the number is below 2. No bucket of a sketch either. */
export const NO_BUCKET = 0x7fff_ffff;

/** Exponent of the least power of two that is not below `value`; NO_BUCKET for values below 2. */
export function powerOfTwo(value: bigint | number): number {
  if (typeof value === "bigint") return value < 2n ? NO_BUCKET : (value - 1n).toString(2).length;
  double[0] = value;
  return powerOfTwoOf(words[1] ?? 0, words[0] ?? 0);
}

const TWO = 0x4000_0000;

/** The same, of the words of a double. */
export function powerOfTwoOf(high: number, low: number): number {
  if (high < TWO || high >= SIGN) return NO_BUCKET;
  const isPower = (high & 0xf_ffff) === 0 && low === 0;
  return (high >>> 20) - 1023 + (isPower ? 0 : 1);
}
