// POST /api/traces: Jaeger's Thrift over HTTP. (GET /api/traces/{id} is the query API's.)
import { type Context, Hono } from "hono";
import { convertBatch } from "../../jaeger/batch.ts";
import type { ThriftProtocol } from "../../util/thrift-reader.ts";
import {
  convertAndIngest,
  type ConvertPorts,
  methodNotAllowed,
  unsupportedMediaType,
} from "../convert-ingest.ts";
import type { AppDeps, AppEnv } from "../deps.ts";
import type { FindEntry } from "../ingest-entry.ts";
import { mediaTypeOf } from "../media-type.ts";

export const JAEGER_PATH = "/api/traces";

/** Clients send the first with the binary protocol; agents' payloads behind it may be compact, which the bytes tell. */
const PROTOCOLS: ReadonlyMap<string, ThriftProtocol | undefined> = new Map([
  ["application/x-thrift", undefined],
  ["application/vnd.apache.thrift.binary", "binary"],
  ["application/vnd.apache.thrift.compact", "compact"],
]);

/** Answers are 202 without a body, or a text. */
export function jaegerRoutes(deps: AppDeps, findEntry: FindEntry): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.post(JAEGER_PATH, (c) => postBatch(c, { deps, findEntry }));
  // Reading is the query API's, which has nothing at this path: it stays 404 there.
  app.on(["PUT", "PATCH", "DELETE", "OPTIONS"], JAEGER_PATH, methodNotAllowed);
  return app;
}

function postBatch(c: Context<AppEnv>, ports: ConvertPorts): Response | Promise<Response> {
  const type = mediaTypeOf(c.req.raw.headers.get("content-type"));
  if (!PROTOCOLS.has(type)) return unsupportedMediaType([...PROTOCOLS.keys()]);
  const protocol = PROTOCOLS.get(type);
  return convertAndIngest(c, ports, "jaeger thrift", (body, limits) => convertBatch(body, limits, protocol));
}
