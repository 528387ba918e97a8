-- Blocks of this shard. A block's id is the epoch it was flushed from.
CREATE TABLE IF NOT EXISTS block (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL,
  etag TEXT NOT NULL,
  byte_length INTEGER NOT NULL,
  span_count INTEGER NOT NULL,
  trace_count INTEGER NOT NULL,
  raw_bytes INTEGER NOT NULL,
  -- Whole seconds since 1970 around the spans' times: numbers of ns do not fit a double.
  min_start_seconds INTEGER NOT NULL,
  max_end_seconds INTEGER NOT NULL,
  -- Filter, trace index and resources, joined, if they fit this row; else the rest is in block_tail.
  filter_length INTEGER NOT NULL,
  trace_index_length INTEGER NOT NULL,
  tail BLOB NOT NULL
);

-- What does not fit a row of 1.9 MB, in parts, by seq from 1.
CREATE TABLE IF NOT EXISTS block_tail (
  block INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  part BLOB NOT NULL,
  PRIMARY KEY (block, seq)
) WITHOUT ROWID;
