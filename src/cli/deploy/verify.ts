// Whether a deployment works: a span of its own is sent to it and read back.
import { setTimeout as sleep } from "node:timers/promises";
import type { Scope } from "../../model/token.ts";
import { SINGLE_TENANT } from "../../model/ids.ts";
import { ApiError, call, UsageError } from "../admin/client.ts";
import { firstSpan } from "../first-span.ts";

/** How long a deployment is waited for: a new address takes up to a minute until it is known everywhere. */
export interface Patience {
  readonly totalMs: number;
  readonly pauseMs: number;
}

interface Made {
  readonly id: string;
  readonly token: string;
}

const TOKENS = `/api/admin/tenants/${SINGLE_TENANT}/tokens`;
const HOUR_MS = 3_600_000;

/** A token of the one tenant that is always there. @throws UsageError */
export async function makeToken(
  url: URL,
  adminToken: string,
  body: { readonly name: string; readonly scopes: readonly Scope[]; readonly expires?: string },
): Promise<Made> {
  return call(url, adminToken, { method: "POST", path: TOKENS, body });
}

/**
 * Sends a span with a token that is made for it and revoked after it.
 * @param isNew the secret was set a moment ago: some places may not know it yet
 * @returns milliseconds from the sending to the answer that holds the span
 * @throws UsageError with the last reason, when patience is over
 */
export async function verify(
  url: URL,
  adminToken: string,
  isNew: boolean,
  patience: Patience,
): Promise<number> {
  const deadline = Date.now() + patience.totalMs;
  const attempt = <T>(work: () => Promise<T>): Promise<T> => persist(work, deadline, patience.pauseMs, isNew);
  const expires = new Date(Date.now() + HOUR_MS).toISOString();
  const request = { name: "npm run deploy: a span of its own", scopes: ["ingest", "read"], expires } as const;
  const { id, token } = await attempt(() => makeToken(url, adminToken, request));
  const { traceId, body } = firstSpan("rubato", "npm run deploy");
  const startedMs = Date.now();
  await attempt(() => call(url, token, { method: "POST", path: "/v1/traces", body }));
  await attempt(() => call(url, token, { method: "GET", path: `/api/v2/traces/${traceId}` }));
  const tookMs = Date.now() - startedMs;
  await attempt(() => call(url, adminToken, { method: "DELETE", path: `${TOKENS}/${id}` }));
  return tookMs;
}

/** Whether the deployment answers at all, within patience. */
export async function isReady(url: URL, { totalMs, pauseMs }: Patience): Promise<boolean> {
  const deadline = Date.now() + totalMs;
  for (;;) {
    const response = await fetch(new URL("/ready", url)).catch(() => undefined);
    if (response?.ok === true) return true;
    if (Date.now() + pauseMs > deadline) return false;
    await sleep(pauseMs);
  }
}

async function persist<T>(
  work: () => Promise<T>,
  deadline: number,
  pauseMs: number,
  isNew: boolean,
): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof UsageError) || !isPassing(error, isNew)) throw error;
      if (Date.now() + pauseMs > deadline) throw error;
    }
    await sleep(pauseMs);
  }
}

/** What a deployment that is not everywhere yet answers: nothing, another Worker's 404, or that it is closed. */
function isPassing(error: UsageError, isNew: boolean): boolean {
  if (!(error instanceof ApiError)) return true;
  const { status } = error;
  return status >= 500 || status === 404 || status === 429 || (isNew && status === 401);
}
