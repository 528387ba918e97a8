// The schema migrations of each Durable Object class, oldest first.
import directory0001 from "./directory/0001_tenant.sql";
import tenant0001 from "./tenant/0001_shard_map.sql";
import tenant0002 from "./tenant/0002_tokens.sql";
import tenant0003 from "./tenant/0003_document.sql";
import tenant0004 from "./tenant/0004_spend.sql";
import traceShard0001 from "./trace-shard/0001_catalogue.sql";
import traceShard0002 from "./trace-shard/0002_filter_groups.sql";
import traceShard0003 from "./trace-shard/0003_usage.sql";

export interface Migration {
  readonly id: number;
  readonly sql: string;
}

export const TRACE_SHARD_MIGRATIONS: readonly Migration[] = [
  { id: 1, sql: traceShard0001 },
  { id: 2, sql: traceShard0002 },
  { id: 3, sql: traceShard0003 },
];

export const TENANT_MIGRATIONS: readonly Migration[] = [
  { id: 1, sql: tenant0001 },
  { id: 2, sql: tenant0002 },
  { id: 3, sql: tenant0003 },
  { id: 4, sql: tenant0004 },
];

export const DIRECTORY_MIGRATIONS: readonly Migration[] = [{ id: 1, sql: directory0001 }];
