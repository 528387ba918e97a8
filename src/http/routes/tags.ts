// Names and values of attributes, Tempo's versions 1 and 2.
import { type Context, Hono } from "hono";
import {
  SearchTagsResponseSchema,
  SearchTagsV2ResponseSchema,
  SearchTagValuesResponseSchema,
  SearchTagValuesV2ResponseSchema,
} from "../../otlp/gen/tempopb/search_pb.ts";
import type { Limits } from "../../model/limits.ts";
import { runTagNames, runTagValues, type TagNamesRun, type TagValuesRun } from "../../query/run-tags.ts";
import type { Field } from "../../traceql/ast.ts";
import { encodingOf, llmAnswer, messageAnswer, missingText } from "../answers/answer.ts";
import {
  llmTagValues,
  NOTHING_READ,
  tagNames,
  tagScopes,
  tagValuesV1,
  tagValuesV2,
} from "../answers/tags-answer.ts";
import { tenantsOf } from "../access.ts";
import type { AppDeps, AppEnv } from "../deps.ts";
import {
  readTagField,
  readTagFieldV1,
  readTagNamesParams,
  readTagValuesParams,
  tagNameInPath,
  type TagNamesParams,
  V1_VALUES,
} from "../params/tag-params.ts";
import type { ScanPorts } from "../scan-ports.ts";

const V1_PREFIX = "/api/search/tag/";
const V2_PREFIX = "/api/v2/search/tag/";

/** By any method, as in Tempo. Errors are thrown as AppErrors. */
export function tagRoutes(deps: AppDeps, scan: ScanPorts): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  const portsOf = (c: Context<AppEnv>): Ports => ({
    nowMs: deps.clock.now(),
    limits: c.get("limits"),
    scan: () => scan(tenantsOf(c)),
  });
  app.all("/api/search/tags", async (c) => {
    const request = c.req.raw;
    const ports = portsOf(c);
    const params = namesParams(ports, request);
    const message = tagNames(await findNames(ports, request, params), params.scope);
    return messageAnswer(request, { schema: SearchTagsResponseSchema, message, list: "tagNames" });
  });
  app.all("/api/v2/search/tags", async (c) => {
    const request = c.req.raw;
    const ports = portsOf(c);
    const params = namesParams(ports, request);
    const message = tagScopes(await findNames(ports, request, params), params.scope);
    return messageAnswer(request, { schema: SearchTagsV2ResponseSchema, message, list: "scopes" });
  });
  app.all(`${V1_PREFIX}*`, async (c) => {
    const name = tagNameInPath(new URL(c.req.url).pathname, V1_PREFIX);
    return name === undefined ? c.notFound() : valuesV1(portsOf(c), c.req.raw, name);
  });
  app.all(`${V2_PREFIX}*`, async (c) => {
    const name = tagNameInPath(new URL(c.req.url).pathname, V2_PREFIX);
    return name === undefined ? c.notFound() : valuesV2(portsOf(c), c.req.raw, name);
  });
  return app;
}

interface Ports {
  readonly nowMs: number;
  /** Of the tenants of the request, as is what `scan` gives. */
  readonly limits: Limits;
  readonly scan: () => ReturnType<ScanPorts>;
}

function namesParams({ nowMs, limits }: Ports, request: Request): TagNamesParams {
  return readTagNamesParams(new URL(request.url).searchParams, nowMs, limits);
}

async function findNames(
  { limits, scan }: Ports,
  request: Request,
  { scope, ...input }: TagNamesParams,
): Promise<TagNamesRun> {
  if (scope === "intrinsic" || scope === "trace") return { scopes: [], isTruncated: false, ...NOTHING_READ };
  const run = await runTagNames(await scan(), {
    ...input,
    ...(scope !== "all" && { scope }),
    maxBytes: limits.scan.maxTagBytes,
    signal: request.signal,
  });
  missingText(run);
  return run;
}

async function findValues(
  { limits, nowMs, scan }: Ports,
  request: Request,
  field: Field,
): Promise<TagValuesRun> {
  const params = new URL(request.url).searchParams;
  const input = readTagValuesParams(params, nowMs, limits);
  const run = await runTagValues(await scan(), {
    ...input,
    field,
    maxBytes: limits.scan.maxTagBytes,
    signal: request.signal,
  });
  missingText(run);
  return run;
}

async function valuesV1(ports: Ports, request: Request, name: string): Promise<Response> {
  const known = V1_VALUES.get(name);
  const run = known === undefined ? await findValues(ports, request, readTagFieldV1(name)) : undefined;
  const message = tagValuesV1(known ?? run?.values.map(({ value }) => value) ?? [], run ?? NOTHING_READ);
  return messageAnswer(request, { schema: SearchTagValuesResponseSchema, message, list: "tagValues" });
}

async function valuesV2(ports: Ports, request: Request, name: string): Promise<Response> {
  const run = await findValues(ports, request, readTagField(name));
  if (encodingOf(request) === "llm") return llmAnswer(request, llmTagValues(run.values));
  const schema = SearchTagValuesV2ResponseSchema;
  return messageAnswer(request, { schema, message: tagValuesV2(run), list: "tagValues" });
}
