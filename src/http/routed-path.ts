// The path that a request is routed by, the same in all apps.
import { getPath } from "hono/utils/url";

/** Several slashes are one, as in Tempo's router: the address that a client is given may end in a slash. */
export function routedPath(request: Request): string {
  return getPath(request).replace(/\/{2,}/g, "/");
}
