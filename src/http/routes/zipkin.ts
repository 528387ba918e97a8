// POST /api/v2/spans and /api/v1/spans: Zipkin.
import { type Context, Hono } from "hono";
import { convertV1Json } from "../../zipkin/v1-json.ts";
import { convertV1Thrift } from "../../zipkin/v1-thrift.ts";
import { convertV2Json } from "../../zipkin/v2-json.ts";
import { convertV2Protobuf } from "../../zipkin/v2-protobuf.ts";
import {
  convertAndIngest,
  type ConvertPorts,
  methodNotAllowed,
  unsupportedMediaType,
} from "../convert-ingest.ts";
import type { AppDeps, AppEnv } from "../deps.ts";
import type { FindEntry } from "../ingest-entry.ts";
import { mediaTypeOf } from "../media-type.ts";

export const ZIPKIN_V1_PATH = "/api/v1/spans";
export const ZIPKIN_V2_PATH = "/api/v2/spans";

/** Senders that name no type send JSON; a page's `sendBeacon` names text. */
const JSON_TYPES: ReadonlySet<string> = new Set(["", "application/json", "text/plain"]);
const PROTOBUF_TYPES: ReadonlySet<string> = new Set(["application/x-protobuf", "application/protobuf"]);
const THRIFT_TYPES: ReadonlySet<string> = new Set([
  "application/x-thrift",
  "application/vnd.apache.thrift.binary",
]);

/** Answers are 202 without a body, or a text. */
export function zipkinRoutes(deps: AppDeps, findEntry: FindEntry): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  const ports = { deps, findEntry };
  app.post(ZIPKIN_V2_PATH, (c) => postV2(c, ports));
  app.post(ZIPKIN_V1_PATH, (c) => postV1(c, ports));
  app.all(ZIPKIN_V2_PATH, methodNotAllowed);
  app.all(ZIPKIN_V1_PATH, methodNotAllowed);
  return app;
}

function postV2(c: Context<AppEnv>, ports: ConvertPorts): Response | Promise<Response> {
  const type = mediaTypeOf(c.req.raw.headers.get("content-type"));
  if (JSON_TYPES.has(type)) {
    return convertAndIngest(c, ports, "zipkin v2 json", convertV2Json);
  }
  if (PROTOBUF_TYPES.has(type)) {
    return convertAndIngest(c, ports, "zipkin v2 protobuf", convertV2Protobuf);
  }
  return unsupportedMediaType(["application/json", "application/x-protobuf"]);
}

function postV1(c: Context<AppEnv>, ports: ConvertPorts): Response | Promise<Response> {
  const type = mediaTypeOf(c.req.raw.headers.get("content-type"));
  const { clock } = ports.deps;
  if (JSON_TYPES.has(type)) {
    return convertAndIngest(c, ports, "zipkin v1 json", (body, limits) =>
      convertV1Json(body, limits, clock.now()),
    );
  }
  if (THRIFT_TYPES.has(type)) {
    return convertAndIngest(c, ports, "zipkin v1 thrift", (body, limits) =>
      convertV1Thrift(body, limits, clock.now()),
    );
  }
  return unsupportedMediaType(["application/json", "application/x-thrift"]);
}
