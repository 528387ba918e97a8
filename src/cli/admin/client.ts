// A call to the admin API: which token goes where, and what is made of its answer.
import { resolve } from "node:path";
import { readAdminToken } from "../admin-token.ts";

/** A reason why nothing was done that the user can act on. */
export class UsageError extends Error {}

/** What the server said no with. */
export class ApiError extends UsageError {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface Request {
  readonly method: string;
  readonly path: string;
  readonly body?: object;
  /** Whom it is for, where the path does not say so. */
  readonly tenant?: string;
  /** A version, as the ETag's number or as it came. */
  readonly ifMatch?: string | undefined;
}

/** The token of the environment, or that of this machine's server, which goes to this machine only. */
export async function tokenFor(url: URL): Promise<string> {
  const set = process.env["ADMIN_TOKEN"];
  if (set !== undefined && set !== "") return set;
  const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  const dataDir = resolve(process.env["RUBATO_DATA"] ?? ".rubato");
  const kept = isLocal ? await readAdminToken(dataDir) : undefined;
  if (kept !== undefined) return kept;
  throw new UsageError(isLocal ? `set ADMIN_TOKEN: there is none in ${dataDir}` : "set ADMIN_TOKEN");
}

/**
 * The answer of a request.
 * @throws UsageError when nobody answers; ApiError with the API's message, or what came instead of an answer
 */
export async function call<Answer>(
  base: URL,
  token: string,
  { method, path, body, tenant, ifMatch }: Request,
): Promise<Answer> {
  let response: Response;
  try {
    response = await fetch(new URL(path, base), {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(tenant === undefined ? {} : { "x-scope-orgid": tenant }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(ifMatch === undefined ? {} : { "if-match": /^\d+$/.test(ifMatch) ? `"${ifMatch}"` : ifMatch }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch (error) {
    throw new UsageError(`no server answers at ${base.origin}`, { cause: error });
  }
  const text = await response.text();
  if (!response.headers.get("content-type")?.startsWith("application/json")) {
    throw new ApiError(response.status, `${base.origin} answers ${response.status}: ${text.trim()}`);
  }
  const answer: Answer & { error?: { message: string }; message?: string } = JSON.parse(text);
  if (response.ok) return answer;
  throw new ApiError(response.status, answer.error?.message ?? answer.message ?? text);
}
