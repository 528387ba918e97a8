// Assertions are for bugs in this program. Bad input and failing services are AppErrors.

/** Throws an Error when `condition` is false: a bug, never the caller's fault. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/** Returns `value`, which the caller knows to be there. */
export function must<T>(value: T | null | undefined, message: string): T {
  if (value === null || value === undefined) throw new Error(`assertion failed: ${message}`);
  return value;
}

/** Closes a switch over a union. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${String(value)}`);
}
