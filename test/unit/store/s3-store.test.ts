// What the S3 adapter sends, and how it tells answers apart. It meets a real server in test/s3 and test/s3-workerd.
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { S3Config } from "../../../src/model/s3-config.ts";
import { S3Store } from "../../../src/store/s3-store.ts";
import { isAppError } from "../../../src/util/errors.ts";

const SECRET = "secret-that-must-not-be-told";
const config: S3Config = {
  endpoint: new URL("https://s3.example.com"),
  bucket: "blocks",
  region: "eu-west-1",
  accessKeyId: "AKID",
  secretAccessKey: SECRET,
  sessionToken: undefined,
  addressing: "path",
};

interface Sent {
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly body: Uint8Array | undefined;
  readonly init: RequestInit;
}

type Answer = Response | Error | ((sent: Sent) => Response | Promise<Response>);

/** A store whose requests are answered in turn; the last answer goes on. */
function storeWith(
  answers: readonly Answer[],
  changes: Partial<S3Config> = {},
): { store: S3Store; sent: Sent[] } {
  const sent: Sent[] = [];
  const store = new S3Store(
    { ...config, ...changes },
    {
      timeouts: { answerMs: 200, uploadMs: 300 },
      async fetch(url, init) {
        const request = {
          method: init.method ?? "",
          url,
          headers: new Headers(init.headers),
          body: init.body as Uint8Array | undefined,
          init,
        };
        sent.push(request);
        const answer = answers[Math.min(sent.length, answers.length) - 1];
        if (answer instanceof Error) throw answer;
        if (answer === undefined) throw new Error("no answer");
        return typeof answer === "function" ? answer(request) : answer.clone();
      },
    },
  );
  return { store, sent };
}

const range = { offset: 10, length: 6 };
const headersOf206 = { etag: '"e1"', "content-range": "bytes 10-15/100", "content-length": "6" };

/** A 206 for `range`, with these pieces as its body. */
function partial(
  pieces: readonly Uint8Array[],
  headers: Record<string, string> = {},
  failure?: Error,
): Response {
  let at = 0;
  const body = new ReadableStream({
    type: "bytes",
    pull(controller): void {
      const piece = pieces[at++];
      if (piece !== undefined) return controller.enqueue(piece.slice());
      if (failure !== undefined) return controller.error(failure);
      controller.close();
      controller.byobRequest?.respond(0);
    },
  });
  return new Response(body, { status: 206, headers: { ...headersOf206, ...headers } });
}

function refusal(status: number, code: string, headers: Record<string, string> = {}): Response {
  const xml = `<?xml version="1.0"?>\n<Error><Code>${code}</Code><Message>${SECRET}</Message></Error>`;
  return new Response(xml, { status, headers });
}

async function read(store: S3Store): Promise<number> {
  let length = 0;
  for await (const chunk of await store.getRange("k", range, "e1")) length += chunk.length;
  return length;
}

async function errorOf(
  work: Promise<unknown>,
): Promise<{ kind: string; message: string; retryAfterMs?: number }> {
  const error: unknown = await work.then(
    () => new Error("no error"),
    (reason: unknown) => reason,
  );
  if (!isAppError(error)) throw error;
  expect(error.message).not.toContain(SECRET);
  return error as { kind: string; message: string; retryAfterMs?: number };
}

async function listed(store: S3Store): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key, etag, byteLength } of store.list("p/")) keys.push(`${key} ${etag} ${byteLength}`);
  return keys;
}

function listing(objects: string, more = "<IsTruncated>false</IsTruncated>"): Response {
  return new Response(`<ListBucketResult xmlns="x">${more}${objects}</ListBucketResult>`);
}

