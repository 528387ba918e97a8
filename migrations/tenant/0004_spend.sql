-- What the tenant may cost, and what holds: one row at most, JSON of `SpendSettings` (src/model/spend.ts).
CREATE TABLE IF NOT EXISTS spend (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  settings TEXT NOT NULL
);

-- What each shard reported last: it has spent so much on a day (UTC, days since 1970) and in the month of that day.
CREATE TABLE IF NOT EXISTS spend_report (
  shard INTEGER PRIMARY KEY,
  day INTEGER NOT NULL,
  day_usd REAL NOT NULL,
  month_usd REAL NOT NULL
);
