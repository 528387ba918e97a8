// Notes that are never forgotten.
import type { Notes } from "../../src/traceql/storage.ts";

export function mapNotes(): Notes & { readonly names: () => string[] } {
  const kept = new Map<string, Uint8Array>();
  return {
    get: (name) => kept.get(name),
    set: (name, note) => void kept.set(name, note),
    names: () => [...kept.keys()],
  };
}