describe("S3Store: requests", () => {
  test("a put carries both digests and signs them", async () => {
    const { store, sent } = storeWith([new Response(null, { headers: { etag: '"e1"' } })]);
    const body = new TextEncoder().encode("hello");
    expect(await store.put("a b/c+d", body)).toEqual({ key: "a b/c+d", etag: "e1", byteLength: 5 });
    const [{ method, url, headers, init } = { headers: new Headers() } as Sent] = sent;
    expect(`${method} ${url}`).toBe("PUT https://s3.example.com/blocks/a%20b/c%2Bd");
    expect(headers.get("content-md5")).toBe(createHash("md5").update(body).digest("base64"));
    expect(headers.get("x-amz-content-sha256")).toBe(createHash("sha256").update(body).digest("hex"));
    expect(headers.get("authorization")).toMatch(
      /^AWS4-HMAC-SHA256 Credential=AKID\/\d{8}\/eu-west-1\/s3\/aws4_request, SignedHeaders=content-md5;host;x-amz-content-sha256;x-amz-date, Signature=[0-9a-f]{64}$/,
    );
    expect(init).toMatchObject({ redirect: "manual", cache: "no-store" });
  });

  test("a session token is sent and signed", async () => {
    const { store, sent } = storeWith([new Response(null, { headers: { etag: '"e1"' } })], {
      sessionToken: "token",
    });
    await store.put("k", new Uint8Array(1));
    expect(sent[0]?.headers.get("x-amz-security-token")).toBe("token");
    expect(sent[0]?.headers.get("authorization")).toContain("x-amz-security-token");
  });

  test("the bucket's name goes into the path or the host", async () => {
    const answer = new Response(null, { status: 204 });
    const path = storeWith([answer], { endpoint: new URL("http://minio:9000") });
    await path.store.delete(["k"]);
    expect(path.sent[0]?.url).toBe("http://minio:9000/blocks/k");
    const host = storeWith([answer], { endpoint: new URL("http://minio:9000"), addressing: "virtual-host" });
    await host.store.delete(["k"]);
    expect(host.sent[0]?.url).toBe("http://blocks.minio:9000/k");
  });

  test("a get asks for exactly the range, on condition of the etag", async () => {
    const { store, sent } = storeWith([() => partial([new Uint8Array(4), new Uint8Array(2)])]);
    expect(await read(store)).toBe(6);
    expect(sent).toHaveLength(1);
    expect(sent[0]?.headers.get("range")).toBe("bytes=10-15");
    expect(sent[0]?.headers.get("if-match")).toBe('"e1"');
  });

  test("conditional puts send the condition; GCS, which ignores it, is never asked", async () => {
    const ok = new Response(null, { headers: { etag: '"e2"' } });
    const { store, sent } = storeWith([ok]);
    await store.putIf("k", new Uint8Array(1), { absent: true });
    await store.putIf("k", new Uint8Array(1), { etag: "e1" });
    expect(sent.map(({ headers }) => [headers.get("if-none-match"), headers.get("if-match")])).toEqual([
      ["*", null],
      [null, '"e1"'],
    ]);
    const gcs = storeWith([ok], { endpoint: new URL("https://storage.googleapis.com") });
    const error = await errorOf(gcs.store.putIf("k", new Uint8Array(1), { absent: true }));
    expect(error.kind).toBe("internal");
    expect(gcs.sent).toEqual([]);
  });

  test("no part of a key is . or ..: an address cannot say that", async () => {
    const { store, sent } = storeWith([new Response(null)]);
    await expect(store.put("a/../b", new Uint8Array(1))).rejects.toThrow("assertion failed");
    expect(sent).toEqual([]);
  });
});

describe("S3Store: ranges", () => {
  test.each([
    ["412", refusal(412, "PreconditionFailed"), "corrupt"],
    ["416", refusal(416, "InvalidRange"), "corrupt"],
    ["404", refusal(404, "NoSuchKey"), "not_found"],
    ["404 of the bucket", refusal(404, "NoSuchBucket"), "internal"],
    ["404 of something else", new Response("<html>not here", { status: 404 }), "internal"],
    ["other etag", partial([new Uint8Array(6)], { etag: '"e2"' }), "corrupt"],
    ["no etag", partial([new Uint8Array(6)], { etag: "" }), "corrupt"],
    ["object too short", partial([new Uint8Array(5)], { "content-range": "bytes 10-14/15" }), "corrupt"],
    ["other range", partial([new Uint8Array(6)], { "content-range": "bytes 0-5/100" }), "unavailable"],
    ["no range", partial([new Uint8Array(6)], { "content-range": "" }), "unavailable"],
    ["short body", partial([new Uint8Array(5)]), "corrupt"],
    ["no body", partial([]), "corrupt"],
    ["long body", partial([new Uint8Array(6), new Uint8Array(1)]), "corrupt"],
    ["broken body", partial([new Uint8Array(3)], {}, new Error("connection lost")), "unavailable"],
  ])("%s is %s", async (_, answer, kind) => {
    const { store } = storeWith([() => answer]);
    expect((await errorOf(read(store))).kind).toBe(kind);
  });

  test("200 instead of 206: right for the whole object, refused for a part", async () => {
    const whole = () => new Response(new Uint8Array(6), { headers: { etag: '"e1"', "content-length": "6" } });
    const { store } = storeWith([whole]);
    let length = 0;
    for await (const chunk of await store.getRange("k", { offset: 0, length: 6 }, "e1"))
      length += chunk.length;
    expect(length).toBe(6);
    const error = await errorOf(read(store));
    expect(error).toMatchObject({ kind: "internal", message: expect.stringContaining("ignores ranges") });
  });

  test("a weak etag of a proxy is the same etag", async () => {
    const { store } = storeWith([() => partial([new Uint8Array(6)], { etag: 'W/"e1"' })]);
    expect(await read(store)).toBe(6);
  });

  test("an answer that never comes, and a body that stops, are unavailable and end the request", async () => {
    let aborted = false;
    const silent = storeWith([
      ({ init }) => new Promise(() => init.signal?.addEventListener("abort", () => (aborted = true))),
    ]);
    const error = await errorOf(read(silent.store));
    expect(error).toMatchObject({ kind: "unavailable", message: "get of k: no answer in 200 ms" });
    expect(aborted).toBe(true);

    let cancelled = false;
    const body = new ReadableStream({
      type: "bytes",
      start: (controller) => controller.enqueue(new Uint8Array(3)),
      pull: () => new Promise(() => undefined),
      cancel: () => void (cancelled = true),
    });
    const stuck = storeWith([() => new Response(body, { status: 206, headers: headersOf206 })]);
    expect((await errorOf(read(stuck.store))).kind).toBe("unavailable");
    expect(cancelled).toBe(true);
  });
});

