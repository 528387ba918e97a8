// Who makes a request, and for whom.
import { ALL_TENANTS, type Scope, type TokenRecord } from "../model/token.ts";

/** `open`: anybody, where tokens are not asked for. `operator`: whoever has the admin secret. */
export type CallerKind = "open" | "operator" | "token";

export interface Caller {
  readonly kind: CallerKind;
  /** How the audit log and the Worker's log name it. */
  readonly actor: string;
  /** The tenants that the request is for: one that sends spans is for one. Ascending, each once. */
  readonly tenants: readonly string[];
  readonly scopes: ReadonlySet<Scope>;
  /** Of kind `token`: its own tenant, and what is kept of it. */
  readonly home?: string;
  readonly token?: TokenRecord;
}

/** Whether it may act for the tenant, whatever its scopes allow there. */
export function actsFor({ kind, home, token }: Caller, tenant: string): boolean {
  if (kind === "operator") return true;
  if (kind === "open" || token === undefined) return false;
  return tenant === home || token.tenants.includes(tenant) || token.tenants.includes(ALL_TENANTS);
}

/** Whether it may see and change what is a tenant's own to set: its tokens, not its limits. */
export function mayAdminister(caller: Caller, tenant: string): boolean {
  return caller.scopes.has("admin") && actsFor(caller, tenant);
}
