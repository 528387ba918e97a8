// Etags as the port has them.
import { AppError } from "../util/errors.ts";
import type { StoredObject } from "./object-store.ts";

/** An etag as R2's binding gives it: without quotes, and without the `W/` that a compressing proxy adds. */
export function plainEtag(header: string | null | undefined): string | undefined {
  const [, etag] = /^(?:W\/)?"?([^"]+)"?$/.exec(header?.trim() ?? "") ?? [];
  return etag;
}

/** @throws AppError `unavailable` when the server did not say what it stored */
export function storedAs(
  key: string,
  etagHeader: string | null | undefined,
  byteLength: number,
): StoredObject {
  const etag = plainEtag(etagHeader);
  if (etag === undefined) throw new AppError("unavailable", `put of ${key}: answer without etag`);
  return { key, etag, byteLength };
}
