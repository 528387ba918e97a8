-- The tenants that were made, by the time in ms since 1970.
CREATE TABLE IF NOT EXISTS tenant (
  name TEXT PRIMARY KEY,
  created_ms INTEGER NOT NULL
) WITHOUT ROWID;
