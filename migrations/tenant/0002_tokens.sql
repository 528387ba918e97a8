-- Access tokens: of each its SHA-256 (hex) and what it allows, as JSON (TokenRecord).
CREATE TABLE IF NOT EXISTS token (
  hash TEXT PRIMARY KEY,
  record TEXT NOT NULL
) WITHOUT ROWID;

-- What people changed, the newest 10,000 lines.
CREATE TABLE IF NOT EXISTS audit (
  id INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  detail TEXT NOT NULL
);
