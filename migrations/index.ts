// The schema migrations of each Durable Object class, oldest first.
import traceShard0001 from "./trace-shard/0001_catalogue.sql";

export interface Migration {
  readonly id: number;
  readonly sql: string;
}

export const TRACE_SHARD_MIGRATIONS: readonly Migration[] = [{ id: 1, sql: traceShard0001 }];
