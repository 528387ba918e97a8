// ObjectStore over the S3 HTTP API: Amazon S3, R2's S3 endpoint, GCS with interoperability keys, MinIO and others.
import type { S3Config } from "../model/s3-config.ts";
import { assert } from "../util/assert.ts";
import { AppError } from "../util/errors.ts";
import { checkedBody } from "./checked-body.ts";
import type { ByteRange, ObjectStore, ObjectUpload, PutCondition, StoredObject } from "./object-store.ts";
import { deleteObjects } from "./s3-delete.ts";
import type { Fetch, S3Timeouts } from "./s3-client.ts";
import { drop, S3_TIMEOUTS, S3Client } from "./s3-client.ts";
import { plainEtag, storedAs } from "./s3-etag.ts";
import type { S3Failure } from "./s3-errors.ts";
import { s3Error } from "./s3-errors.ts";
import { startS3Upload } from "./s3-upload.ts";
import type { XmlElement } from "./s3-xml.ts";
import { childText } from "./s3-xml.ts";

export interface S3StoreOptions {
  /** Default: the runtime's. */
  readonly fetch?: Fetch;
  readonly timeouts?: S3Timeouts;
}

/** Whether the answer is for exactly `range`. @throws AppError `corrupt` when the object ends before it does */
function checkContentRange(key: string, header: string | null, { offset, length }: ByteRange): void {
  const [, first = "", last = "", total = ""] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(header ?? "") ?? [];
  if (total !== "*" && total !== "" && Number(total) < offset + length) {
    throw new AppError("corrupt", `object ${key} has ${total} bytes, range ends at ${offset + length}`);
  }
  if (first !== String(offset) || last !== String(offset + length - 1)) {
    throw new AppError("unavailable", `get of ${key}: answer is for another range than the one asked for`);
  }
}

/** A 200 means that the range was ignored: right only if the whole object was wanted. */
function checkWholeObject(key: string, header: string | null, { offset, length }: ByteRange): void {
  if (offset === 0 && header === String(length)) return;
  // Skipping to the range would fetch, and pay for, a whole block for each page.
  throw new AppError(
    "internal",
    `get of ${key}: the server ignores ranges, check S3_ENDPOINT and proxies before it`,
  );
}

/** A key as `encoding-type=url` has it: form encoding, where `+` is a blank. Servers that ignore it say so. */
function listedKey(text: string, isEncoded: boolean): string {
  return isEncoded ? decodeURIComponent(text.replaceAll("+", " ")) : text;
}

function listedObject(element: XmlElement, isEncoded: boolean): StoredObject {
  const key = listedKey(childText(element, "Key") ?? "", isEncoded);
  const etag = plainEtag(childText(element, "ETag"));
  const size = childText(element, "Size") ?? "";
  if (key === "" || etag === undefined || !/^\d{1,15}$/.test(size))
    throw new URIError("entry without key, etag or size");
  return { key, etag, byteLength: Number(size) };
}

export class S3Store implements ObjectStore {
  readonly #client: S3Client;
  readonly #ignoresConditions: boolean;

  constructor(config: S3Config, options: S3StoreOptions = {}) {
    // A bare reference would lose the global that workerd's fetch demands as `this`.
    const fetcher = options.fetch ?? ((url, init) => fetch(url, init));
    this.#client = new S3Client(config, fetcher, options.timeouts ?? S3_TIMEOUTS);
    this.#ignoresConditions = /(^|\.)googleapis\.com$/.test(config.endpoint.hostname);
  }

  async put(key: string, bytes: Uint8Array): Promise<StoredObject> {
    const response = await this.#client.ask(`put of ${key}`, { method: "PUT", key, body: bytes });
    drop(response);
    return storedAs(key, response.headers.get("etag"), bytes.length);
  }

