// Multipart uploads through the S3 API.
import { AppError } from "../util/errors.ts";
import type { ObjectUpload, StoredObject } from "./object-store.ts";
import { PartLengths } from "./part-lengths.ts";
import type { S3Client } from "./s3-client.ts";
import { drop } from "./s3-client.ts";
import { storedAs } from "./s3-etag.ts";
import { s3Error } from "./s3-errors.ts";
import { childText, escapeXml } from "./s3-xml.ts";

class S3Upload implements ObjectUpload {
  readonly #client: S3Client;
  readonly #key: string;
  readonly #uploadId: string;
  readonly #lengths = new PartLengths();
  /** As the server quoted them: they are given back, never compared. */
  readonly #etags: string[] = [];

  constructor(client: S3Client, key: string, uploadId: string) {
    this.#client = client;
    this.#key = key;
    this.#uploadId = uploadId;
  }

  async addPart(bytes: Uint8Array): Promise<void> {
    const part = this.#lengths.add(bytes.length);
    const what = `put of part ${part} of ${this.#key}`;
    const query = { partNumber: String(part), uploadId: this.#uploadId };
    const response = await this.#client.ask(what, { method: "PUT", key: this.#key, query, body: bytes });
    drop(response);
    const etag = response.headers.get("etag");
    if (etag === null) throw new AppError("unavailable", `${what}: answer without etag`);
    this.#etags.push(etag);
  }

  async complete(): Promise<StoredObject> {
    this.#lengths.checkComplete();
    const what = `completion of ${this.#key}`;
    const parts = this.#etags.map(
      (etag, i) => `<Part><PartNumber>${i + 1}</PartNumber><ETag>${escapeXml(etag)}</ETag></Part>`,
    );
    const body = `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${parts.join("")}</CompleteMultipartUpload>`;
    const response = await this.#client.ask(what, {
      method: "POST",
      key: this.#key,
      query: { uploadId: this.#uploadId },
      headers: { "content-type": "application/xml" },
      body: new TextEncoder().encode(body),
    });
    // S3 begins its answer, sends blanks while it joins the parts, and only then says whether it could.
    const { uploadMs } = this.#client.timeouts;
    const result = await this.#client.xml(what, response, "CompleteMultipartUploadResult", uploadMs);
    this.#lengths.end();
    return storedAs(this.#key, childText(result, "ETag"), this.#lengths.total);
  }

  async abort(): Promise<void> {
    if (this.#lengths.ended) return;
    const what = `abort of the upload of ${this.#key}`;
    const query = { uploadId: this.#uploadId };
    const response = await this.#client.send(what, { method: "DELETE", key: this.#key, query });
    if (response.status === 200 || response.status === 204) {
      this.#lengths.end();
      return drop(response);
    }
    const failure = await this.#client.failure(what, response);
    // Completed after all, by a call whose answer was lost.
    if (failure.status !== 404 || failure.code !== "NoSuchUpload") throw s3Error(what, failure);
  }
}

export async function startS3Upload(client: S3Client, key: string): Promise<ObjectUpload> {
  const what = `start of an upload of ${key}`;
  const response = await client.ask(what, { method: "POST", key, query: { uploads: "" } });
  const result = await client.xml(what, response, "InitiateMultipartUploadResult");
  const uploadId = childText(result, "UploadId") ?? "";
  if (uploadId === "") throw new AppError("unavailable", `${what}: answer without an id`);
  return new S3Upload(client, key, uploadId);
}
