// Signed requests to one bucket over HTTP, each with an end in time. No retries: a caller knows what a second attempt
// is worth, and its own would multiply with these.
import { createHash } from "node:crypto";
import { AwsV4Signer } from "aws4fetch";
import type { S3Config } from "../model/s3-config.ts";
import { assert } from "../util/assert.ts";
import { AppError, messageOf } from "../util/errors.ts";
import type { S3Failure } from "./s3-errors.ts";
import { codeIn, failureIn, retryAfterOf, s3Error } from "./s3-errors.ts";
import type { XmlElement } from "./s3-xml.ts";
import { parseXml } from "./s3-xml.ts";

/** The part of `fetch` that is needed: one request with its options. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface S3Timeouts {
  /**
   * Milliseconds that a request without a body may take until its answer begins, each next piece of an object, and
   * the whole of any other answer.
   */
  readonly answerMs: number;
  /** Milliseconds that a request with a body may take until its answer begins. */
  readonly uploadMs: number;
}

// S3's answers begin within 100-200 ms; a lookup rather says PARTIAL than waits longer than a user does.
// 100 MB in 2 minutes is 0.8 MB/s.
export const S3_TIMEOUTS: S3Timeouts = { answerMs: 15_000, uploadMs: 120_000 };

export interface S3Request {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** Absent for requests to the bucket itself. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Must stay unchanged until the answer has begun. */
  readonly body?: Uint8Array;
}

/** What is done to what, for the text of errors: "put of key". */
export type What = string;

// 1,000 keys of 1,024 bytes, percent-encoded, with 500 bytes about each: 3.6 MB.
const ANSWER_BYTES_MAX = 8 * 1024 * 1024;
// An error's XML; SignatureDoesNotMatch repeats the request in about 3 KB.
const ERROR_BYTES_MAX = 64 * 1024;

