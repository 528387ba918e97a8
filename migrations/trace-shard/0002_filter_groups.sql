-- Young blocks have a filter of their own: filter, trace index and resources, joined, if they fit this row; else the rest
-- is in young_part.
CREATE TABLE IF NOT EXISTS young_block (
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
  -- Of the block's format.
  version INTEGER NOT NULL,
  -- When its newest spans were flushed.
  arrived_ms INTEGER NOT NULL,
  filter_length INTEGER NOT NULL,
  trace_index_length INTEGER NOT NULL,
  tail BLOB NOT NULL
);

-- What does not fit a row of 1.9 MB, in parts, by seq from 1.
CREATE TABLE IF NOT EXISTS young_part (
  block INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  part BLOB NOT NULL,
  PRIMARY KEY (block, seq)
) WITHOUT ROWID;

-- Blocks whose filter is in a group. There are thousands: rows are small, so that going through all of them is cheap.
CREATE TABLE IF NOT EXISTS indexed_block (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL,
  etag TEXT NOT NULL,
  byte_length INTEGER NOT NULL,
  span_count INTEGER NOT NULL,
  trace_count INTEGER NOT NULL,
  raw_bytes INTEGER NOT NULL,
  min_start_seconds INTEGER NOT NULL,
  max_end_seconds INTEGER NOT NULL,
  version INTEGER NOT NULL,
  arrived_ms INTEGER NOT NULL,
  trace_index_length INTEGER NOT NULL
);

-- Trace index and resources, joined, in parts of 1.9 MB at most, by seq from 0.
CREATE TABLE IF NOT EXISTS indexed_tail (
  block INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  part BLOB NOT NULL,
  PRIMARY KEY (block, seq)
) WITHOUT ROWID;

-- Groups of blocks that share filters. members: ids of blocks by their index as 64-bit floats, 0 for one that is gone.
CREATE TABLE IF NOT EXISTS filter_group (
  slot INTEGER PRIMARY KEY,
  id INTEGER NOT NULL,
  bits INTEGER NOT NULL,
  members BLOB NOT NULL
);

-- id = bucket * 65536 + slot: a lookup reads the rows of one bucket, which lie side by side.
CREATE TABLE IF NOT EXISTS filter_row (
  id INTEGER PRIMARY KEY,
  filter BLOB NOT NULL
);

-- The job that is given out, as JSON.
CREATE TABLE IF NOT EXISTS job (
  id INTEGER PRIMARY KEY,
  body TEXT NOT NULL
);

-- Objects that are in the catalogue no more. id: of their block.
CREATE TABLE IF NOT EXISTS retired (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL,
  delete_at_ms INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS setting (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;

-- What 0001 made was all flushed by the first version of the format. The tables are gone when this runs again.
CREATE TABLE IF NOT EXISTS block (id INTEGER PRIMARY KEY, key, etag, byte_length, span_count, trace_count, raw_bytes,
  min_start_seconds, max_end_seconds, filter_length, trace_index_length, tail);
CREATE TABLE IF NOT EXISTS block_tail (block, seq, part);
INSERT OR IGNORE INTO young_block (id, key, etag, byte_length, span_count, trace_count, raw_bytes, min_start_seconds,
    max_end_seconds, version, arrived_ms, filter_length, trace_index_length, tail)
  SELECT id, key, etag, byte_length, span_count, trace_count, raw_bytes, min_start_seconds,
    max_end_seconds, 1, id, filter_length, trace_index_length, tail FROM block;
INSERT OR IGNORE INTO young_part (block, seq, part) SELECT block, seq, part FROM block_tail;
DROP TABLE block;
DROP TABLE block_tail;
