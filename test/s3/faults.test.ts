// What a real server refuses, and a connection to it that breaks.
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { buffer } from "node:stream/consumers";
import { afterAll, describe, expect, inject, test } from "vitest";
import type { S3Config } from "../../src/model/s3-config.ts";
import type { Fetch } from "../../src/store/s3-client.ts";
import { S3Store } from "../../src/store/s3-store.ts";
import { s3Config, startS3Server } from "../support/s3-server.ts";

const access = inject("s3");
if ("missing" in access) throw new Error(access.missing);
const config = s3Config(access);
const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => (i * i) >>> 3);
const ends: (() => unknown)[] = [];
afterAll(async () => {
  for (const end of ends) await end();
});

async function keysOf(store: S3Store, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  return keys;
}

/** Changes one bit of every body. */
const damaging: Fetch = (url, init) => {
  if (init.body === undefined) return fetch(url, init);
  const body = (init.body as Uint8Array).slice();
  body[body.length >> 1] = (body[body.length >> 1] ?? 0) ^ 1;
  return fetch(url, { ...init, body });
};

/** Requests to any name go to this machine; `fetch` has no way to say that. */
const overLoopback: Fetch = async (url, init) => {
  const sent = request(url, {
    method: init.method ?? "GET",
    headers: Object.fromEntries(init.headers as Headers),
    lookup: (_, __, found) => found(null, [{ address: "127.0.0.1", family: 4 }]),
  });
  sent.end(init.body as Uint8Array | undefined);
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  const headers = new Headers();
  for (const [name, values = []] of Object.entries(answer.headersDistinct)) headers.set(name, values.join());
  const body = await buffer(answer);
  const status = answer.statusCode ?? 0;
  return new Response(status === 204 ? null : new Uint8Array(body), { status, headers });
};

describe("S3Store against versitygw", () => {
  test("an upload that is damaged on its way is refused and leaves nothing", async () => {
    const store = new S3Store(config, { fetch: damaging });
    const refused = {
      kind: "unavailable",
      message: expect.stringMatching(/answer 400 (BadDigest|XAmzContentSHA256Mismatch)/),
    };
    await expect(store.put("faults/damaged", bytes)).rejects.toMatchObject(refused);
    const upload = await store.startUpload("faults/damaged");
    await expect(upload.addPart(bytes)).rejects.toMatchObject(refused);
    await upload.abort();
    expect(await keysOf(new S3Store(config), "faults/damaged")).toEqual([]);
  });

  test.each<[string, Partial<S3Config>, RegExp]>([
    ["secret", { secretAccessKey: "another" }, /403 SignatureDoesNotMatch, check S3_SECRET_ACCESS_KEY/],
    [
      "key id",
      { accessKeyId: "another" },
      / (InvalidAccessKeyId|XAdminUserNotFound), check S3_ACCESS_KEY_ID/,
    ],
    ["region", { region: "us-west-9" }, /400 AuthorizationHeaderMalformed, check S3_REGION/],
    ["bucket", { bucket: "another" }, /404 NoSuchBucket, check S3_BUCKET/],
  ])("a wrong %s: an internal error that says what to check", async (_, changes, message) => {
    const store = new S3Store({ ...config, ...changes });
    const expected = { kind: "internal", message: expect.stringMatching(message) };
    await expect(store.put("faults/wrong", bytes)).rejects.toMatchObject(expected);
    await expect(store.list("faults/").next()).rejects.toMatchObject(expected);
    await expect(store.getRange("faults/wrong", { offset: 0, length: 1 }, "e")).rejects.toMatchObject(
      expected,
    );
    await expect(store.put("faults/wrong", bytes)).rejects.not.toThrow(config.secretAccessKey);
  });

  test("the bucket's name in the host", async () => {
    const server = await startS3Server("virtual.test");
    ends.push(() => server.stop());
    const port = new URL(server.access.endpoint).port;
    const endpoint = new URL(`http://virtual.test:${port}`);
    const store = new S3Store(s3Config(server.access, { endpoint, addressing: "virtual-host" }), {
      fetch: overLoopback,
    });
    await expect.poll(() => keysOf(store, "").catch(() => "not up")).toEqual([]);
    const { etag } = await store.put("a/b c", bytes);
    expect(await keysOf(store, "a/")).toEqual(["a/b c"]);
    const stream = await store.getRange("a/b c", { offset: 5, length: 2 }, etag);
    expect(new Uint8Array(await new Response(stream as BodyInit).arrayBuffer())).toEqual(bytes.slice(5, 7));
    await store.delete(["a/b c", "none"]);
    expect(await keysOf(store, "")).toEqual([]);
  });
});

/** A store that reaches the server through a proxy, which cuts each connection after `limit` bytes of answers. */
async function throughProxy(limit: () => number): Promise<S3Store> {
  const { hostname, port } = new URL(config.endpoint);
  const proxy: Server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    let left = limit();
    upstream.on("data", (chunk: Buffer) => {
      const part = chunk.subarray(0, left);
      left -= part.length;
      client.write(part, () => (left === 0 ? client.resetAndDestroy() : undefined));
    });
    client.on("data", (chunk) => upstream.write(chunk));
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  ends.push(() => proxy.close());
  const endpoint = new URL(`http://127.0.0.1:${(proxy.address() as AddressInfo).port}`);
  return new S3Store({ ...config, endpoint }, { timeouts: { answerMs: 2000, uploadMs: 2000 } });
}

describe("S3Store through a connection that breaks", () => {
  test.each([0, 1, 200, 5000, 200_000])(
    "cut after %i bytes of answers: unavailable, then whole",
    async (limit) => {
      let cut = Number.MAX_SAFE_INTEGER;
      const store = await throughProxy(() => cut);
      const key = `faults/cut-${limit}`;
      const { etag } = await store.put(key, bytes);
      const whole = async () => {
        const stream = await store.getRange(key, { offset: 0, length: bytes.length }, etag);
        return new Uint8Array(await new Response(stream as BodyInit).arrayBuffer());
      };
      expect(await whole()).toEqual(bytes);

      cut = limit;
      const broken = await throughProxy(() => cut);
      const range = { offset: 0, length: bytes.length };
      const readBroken = async () =>
        new Response((await broken.getRange(key, range, etag)) as BodyInit).arrayBuffer();
      await expect(readBroken()).rejects.toMatchObject({ kind: "unavailable" });
      cut = Number.MAX_SAFE_INTEGER;
      expect(await whole()).toEqual(bytes);
    },
  );

  test("an answer that is lost: the put is unavailable though the object is there, the same put again is harmless", async () => {
    const lost = await throughProxy(() => 0);
    await expect(lost.put("faults/lost", bytes)).rejects.toMatchObject({ kind: "unavailable" });
    const store = new S3Store(config);
    await expect.poll(() => keysOf(store, "faults/lost")).toEqual(["faults/lost"]);
    const { etag } = await store.put("faults/lost", bytes);
    const stream = await store.getRange("faults/lost", { offset: 0, length: 3 }, etag);
    expect(new Uint8Array(await new Response(stream as BodyInit).arrayBuffer())).toEqual(bytes.slice(0, 3));
  });
});
