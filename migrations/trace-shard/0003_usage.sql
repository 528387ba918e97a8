-- What was counted of the tenant, by day (UTC, days since 1970), in the form in which segment rows carry it.
CREATE TABLE IF NOT EXISTS usage_day (
  day INTEGER PRIMARY KEY,
  saved_ms INTEGER NOT NULL,
  usage BLOB NOT NULL
);