describe("S3Store: refusals", () => {
  test.each([
    [500, "InternalError"],
    [502, "BadGateway"],
    [503, "SlowDown"],
    [504, "GatewayTimeout"],
    [429, "TooManyRequests"],
    [408, "RequestTimeout"],
    [400, "RequestTimeout"],
    [400, "BadDigest"],
    [400, "XAmzContentSHA256Mismatch"],
    [409, "ConditionalRequestConflict"],
  ])("%i %s is unavailable for every method", async (status, code) => {
    const { store } = storeWith([
      refusal(status, code, { "retry-after": "7", "x-amz-request-id": "REQ/1=" }),
    ]);
    for (const work of [
      () => read(store),
      () => store.put("k", new Uint8Array(1)),
      () => store.putIf("k", new Uint8Array(1), { absent: true }),
      () => store.startUpload("k"),
      () => store.delete(["k"]),
      () => store.delete(["k", "l"]),
      () => listed(store),
    ]) {
      const error = await errorOf(work());
      expect(error).toMatchObject({ kind: "unavailable", retryAfterMs: 7000 });
      expect(error.message).toMatch(new RegExp(`: answer ${status} ${code} \\(request REQ/1=\\)$`));
    }
  });

  test.each([
    [403, "SignatureDoesNotMatch", "check S3_SECRET_ACCESS_KEY and S3_REGION"],
    [403, "InvalidAccessKeyId", "check S3_ACCESS_KEY_ID"],
    [403, "AccessDenied", "must be allowed to get, put, delete and list"],
    [403, "RequestTimeTooSkewed", "clocks"],
    [403, "SomethingElse", "check S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY and their permissions"],
    [401, "Unauthorized", "check S3_ACCESS_KEY_ID"],
    [400, "ExpiredToken", "S3_SESSION_TOKEN has expired"],
    [400, "AuthorizationHeaderMalformed", "check S3_REGION"],
    [404, "NoSuchBucket", "check S3_BUCKET"],
    [301, "PermanentRedirect", "redirected: check S3_ENDPOINT, S3_REGION and S3_ADDRESSING"],
    [307, "TemporaryRedirect", "redirected"],
    [405, "MethodNotAllowed", "which Rubato does not expect"],
  ])("%i %s says what to check", async (status, code, advice) => {
    const location = "https://evil.example.com/";
    const { store, sent } = storeWith([refusal(status, code, { location })]);
    const error = await errorOf(store.put("k", new Uint8Array(1)));
    expect(error.kind).toBe("internal");
    expect(error.message).toContain(advice);
    expect(sent).toHaveLength(1);
  });

  test("Retry-After that is no number of seconds is ignored, a long one is cut", async () => {
    for (const [header, ms] of [
      ["soon", undefined],
      ["-1", undefined],
      ["Wed, 21 Oct 2026 07:28:00 GMT", undefined],
      ["999999", 600_000],
    ] as const) {
      const { store } = storeWith([refusal(503, "SlowDown", { "retry-after": header })]);
      expect((await errorOf(store.delete(["k"]))).retryAfterMs).toBe(ms);
    }
  });

  test("a refusal in HTML, in a million bytes, or that breaks off, is told without a code", async () => {
    const broken = new ReadableStream({ start: (controller) => controller.error(new Error("reset")) });
    for (const body of ["<html><p>503", "x".repeat(1_000_000), broken, null]) {
      const { store } = storeWith([() => new Response(body as BodyInit | null, { status: 503 })]);
      expect(await errorOf(store.delete(["k"]))).toMatchObject({
        kind: "unavailable",
        message: "delete of k: answer 503",
      });
    }
  });

  test("a server's texts do not get into messages", async () => {
    const { store } = storeWith([refusal(503, `Slow ${SECRET}`, { "x-amz-request-id": `<${SECRET}>` })]);
    expect((await errorOf(store.delete(["k"]))).message).toBe("delete of k: answer 503");
  });

  test("a network failure is unavailable and keeps its cause", async () => {
    const down = new TypeError("fetch failed");
    const { store } = storeWith([down]);
    await expect(store.put("k", new Uint8Array(1))).rejects.toMatchObject({
      kind: "unavailable",
      cause: down,
    });
  });

  test("a put whose answer has no etag is unavailable: it is unknown what was stored", async () => {
    const { store } = storeWith([new Response(null)]);
    expect((await errorOf(store.put("k", new Uint8Array(1)))).kind).toBe("unavailable");
  });
});

