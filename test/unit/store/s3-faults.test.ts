// The S3 adapter over real sockets that misbehave.
import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { S3Store } from "../../../src/store/s3-store.ts";

const servers: Server[] = [];
const sockets = new Set<Socket>();
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

/** A store whose server does `onRequest` once the head of a request has come. */
async function storeAgainst(onRequest: (socket: Socket, head: string) => void): Promise<S3Store> {
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("data", (head) => onRequest(socket, head.toString("latin1")));
  });
  servers.push(server.listen(0, "127.0.0.1"));
  await once(server, "listening");
  return storeAt((server.address() as AddressInfo).port);
}

function storeAt(port: number): S3Store {
  return new S3Store(
    {
      endpoint: new URL(`http://127.0.0.1:${port}`),
      bucket: "blocks",
      region: "auto",
      accessKeyId: "AKID",
      secretAccessKey: "secret",
      sessionToken: undefined,
      addressing: "path",
    },
    { timeouts: { answerMs: 300, uploadMs: 500 } },
  );
}

const HEAD = 'HTTP/1.1 206 Partial Content\r\netag: "e1"\r\ncontent-range: bytes 0-9/100\r\n';

async function read(store: S3Store): Promise<number> {
  let length = 0;
  for await (const chunk of await store.getRange("k", { offset: 0, length: 10 }, "e1"))
    length += chunk.length;
  return length;
}

describe("S3Store over sockets", () => {
  test("a good answer in pieces", async () => {
    const store = await storeAgainst((socket) => {
      socket.write(`${HEAD}content-length: 10\r\n\r\nabc`);
      setTimeout(() => socket.end("defghij"), 20);
    });
    expect(await read(store)).toBe(10);
  });

  test.each<[string, string, (socket: Socket) => void]>([
    ["reset before the answer", "unavailable", (socket) => socket.resetAndDestroy()],
    ["closed before the answer", "unavailable", (socket) => socket.end()],
    ["no HTTP", "unavailable", (socket) => socket.end("SSH-2.0-OpenSSH_9.9\r\n")],
    [
      "reset in the body",
      "unavailable",
      (socket) => socket.write(`${HEAD}content-length: 10\r\n\r\nabc`, () => socket.resetAndDestroy()),
    ],
    [
      "closed in the body: Content-Length promised more",
      "unavailable",
      (socket) => socket.end(`${HEAD}content-length: 10\r\n\r\nabc`),
    ],
    [
      "cut in a chunked body",
      "unavailable",
      (socket) => socket.end(`${HEAD}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n`),
    ],
    [
      "whole, but shorter than the range",
      "corrupt",
      (socket) => socket.end(`${HEAD}content-length: 3\r\n\r\nabc`),
    ],
    [
      "chunked, but shorter than the range",
      "corrupt",
      (socket) => socket.end(`${HEAD}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`),
    ],
    [
      "longer than the range",
      "corrupt",
      (socket) => socket.end(`${HEAD}content-length: 11\r\n\r\nabcdefghijk`),
    ],
    ["silent", "unavailable", () => undefined],
    ["silent in the body", "unavailable", (socket) => socket.write(`${HEAD}content-length: 10\r\n\r\nabc`)],
  ])("get: %s is %s", async (_, kind, act) => {
    const store = await storeAgainst(act);
    await expect(read(store)).rejects.toMatchObject({ name: "AppError", kind });
  });

  test("nobody listens: unavailable", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    await expect(storeAt(port).put("k", new Uint8Array(1))).rejects.toMatchObject({ kind: "unavailable" });
  });

  test("an upload that the server does not read ends after its time", async () => {
    const store = await storeAgainst((socket) => socket.pause());
    const started = performance.now();
    await expect(store.put("k", new Uint8Array(20_000_000))).rejects.toMatchObject({
      kind: "unavailable",
      message: "put of k: no answer in 500 ms",
    });
    expect(performance.now() - started).toBeLessThan(3000);
  });

  test("a redirect is not followed: the request was signed for one host", async () => {
    const seen: string[] = [];
    const store = await storeAgainst((socket, head) => {
      seen.push(head.slice(0, head.indexOf(" HTTP")));
      const { localPort } = socket;
      socket.end(
        `HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:${localPort}/elsewhere\r\ncontent-length: 0\r\n\r\n`,
      );
    });
    await expect(read(store)).rejects.toMatchObject({
      kind: "internal",
      message: expect.stringContaining("redirected: check S3_ENDPOINT"),
    });
    expect(seen).toEqual(["GET /blocks/k"]);
  });

  test("SlowDown with Retry-After says when to come back", async () => {
    const xml = "<Error><Code>SlowDown</Code></Error>";
    const store = await storeAgainst((socket) => {
      socket.end(`HTTP/1.1 503 Slow Down\r\nretry-after: 3\r\ncontent-length: ${xml.length}\r\n\r\n${xml}`);
    });
    await expect(store.put("k", new Uint8Array(1))).rejects.toMatchObject({
      kind: "unavailable",
      retryAfterMs: 3000,
    });
  });
});
