// The Directory object's methods: the names of all tenants, and requests that were refused before one was known.
import type { InsightRpc } from "./insight-rpc.ts";

/** There is one. */
export const DIRECTORY_NAME = "directory";

/** Every Worker keeps the list in memory: at 150 bytes a name it is 1.5 MB at most. */
export const MAX_TENANTS = 10_000;

export type DirectoryReply =
  | { readonly ok: true; /** False: it was there before. */ readonly isNew: boolean }
  | { readonly ok: false; readonly kind: "rate_limited"; readonly message: string };

/** `single-tenant`, which is always there, is not in it. */
export interface DirectoryRpc extends InsightRpc {
  /** Ascending. */
  list(): Promise<string[]>;
  /** What `list` says of one tenant. */
  has(tenant: string): Promise<boolean>;
  /** @param tenant a valid id. Refused when there are MAX_TENANTS */
  add(tenant: string, nowMs: number): Promise<DirectoryReply>;
  remove(tenant: string): Promise<void>;
}
