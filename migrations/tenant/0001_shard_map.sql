-- Over how many shards the tenant's spans are spread, from a time in ms since 1970 on.
CREATE TABLE IF NOT EXISTS shard_map (
  from_ms INTEGER PRIMARY KEY,
  count INTEGER NOT NULL
);

-- Numbers that are not set have no row: shard_count, retention_ms, retention_unsent, deleting_since_ms.
CREATE TABLE IF NOT EXISTS setting (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;
