// Sums that do not depend on the order of their terms.
//
// Jonathan Shewchuk, "Adaptive Precision Floating-Point Arithmetic and Fast Robust Geometric Predicates", 1997: a sum as
// doubles that do not overlap, whose exact sum is that of all terms. There are rarely more than two of them.

/** The parts of a sum, from the smallest magnitude to the largest. */
export type SumParts = number[];

/** Adds a number. A sum that leaves the range of doubles is infinite from then on. */
export function addExactly(parts: SumParts, term: number): void {
  let rest = term;
  let kept = 0;
  for (const part of parts) {
    const isLarger = Math.abs(rest) >= Math.abs(part);
    const large = isLarger ? rest : part;
    const small = isLarger ? part : rest;
    const sum = large + small;
    const error = small - (sum - large);
    if (error !== 0) parts[kept++] = error;
    rest = sum;
  }
  // Errors of what is infinite mean nothing.
  parts.length = Number.isFinite(rest) ? kept : 0;
  parts.push(rest);
}

/** The double nearest to the sum. */
export function roundedSum(parts: SumParts): number {
  let at = parts.length - 1;
  let sum = parts[at] ?? 0;
  let error = 0;
  while (at > 0 && error === 0) {
    const before = sum;
    const part = parts[--at] ?? 0;
    sum = before + part;
    error = part - (sum - before);
  }
  // The last addition rounded half to even without knowing what is below: when that points the same way, one step more.
  const below = parts[at - 1] ?? 0;
  if (at > 0 && error !== 0 && Math.sign(error) === Math.sign(below)) {
    const twice = error * 2;
    const next = sum + twice;
    if (next - sum === twice) return next;
  }
  return sum;
}

/** The sum of terms that are whole numbers. */
export function wholeSum(parts: SumParts): bigint {
  return parts.reduce((sum, part) => sum + BigInt(part), 0n);
}
