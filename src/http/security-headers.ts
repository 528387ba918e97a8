// What every answer tells a browser: it is data, for whoever asked, and nothing to run or show.
import type { MiddlewareHandler } from "hono";

const HEADERS: readonly (readonly [string, string])[] = [
  ["x-content-type-options", "nosniff"],
  ["content-security-policy", "default-src 'none'; frame-ancestors 'none'"],
  ["referrer-policy", "no-referrer"],
  // Answers are a tenant's own: no cache between here and its sender keeps them.
  ["cache-control", "no-store"],
  // Browsers heed it over https alone.
  ["strict-transport-security", "max-age=31536000"],
];

/** Adds the headers, except where the answer has one of its own. @returns `response` */
export function secured(response: Response): Response {
  for (const [name, value] of HEADERS) if (!response.headers.has(name)) response.headers.set(name, value);
  return response;
}

/** For all answers of an app, refusals and errors too. */
export function securityHeaders(): MiddlewareHandler {
  return async (c, next) => {
    await next();
    secured(c.res);
  };
}