describe("S3Store: lists", () => {
  const entry = (key: string) =>
    `<Contents><Key>${key}</Key><ETag>&quot;e&quot;</ETag><Size>7</Size></Contents>`;

  test("follows the token; decodes keys only if the server says they are encoded", async () => {
    const more = "<IsTruncated>true</IsTruncated><NextContinuationToken>a+b/=</NextContinuationToken>";
    const { store, sent } = storeWith([
      listing(entry("p/a%20b%2Bc+d&amp;%C3%A9"), `${more}<EncodingType>url</EncodingType>`),
      listing(entry("p/a%20b+c")),
    ]);
    expect(await listed(store)).toEqual(["p/a b+c d&\u00e9 e 7", "p/a%20b+c e 7"]);
    const queries = sent.map(({ url }) => Object.fromEntries(new URL(url).searchParams));
    const first = { "list-type": "2", "encoding-type": "url", prefix: "p/" };
    expect(queries).toEqual([first, { ...first, "continuation-token": "a+b/=" }]);
  });

  test.each([
    ["HTML", new Response("<html><body>hello</body>")],
    ["nothing", new Response("")],
    ["other XML", new Response("<ListAllMyBucketsResult/>")],
    ["cut short", new Response("<ListBucketResult><Contents><Key>a")],
    ["an error in a success", new Response("<Error><Code>InternalError</Code></Error>")],
    ["no size", listing("<Contents><Key>a</Key><ETag>e</ETag></Contents>")],
    ["no key", listing("<Contents><ETag>e</ETag><Size>1</Size></Contents>")],
    ["wrong encoding", listing(entry("%zz"), "<EncodingType>url</EncodingType>")],
    ["no token", listing(entry("a"), "<IsTruncated>true</IsTruncated>")],
    ["too many elements", listing("<a/>".repeat(60_000))],
    ["longer than 8 MiB", new Response("x".repeat(8 * 1024 * 1024 + 1))],
  ])("%s is unavailable", async (_, answer) => {
    const { store } = storeWith([answer]);
    expect((await errorOf(listed(store))).kind).toBe("unavailable");
  });

  test("a body without end is given up at 8 MiB, one that stops after the timeout", async () => {
    let pulled = 0;
    const endless = new ReadableStream({
      pull(controller): void {
        pulled += 1;
        controller.enqueue(new Uint8Array(64 * 1024).fill(32));
      },
    });
    const { store } = storeWith([() => new Response(endless)]);
    expect((await errorOf(listed(store))).message).toContain("longer than 8388608 bytes");
    expect(pulled).toBeLessThan(140);
    const stuck = new ReadableStream({ pull: () => new Promise(() => undefined) });
    const silent = storeWith([() => new Response(stuck)]);
    expect((await errorOf(listed(silent.store))).message).toContain("no answer in 200 ms");
  });

  test("a server that repeats a page does not make an endless list", async () => {
    const more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>";
    const { store, sent } = storeWith([listing(entry("p/a"), more)]);
    expect((await errorOf(listed(store))).message).toContain("repeats a page");
    expect(sent).toHaveLength(2);
  });
});