/** RFC 3986, as signatures demand: encodeURIComponent leaves five characters that must be encoded. */
function encodeKey(key: string): string {
  // An address has no way to say `.` or `..` but as a path; no key of Rubato's has them.
  assert(!/(^|\/)\.{1,2}(\/|$)/.test(key), "no part of a key is `.` or `..`");
  return encodeURIComponent(key)
    .replaceAll("%2F", "/")
    .replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

function address({ endpoint, bucket, addressing }: S3Config, { key, query }: S3Request): string {
  const url = new URL(endpoint);
  const path = key === undefined ? "" : encodeKey(key);
  if (addressing === "virtual-host") url.hostname = `${bucket}.${endpoint.hostname}`;
  url.pathname = addressing === "virtual-host" ? `/${path}` : `/${bucket}/${path}`;
  for (const [name, value] of Object.entries(query ?? {})) url.searchParams.set(name, value);
  return url.href;
}

/**
 * Both digests of a body: SHA-256 is part of the signature, so that every server refuses a damaged or changed body,
 * also without TLS; GCS documents the check of the MD5 only, and DeleteObjects demands it. In workerd 5 MB take 4 ms and 12 ms.
 */
function digests(body: Uint8Array | undefined): Record<string, string> {
  const sha256 = createHash("sha256")
    .update(body ?? new Uint8Array(0))
    .digest("hex");
  if (body === undefined) return { "x-amz-content-sha256": sha256 };
  return { "x-amz-content-sha256": sha256, "content-md5": createHash("md5").update(body).digest("base64") };
}

/** Settles as `work` does, or fails as `unavailable` after `ms`; `work` is then told by its signal. */
async function within<T>(ms: number, what: What, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = new AppError("unavailable", `${what}: no answer in ${ms} ms`);
      reject(error);
      abort.abort(error);
    }, ms);
  });
  try {
    return await Promise.race([work(abort.signal), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The whole body, if it is not longer than `max` bytes and has come after `ms`. */
async function readAll(body: ReadableStream | null, what: What, max: number, ms: number): Promise<string> {
  if (body === null) return "";
  const reader: ReadableStreamDefaultReader<Uint8Array> = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let length = 0;
  try {
    return await within(ms, what, async () => {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return text + decoder.decode();
        length += value.length;
        if (length > max) throw new AppError("unavailable", `${what}: answer is longer than ${max} bytes`);
        text += decoder.decode(value, { stream: true });
      }
    });
  } catch (error) {
    // Not awaited: a body that hangs may hang here, too.
    void reader.cancel(error).catch(() => undefined);
    if (error instanceof AppError) throw error;
    throw new AppError("unavailable", `${what}: ${messageOf(error)}`, { cause: error });
  }
}

export class S3Client {
  readonly #config: S3Config;
  readonly #fetch: Fetch;
  readonly timeouts: S3Timeouts;
  // Signing keys by day: derived with four HMACs, then good for a day.
  readonly #signingKeys = new Map<string, ArrayBuffer>();

  constructor(config: S3Config, fetcher: Fetch, timeouts: S3Timeouts) {
    this.#config = config;
    this.#fetch = fetcher;
    this.timeouts = timeouts;
  }

  /**
   * Sends a request; its body and its answer's head have their time, the answer's body has none yet.
   * @throws AppError `unavailable` when no answer comes
   */
  async send(what: What, request: S3Request): Promise<Response> {
    const { body } = request;
    const { accessKeyId, secretAccessKey, sessionToken, region } = this.#config;
    const signer = new AwsV4Signer({
      method: request.method,
      url: address(this.#config, request),
      headers: { ...request.headers, ...digests(body) },
      service: "s3",
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
      region,
      cache: this.#signingKeys,
    });
    const { url, headers } = await signer.sign();
    const { answerMs, uploadMs } = this.timeouts;
    return within(body === undefined ? answerMs : uploadMs, what, async (signal) => {
      try {
        return await this.#fetch(url.href, {
          method: request.method,
          headers,
          signal,
          // A redirect is refused: the signature is for one host.
          redirect: "manual",
          // Ranges of replaced objects must not come from the edge's cache.
          cache: "no-store",
          ...(body === undefined ? {} : { body }),
        });
      } catch (error) {
        throw new AppError("unavailable", `${what}: ${messageOf(error)}`, { cause: error });
      }
    });
  }

  /** Reads an answer that is no success, for `s3Error`. Never throws: a broken body is an error without code. */
  async failure(what: What, response: Response): Promise<S3Failure> {
    const text = await readAll(response.body, what, ERROR_BYTES_MAX, this.timeouts.answerMs).catch(() => "");
    let code: string | undefined;
    try {
      code = codeIn(parseXml(text));
    } catch {
      // Proxies answer in HTML.
    }
    const requestId = response.headers.get("x-amz-request-id") ?? "";
    return {
      status: response.status,
      code,
      requestId: /^[\w+/=-]{1,128}$/.test(requestId) ? requestId : undefined,
      retryAfterMs: retryAfterOf(response.headers.get("retry-after")),
    };
  }

  /** The XML of a success; an error in it (S3 begins long answers with 200 before it knows) is thrown. */
  async xml(what: What, response: Response, root: string, ms?: number): Promise<XmlElement> {
    const text = await readAll(response.body, what, ANSWER_BYTES_MAX, ms ?? this.timeouts.answerMs);
    let element: XmlElement;
    try {
      element = parseXml(text);
    } catch (error) {
      throw new AppError("unavailable", `${what}: answer is no XML: ${messageOf(error)}`, { cause: error });
    }
    if (element.name === "Error") throw s3Error(what, failureIn(element));
    if (element.name !== root) {
      throw new AppError("unavailable", `${what}: answer is a ${element.name}, not a ${root}`);
    }
    return element;
  }

  /** `send`, with every answer but 200 and 204 thrown. */
  async ask(what: What, request: S3Request): Promise<Response> {
    const response = await this.send(what, request);
    if (response.status === 200 || response.status === 204) return response;
    throw s3Error(what, await this.failure(what, response));
  }

  /** Waits for the next piece of an answer's body. */
  within<T>(what: What, work: Promise<T>): Promise<T> {
    return within(this.timeouts.answerMs, what, () => work);
  }
}

/** Lets go of a body that nobody reads, so that its connection is free. */
export function drop(response: Response): void {
  // Not awaited: a body that hangs may hang here, too.
  void response.body?.cancel().catch(() => undefined);
}
