// The objects of remote-store.ts, in memory. A process of the bench: prints its port for whoever began it.
import { createServer } from "node:http";

const objects = new Map<string, Buffer>();

const server = createServer((request, response) => {
  const url = new URL(request.url ?? "/", "http://bench");
  const part = url.searchParams.get("part");
  const key = part === null ? url.pathname : `${url.pathname}?${part}`;
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    if (request.method === "PUT") objects.set(key, Buffer.concat(chunks));
    if (request.method === "DELETE") objects.delete(key);
    if (request.method === "POST") {
      const parts = Array.from({ length: Number(url.searchParams.get("parts")) }, (_, i) => `${key}?${i}`);
      objects.set(key, Buffer.concat(parts.map((name) => objects.get(name) ?? Buffer.alloc(0))));
      for (const name of parts) objects.delete(name);
    }
    const object = objects.get(key);
    if (request.method !== "GET") return response.end();
    if (object === undefined) return response.writeHead(404).end();
    const offset = Number(url.searchParams.get("offset"));
    return response.end(object.subarray(offset, offset + Number(url.searchParams.get("length"))));
  });
});

server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  console.log(typeof address === "object" ? address?.port : undefined);
});
