// From a request to its caller: what it may do, and for which tenants.
import type { AccessSettings } from "../model/config.ts";
import { SINGLE_TENANT } from "../model/ids.ts";
import {
  hashText,
  isSameHash,
  type Scope,
  tenantOfToken,
  tokenId,
  type TokenRecord,
} from "../model/token.ts";
import type { TenantView } from "../store/tenant-rpc.ts";
import type { ShardMapCache } from "../tenant/shard-map-cache.ts";
import type { TenantNames } from "../tenant/tenant-names.ts";
import type { Clock } from "../util/clock.ts";
import { AppError } from "../util/errors.ts";
import { actsFor, type Caller } from "./caller.ts";
import { readCredentials } from "./credentials.ts";
import { namedTenants, noTenant, TENANT_HEADER, theTenant } from "./tenancy.ts";

export interface AccessPorts {
  readonly views: Pick<ShardMapCache, "forReading" | "youngerThan">;
  readonly names: Pick<TenantNames, "has">;
  readonly clock: Clock;
}

/** What a route asks for; `any`: whatever scope, but somebody who is known. */
export type NeededScope = Scope | "any";

export type OnToken = (home: string, id: string) => void;

interface KnownToken {
  readonly home: string;
  readonly token: TokenRecord;
}

/** An unknown token is looked for in a new view of its tenant, once in so many ms: one just made is found soon. */
const REFRESH_MS = 2_000;
const OPEN_SCOPES: ReadonlySet<Scope> = new Set(["ingest", "read", "metrics"]);
const OPERATOR_SCOPES: ReadonlySet<Scope> = new Set(["ingest", "read", "admin", "metrics"]);
const NEEDS_TOKEN =
  "a token is needed: Authorization: Bearer <token>, Basic with it as password, or X-Api-Key: <token>";
const UNKNOWN_TOKEN = "this token is not known: it is wrong, or was revoked";

/**
 * Tokens are known by what the Tenant object told last, a minute ago at most: so a revoked one is of no use after a minute,
 * and no request asks the object by itself. When it cannot be asked, nobody passes.
 */
export class Authenticator {
  readonly #settings: AccessSettings;
  readonly #ports: AccessPorts;
  /** Of the admin secret, once somebody brought a token. */
  #adminHash: string | undefined;
  /** Of each view its tokens by id; views never change. */
  readonly #tokens = new WeakMap<TenantView, ReadonlyMap<string, TokenRecord>>();

  constructor(settings: AccessSettings, ports: AccessPorts) {
    this.#settings = settings;
    this.#ports = ports;
  }

  /**
   * @param onToken is told of a token that is known, whatever becomes of the request
   * @throws AppError `unauthenticated` no or no good token, `forbidden` a token that may not, `invalid_argument` bad tenant
   * ids, `not_found` a tenant that there is not, `unavailable` when there is no admin secret yet or an object is out of reach
   */
  async caller(headers: Headers, scope: NeededScope, onToken: OnToken = () => {}): Promise<Caller> {
    const { mode, adminToken } = this.#settings;
    if (mode === "open" && scope !== "admin") return this.#openCaller(headers, scope);
    if (adminToken === undefined) throw closed();
    const text = readCredentials(headers);
    if (text === undefined) throw new AppError("unauthenticated", NEEDS_TOKEN);
    const hash = await hashText(text);
    this.#adminHash ??= await hashText(adminToken);
    const known = isSameHash(hash, this.#adminHash) ? undefined : await this.#find(text, hash);
    if (known !== undefined) onToken(known.home, known.token.id);
    const caller = known === undefined ? this.#operator(headers) : this.#tokenCaller(headers, scope, known);
    await this.#checkTenants(caller, scope);
    return caller;
  }

  #openCaller(headers: Headers, scope: NeededScope): Caller {
    const tenants = this.#named(headers);
    // Who scrapes without naming a tenant asks for all of them.
    if (tenants === undefined && scope !== "metrics") throw noTenant();
    const named = tenants ?? [];
    if (scope === "ingest") theTenant(named);
    return { kind: "open", actor: "anyone", tenants: named, scopes: OPEN_SCOPES };
  }

  #operator(headers: Headers): Caller {
    const tenants = this.#named(headers) ?? [];
    return { kind: "operator", actor: "operator", tenants, scopes: OPERATOR_SCOPES };
  }

  #tokenCaller(headers: Headers, scope: NeededScope, { home, token }: KnownToken): Caller {
    const { expiresMs, origins, scopes } = token;
    if (expiresMs !== undefined && expiresMs <= this.#ports.clock.now()) {
      throw new AppError("unauthenticated", `this token expired at ${new Date(expiresMs).toISOString()}`);
    }
    if (scope !== "any" && !scopes.includes(scope)) {
      throw forbidden(`this token lacks the scope ${scope}; it has ${scopes.join(", ")}`);
    }
    if (origins.length > 0 && !origins.includes(headers.get("origin") ?? "")) {
      throw forbidden("this browser key is bound to the origins of other pages");
    }
    const tenants = this.#named(headers) ?? [home];
    const actor = `token ${token.id} (${token.name})`;
    return { kind: "token", actor, tenants, scopes: new Set(scopes), home, token };
  }

  /** What a request names; the one tenant where there is only one. */
  #named(headers: Headers): readonly string[] | undefined {
    return this.#settings.isMultitenant ? namedTenants(headers.get(TENANT_HEADER)) : [SINGLE_TENANT];
  }

  async #checkTenants(caller: Caller, scope: NeededScope): Promise<void> {
    const { tenants, home } = caller;
    for (const tenant of tenants) {
      if (!actsFor(caller, tenant)) throw forbidden(`this token may not act for tenant "${tenant}"`);
    }
    if (scope === "ingest") theTenant(tenants);
    // Where no tokens are asked for, whoever sends spans makes a tenant.
    if (this.#settings.mode === "open") return;
    for (const tenant of tenants) {
      if (tenant !== home && !(await this.#ports.names.has(tenant))) {
        throw new AppError("not_found", `there is no tenant "${tenant}"`);
      }
    }
  }

  async #find(text: string, hash: string): Promise<KnownToken> {
    const home = tenantOfToken(text);
    const isPossible = home !== undefined && (this.#settings.isMultitenant || home === SINGLE_TENANT);
    if (!isPossible || !(await this.#ports.names.has(home))) {
      throw new AppError("unauthenticated", UNKNOWN_TOKEN);
    }
    const { views } = this.#ports;
    const token =
      this.#tokenOf(await views.forReading(home), hash) ??
      this.#tokenOf(await views.youngerThan(home, REFRESH_MS), hash);
    if (token === undefined) throw new AppError("unauthenticated", UNKNOWN_TOKEN);
    return { home, token };
  }

  /** By its id, which says no more than that there is one; whether it is the same is compared in constant time. */
  #tokenOf(view: TenantView, hash: string): TokenRecord | undefined {
    let byId = this.#tokens.get(view);
    if (byId === undefined) {
      byId = new Map((view.tokens ?? []).map((token) => [token.id, token]));
      this.#tokens.set(view, byId);
    }
    const token = byId.get(tokenId(hash));
    return token !== undefined && isSameHash(token.hash, hash) ? token : undefined;
  }
}

function forbidden(message: string): AppError {
  return new AppError("forbidden", message);
}

function closed(): AppError {
  return new AppError(
    "unavailable",
    'this Rubato is closed until it has an admin secret; "npx wrangler secret put ADMIN_TOKEN" sets it',
  );
}
