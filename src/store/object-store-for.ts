// Which object store the blocks go to: decided by the variables, for the Worker and its objects alike.
import { readS3Config, type S3Variables } from "../model/s3-config.ts";
import { AppError } from "../util/errors.ts";
import type { Bindings } from "./bindings.ts";
import type { ObjectStore } from "./object-store.ts";
import { R2Store } from "./r2-store.ts";
import { S3Store } from "./s3-store.ts";

/**
 * The S3-compatible store if S3_ENDPOINT is set, else the R2 bucket bound as BLOCKS. Sends no request.
 * @throws AppError `internal` that names the variable that is wrong, or the binding that is missing
 */
export function objectStoreFor(bindings: Pick<Bindings, "BLOCKS"> & S3Variables): ObjectStore {
  const s3 = readS3Config(bindings);
  if (s3 !== undefined) return new S3Store(s3);
  if (bindings.BLOCKS === undefined) {
    throw new AppError(
      "internal",
      "there is no object store: bind an R2 bucket as BLOCKS or set S3_ENDPOINT",
    );
  }
  return new R2Store(bindings.BLOCKS);
}
