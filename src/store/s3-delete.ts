// Removing objects through the S3 API: many a request where the server can, one by one where it cannot.
import type { S3Client } from "./s3-client.ts";
import { drop } from "./s3-client.ts";
import { failureIn, s3Error } from "./s3-errors.ts";
import { childText, escapeXml } from "./s3-xml.ts";

// S3's limit for DeleteObjects; GCS and R2 have the same.
const DELETE_KEYS = 1000;

// A Worker may have 6 requests that wait for an answer; lookups need some of them.
const PARALLEL_DELETES = 4;

async function deleteOne(client: S3Client, key: string): Promise<void> {
  const what = `delete of ${key}`;
  const response = await client.send(what, { method: "DELETE", key });
  if (response.status === 200 || response.status === 204) return drop(response);
  const failure = await client.failure(what, response);
  // S3 answers 204 for an absent object, GCS 404.
  if (failure.status !== 404 || failure.code !== "NoSuchKey") throw s3Error(what, failure);
}

async function deleteEach(client: S3Client, keys: readonly string[]): Promise<void> {
  for (let at = 0; at < keys.length; at += PARALLEL_DELETES) {
    await Promise.all(keys.slice(at, at + PARALLEL_DELETES).map((key) => deleteOne(client, key)));
  }
}

/** @returns false when the server does not know requests that delete many */
async function deleteMany(client: S3Client, keys: readonly string[]): Promise<boolean> {
  const what = `delete of ${keys[0] ?? ""} and ${keys.length - 1} more`;
  const objects = keys.map((key) => `<Object><Key>${escapeXml(key)}</Key></Object>`).join("");
  const body = `<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>${objects}</Delete>`;
  const response = await client.send(what, {
    method: "POST",
    query: { delete: "" },
    headers: { "content-type": "application/xml" },
    body: new TextEncoder().encode(body),
  });
  if (response.status !== 200) {
    const failure = await client.failure(what, response);
    if (failure.status === 405 || failure.status === 501) return false;
    throw s3Error(what, failure);
  }
  const result = await client.xml(what, response, "DeleteResult");
  const failed = result.children.find(
    (child) => child.name === "Error" && childText(child, "Code") !== "NoSuchKey",
  );
  if (failed !== undefined) throw s3Error(what, failureIn(failed));
  return true;
}

/** Removes the objects; absent ones are no error. @throws AppError `unavailable`, `internal`: some may be removed */
export async function deleteObjects(client: S3Client, keys: readonly string[]): Promise<void> {
  for (let at = 0; at < keys.length; at += DELETE_KEYS) {
    const some = keys.slice(at, at + DELETE_KEYS);
    if (some.length === 1 || !(await deleteMany(client, some))) await deleteEach(client, some);
  }
}
