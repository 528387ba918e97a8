// Structured logs: one JSON object a line, as Workers Logs indexes them. Never secrets, never span contents.

/** Tells the operator of a fault that no caller is told of. */
export function logError(message: string, fields: Readonly<Record<string, string | number>> = {}): void {
  console.error(JSON.stringify({ level: "error", message, ...fields }));
}

/** Tells the operator of something that is wrong with what others send. */
export function logWarning(message: string, fields: Readonly<Record<string, string | number>> = {}): void {
  console.warn(JSON.stringify({ level: "warning", message, ...fields }));
}

/** Tells the operator of something rare that is as it should be. */
export function logInfo(message: string, fields: Readonly<Record<string, string | number>> = {}): void {
  console.log(JSON.stringify({ level: "info", message, ...fields }));
}
