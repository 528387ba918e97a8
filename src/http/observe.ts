// Around every request: what became of it, for the doctor and the log. Nothing here costs a request a call or a row.
import type { Context, MiddlewareHandler } from "hono";
import { routePath } from "hono/route";
import type { Caller } from "../access/caller.ts";
import { cleanHeader, cleanPath } from "../insight/clean.ts";
import { credentialFormOf } from "../insight/credential-form.ts";
import { diagnose } from "../insight/diagnose.ts";
import type { InsightReporter, Target } from "../insight/reporter.ts";
import type { RefusedRequest } from "../store/insight-rpc.ts";
import { Budget } from "../util/budget.ts";
import { cleanReason } from "../util/clean-text.ts";
import type { Clock } from "../util/clock.ts";
import { type LogFields, logInfo, logWarning } from "../util/log.ts";
import type { AppEnv } from "./deps.ts";
import { mediaTypeOf } from "./media-type.ts";
import { type Refusal, RequestReport } from "./request-report.ts";

/** A query that takes longer is logged. */
export const SLOW_MS = 5_000;
/**
 * Lines of either kind at once, and then one in so many ms: 8,640 a day and isolate at most, some 3 MB. A flood of refused
 * requests must not run up the bill for logs.
 */
export const LINES_AT_ONCE = 10;
export const LINE_EVERY_MS = 10_000;

const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
const LOOPBACK = /^(localhost|127\.[\d.]+|\[::1\])$/;

/** Runs before everything else. */
export function observe(clock: Clock, insight: InsightReporter | undefined): MiddlewareHandler<AppEnv> {
  // It is the sender's mistake, and nothing that is wrong here.
  const refusedLines = new Lines(clock, (fields) => logInfo("request refused", fields));
  const slowLines = new Lines(clock, (fields) => logWarning("slow query", fields));
  return async (c, next): Promise<void> => {
    const report = new RequestReport();
    c.set("report", report);
    const startMs = clock.now();
    await next();
    const now = clock.now();
    const { stored } = report;
    const token = tokenOf(c);
    if (stored !== undefined && stored.spans > 0 && insight !== undefined) {
      const { newestEndMs, ...batch } = stored;
      const headers = headersOf(c);
      insight.accepted(targetOf(c), { ...batch, ...headers, token, atMs: now }, now - newestEndMs);
    }
    const refusal = refusalOf(c);
    const fields = (): LogFields => ({
      route: routePath(c, -1),
      status: refusal?.status ?? c.res.status,
      ms: now - startMs,
      ...named("tenant", targetOf(c)),
      ...named("token", token),
    });
    if (refusal !== undefined) {
      const line = refusedRequest(c, refusal, now);
      insight?.refused(targetOf(c), line);
      refusedLines.log(() => ({ ...fields(), code: line.code }));
    } else if (now - startMs >= SLOW_MS && c.req.method === "GET") slowLines.log(fields);
  };
}

/** Lines of one kind, and how many of them were left out since the last one. */
class Lines {
  readonly #budget: Budget;
  readonly #write: (fields: LogFields) => void;
  #leftOut = 0;

  constructor(clock: Clock, write: (fields: LogFields) => void) {
    this.#budget = new Budget(LINES_AT_ONCE, LINE_EVERY_MS, clock);
    this.#write = write;
  }

  log(fields: () => LogFields): void {
    if (!this.#budget.take()) {
      this.#leftOut++;
      return;
    }
    const leftOut: Record<string, number> = this.#leftOut > 0 ? { leftOut: this.#leftOut } : {};
    this.#leftOut = 0;
    this.#write({ ...fields(), ...leftOut });
  }
}

/** Why the request was refused; undefined when it was not. A trace that is not there is an answer. */
function refusalOf(c: Context<AppEnv>): Refusal | undefined {
  const { refusal } = c.get("report");
  if (refusal !== undefined) return isAnswer(c, refusal.status) ? undefined : refusal;
  const { status } = c.res;
  return status < 400 || isAnswer(c, status) ? undefined : { status, message: "" };
}

function isAnswer(c: Context<AppEnv>, status: number): boolean {
  const caller: Caller | undefined = c.get("caller");
  return (
    status === 404 && caller !== undefined && c.req.method === "GET" && /\/traces\/[^/]+/.test(c.req.path)
  );
}

function refusedRequest(c: Context<AppEnv>, refusal: Refusal, atMs: number): RefusedRequest {
  const { headers } = c.req.raw;
  const url = new URL(c.req.url);
  const report = c.get("report");
  const { code, reason, fix } = diagnose({
    ...refusal,
    method: c.req.method,
    path: c.req.path,
    port: LOOPBACK.test(url.hostname) ? "" : url.port,
    mediaType: mediaTypeOf(headers.get("content-type")),
    contentEncoding: headers.get("content-encoding") ?? "",
    credentials: credentialFormOf(headers),
    looks: report.looks,
  });
  const told = cleanReason(refusal.message);
  return {
    code,
    method: METHODS.has(c.req.method) ? c.req.method : "?",
    path: cleanPath(c.req.path),
    status: refusal.status,
    reason: reason ?? (told === "" ? `answered with ${refusal.status}` : told),
    fix,
    ...headersOf(c),
    contentType: cleanHeader(mediaTypeOf(headers.get("content-type"))),
    token: tokenOf(c),
    count: 1,
    firstMs: atMs,
    lastMs: atMs,
  };
}

function headersOf(c: Context): {
  readonly contentEncoding?: string | undefined;
  readonly userAgent?: string | undefined;
} {
  const { headers } = c.req.raw;
  return {
    contentEncoding: cleanHeader(headers.get("content-encoding")),
    userAgent: cleanHeader(headers.get("user-agent")),
  };
}

/** The tenant that the request is for, or whose token it brought. Of a query over several it is none of them. */
function targetOf(c: Context<AppEnv>): Target {
  const caller: Caller | undefined = c.get("caller");
  const [only, second] = caller?.tenants ?? [];
  return (second === undefined ? only : undefined) ?? c.get("report").token?.home;
}

function tokenOf(c: Context<AppEnv>): string | undefined {
  return c.get("report").token?.id;
}

function named(name: string, value: string | undefined): Record<string, string> {
  return value === undefined ? {} : { [name]: value };
}
