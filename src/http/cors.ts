// Which pages may send spans from a browser.
import type { MiddlewareHandler } from "hono";
import { cors } from "hono/cors";

/** Two hours, the longest that Chromium keeps a preflight. */
const MAX_AGE_SECONDS = 7200;
/** What a page's exporter may read beside the body: gRPC-Web's status when a proxy moved it to the headers. */
const EXPOSED = ["retry-after", "grpc-status", "grpc-message", "grpc-status-details-bin"];

/**
 * CORS for the routes that take spans, on every answer, errors included. No credentials: nothing here rests on cookies.
 * @param allowedOrigins absent or with `*`: all
 */
export function ingestCors(allowedOrigins: readonly string[] = ["*"]): MiddlewareHandler {
  const handler = cors({
    origin: allowedOrigins.includes("*") ? "*" : [...allowedOrigins],
    allowMethods: ["POST"],
    exposeHeaders: EXPOSED,
    maxAge: MAX_AGE_SECONDS,
  });
  // Servers send no Origin; what they do not need is not put into their answers.
  return (c, next) => (c.req.header("origin") === undefined ? next() : handler(c, next));
}
