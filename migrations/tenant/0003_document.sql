-- What is set as JSON, by its name: overrides (StoredOverrides). What is not set has no row.
CREATE TABLE IF NOT EXISTS document (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;