  /** @throws AppError `internal` for GCS, which has conditions on generations only and would overwrite */
  async putIf(key: string, bytes: Uint8Array, condition: PutCondition): Promise<StoredObject | undefined> {
    const what = `conditional put of ${key}`;
    if (this.#ignoresConditions) throw new AppError("internal", `${what}: GCS knows no conditions on etags`);
    const headers: Record<string, string> =
      "etag" in condition ? { "if-match": `"${condition.etag}"` } : { "if-none-match": "*" };
    const response = await this.#client.send(what, { method: "PUT", key, headers, body: bytes });
    if (response.status === 200) {
      drop(response);
      return storedAs(key, response.headers.get("etag"), bytes.length);
    }
    const failure = await this.#client.failure(what, response);
    // If-Match on an absent object is 404.
    if (failure.status === 412 || (failure.status === 404 && failure.code === "NoSuchKey")) return undefined;
    throw s3Error(what, failure);
  }

  startUpload(key: string): Promise<ObjectUpload> {
    return startS3Upload(this.#client, key);
  }

  async getRange(key: string, range: ByteRange, etag: string): Promise<ReadableStream<Uint8Array>> {
    assert(range.offset >= 0 && range.length > 0, "a range begins in the object and is not empty");
    const what = `get of ${key}`;
    const last = range.offset + range.length - 1;
    const headers = { range: `bytes=${range.offset}-${last}`, "if-match": `"${etag}"` };
    const response = await this.#client.send(what, { method: "GET", key, headers });
    if (response.status !== 206 && response.status !== 200) {
      throw this.#rangeError(key, range, await this.#client.failure(what, response));
    }
    try {
      // In case of a server that does not know If-Match.
      if (plainEtag(response.headers.get("etag")) !== etag) {
        throw new AppError("corrupt", `object ${key} was replaced`);
      }
      if (response.status === 206) checkContentRange(key, response.headers.get("content-range"), range);
      else checkWholeObject(key, response.headers.get("content-length"), range);
    } catch (error) {
      drop(response);
      throw error;
    }
    if (response.body === null) throw new AppError("corrupt", `object ${key} gave no bytes`);
    return checkedBody(key, response.body, range.length, (read) => this.#client.within(what, read));
  }

  #rangeError(key: string, range: ByteRange, failure: S3Failure): AppError {
    const { status, code } = failure;
    if (status === 412) return new AppError("corrupt", `object ${key} was replaced`);
    if (status === 416) return new AppError("corrupt", `object ${key} ends before offset ${range.offset}`);
    // Other 404s are the bucket's, or of a server that is none of S3's.
    if (status === 404 && code === "NoSuchKey") return new AppError("not_found", `no object ${key}`);
    return s3Error(`get of ${key}`, failure);
  }

  async delete(keys: readonly string[]): Promise<void> {
    await deleteObjects(this.#client, keys);
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    let token: string | undefined;
    do {
      const page = await this.#page(prefix, token);
      yield* page.objects;
      if (page.next !== undefined && page.next === token) {
        throw new AppError("unavailable", `list of ${prefix}: the server repeats a page`);
      }
      token = page.next;
    } while (token !== undefined);
  }

  async #page(
    prefix: string,
    token: string | undefined,
  ): Promise<{ objects: readonly StoredObject[]; next: string | undefined }> {
    const what = `list of ${prefix}`;
    const query = { "list-type": "2", "encoding-type": "url", prefix };
    const response = await this.#client.ask(what, {
      method: "GET",
      query: token === undefined ? query : { ...query, "continuation-token": token },
    });
    const result = await this.#client.xml(what, response, "ListBucketResult");
    const isEncoded = childText(result, "EncodingType") === "url";
    const next = childText(result, "NextContinuationToken");
    const truncated = childText(result, "IsTruncated") === "true";
    if (truncated && (next ?? "") === "") throw new AppError("unavailable", `${what}: cut without a token`);
    try {
      const objects = result.children
        .filter(({ name }) => name === "Contents")
        .map((element) => listedObject(element, isEncoded));
      return { objects, next: truncated ? next : undefined };
    } catch (error) {
      throw new AppError("unavailable", `${what}: answer is no list of objects`, { cause: error });
    }
  }
}