describe("S3Store: deletes", () => {
  const done = () => new Response("<DeleteResult/>");

  test("many in requests of at most 1,000 keys, a single one by itself", async () => {
    const { store, sent } = storeWith([
      ({ method }) => (method === "POST" ? done() : new Response(null, { status: 204 })),
    ]);
    await store.delete(Array.from({ length: 2001 }, (_, i) => `k<&>${i}`));
    expect(sent.map(({ method }) => method)).toEqual(["POST", "POST", "DELETE"]);
    expect(sent[0]?.url).toBe("https://s3.example.com/blocks/?delete=");
    const body = new TextDecoder().decode(sent[0]?.body);
    expect(body.match(/<Object>/g)).toHaveLength(1000);
    expect(body).toContain("<Key>k&#60;&#38;&#62;999</Key>");
    expect(sent[0]?.headers.get("content-md5")).toMatch(/==$/);
  });

  test.each([405, 501])("%i: one by one where the server cannot delete many", async (status) => {
    const { store, sent } = storeWith([
      ({ method, url }) => {
        if (method === "POST") return refusal(status, "NotImplemented");
        return url.endsWith("/b") ? refusal(404, "NoSuchKey") : new Response(null, { status: 204 });
      },
    ]);
    await store.delete(["a", "b", "c", "d", "e", "f"]);
    expect(sent.map(({ method }) => method).join(" ")).toBe(`POST${" DELETE".repeat(6)}`);
  });

  test("an object that could not be deleted fails the call", async () => {
    const result = (code: string) =>
      new Response(
        `<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>${code}</Code></Error></DeleteResult>`,
      );
    const kinds = ["InternalError", "SlowDown", "AccessDenied"].map(async (code) => {
      return (await errorOf(storeWith([result(code)]).store.delete(["a", "b"]))).kind;
    });
    expect(await Promise.all(kinds)).toEqual(["unavailable", "unavailable", "internal"]);
    await storeWith([result("NoSuchKey")]).store.delete(["a", "b"]);
  });

  test("nothing to delete is no request", async () => {
    const { store, sent } = storeWith([done()]);
    await store.delete([]);
    expect(sent).toEqual([]);
  });
});

describe("S3Store: uploads", () => {
  const started = new Response(
    "<InitiateMultipartUploadResult><UploadId>u&amp;1</UploadId></InitiateMultipartUploadResult>",
  );
  const part = new Response(null, { headers: { etag: '"p1"' } });
  const completed = new Response(
    "  \n<CompleteMultipartUploadResult><ETag>&quot;e-1&quot;</ETag></CompleteMultipartUploadResult>",
  );

  test("start, part, completion", async () => {
    const { store, sent } = storeWith([started, part, completed]);
    const upload = await store.startUpload("k");
    await upload.addPart(new Uint8Array(9));
    expect(await upload.complete()).toEqual({ key: "k", etag: "e-1", byteLength: 9 });
    expect(sent.map(({ method, url }) => `${method} ${url.slice(url.indexOf("/k"))}`)).toEqual([
      "POST /k?uploads=",
      "PUT /k?partNumber=1&uploadId=u%261",
      "POST /k?uploadId=u%261",
    ]);
    expect(sent[1]?.headers.get("content-md5")).not.toBeNull();
    expect(new TextDecoder().decode(sent[2]?.body)).toContain(
      "<PartNumber>1</PartNumber><ETag>&#34;p1&#34;</ETag>",
    );
    await upload.abort();
    expect(sent).toHaveLength(3);
  });

  test("an error in an answer that began with 200 is one; the upload can then be aborted", async () => {
    const failed = new Response("<Error><Code>InternalError</Code></Error>");
    const { store, sent } = storeWith([started, part, failed, new Response(null, { status: 204 })]);
    const upload = await store.startUpload("k");
    await upload.addPart(new Uint8Array(9));
    expect((await errorOf(upload.complete())).kind).toBe("unavailable");
    await upload.abort();
    expect(sent.at(-1)?.method).toBe("DELETE");
  });

  test("an upload that is gone: unavailable for a part, nothing to abort", async () => {
    const { store } = storeWith([started, refusal(404, "NoSuchUpload")]);
    const upload = await store.startUpload("k");
    expect((await errorOf(upload.addPart(new Uint8Array(9)))).kind).toBe("unavailable");
    await upload.abort();
  });

  test("a start without an id, a part without an etag", async () => {
    const noId = storeWith([new Response("<InitiateMultipartUploadResult/>")]);
    expect((await errorOf(noId.store.startUpload("k"))).kind).toBe("unavailable");
    const noEtag = storeWith([started, new Response(null)]);
    const upload = await noEtag.store.startUpload("k");
    expect((await errorOf(upload.addPart(new Uint8Array(9)))).kind).toBe("unavailable");
  });
});
