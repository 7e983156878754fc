-- Byte streams of runs. A chunk is keyed by the number of its stream, so that small chunks stay small.
-- closer_*: the attempt that closed the stream ('' and 0 for none).
CREATE TABLE streams (
  number         INTEGER PRIMARY KEY AUTOINCREMENT,
  run_id         TEXT    NOT NULL CHECK (run_id <> ''),
  name           TEXT    NOT NULL CHECK (name <> ''),
  content_type   TEXT    NOT NULL,
  next_index     INTEGER NOT NULL CHECK (next_index >= 0),
  size_bytes     INTEGER NOT NULL CHECK (size_bytes >= 0),
  is_closed      INTEGER NOT NULL CHECK (is_closed IN (0, 1)),
  closer_run_id  TEXT    NOT NULL,
  closer_step_id TEXT    NOT NULL CHECK (closer_step_id = '' OR is_closed = 1),
  closer_attempt INTEGER NOT NULL CHECK (closer_attempt >= 0),
  create_ms      INTEGER NOT NULL CHECK (create_ms >= 0),
  update_ms      INTEGER NOT NULL CHECK (update_ms >= create_ms),
  UNIQUE (run_id, name)
) STRICT;

-- The key is in the order in which the newest attempt of each step is looked up.
CREATE TABLE stream_writers (
  number      INTEGER PRIMARY KEY,
  stream      INTEGER NOT NULL,
  writer_id   TEXT    NOT NULL,
  step_run_id TEXT    NOT NULL,
  step_id     TEXT    NOT NULL,
  attempt     INTEGER NOT NULL CHECK ((attempt > 0) = (step_id <> '')),
  next_chunk  INTEGER NOT NULL CHECK (next_chunk >= 0),
  first_index INTEGER NOT NULL CHECK (first_index >= 0),
  UNIQUE (stream, step_run_id, step_id, attempt, writer_id)
) STRICT;

CREATE TABLE chunks (
  stream  INTEGER NOT NULL,
  "index" INTEGER NOT NULL CHECK ("index" >= 0),
  writer  INTEGER NOT NULL,
  data    BLOB    NOT NULL,
  PRIMARY KEY (stream, "index")
) STRICT, WITHOUT ROWID;
