-- The tables of a store on PostgreSQL. Bodies are serialized protobuf messages; every time is epoch milliseconds.
-- Constraints repeat what the rules promise, so that a bug is an error and never a row.
-- What belongs to a run is keyed by the run first, what belongs to a queue by the queue, chunks by their stream.
-- COLLATE "C": lists are ordered by bytes, as cursors and the SQLite engine have it, whatever the database's locale.

-- The store's own values: store_id, deleted_position, ...
CREATE TABLE meta (
  key   TEXT COLLATE "C" PRIMARY KEY,
  value TEXT NOT NULL
);

-- One row: the newest store-wide position of an event, and the number of the newest announcement. Taken as the last
-- lock of a commit and held until it is visible, so that whoever sees a position sees all that lie before it.
CREATE TABLE counters (
  name     TEXT COLLATE "C" PRIMARY KEY,
  position BIGINT NOT NULL CHECK (position >= 0),
  number   BIGINT NOT NULL CHECK (number >= 0)
);
INSERT INTO counters (name, position, number) VALUES ('log', 0, 0);

-- One row a committed batch: proof that it was committed, and what other replicas are told. number is NULL for a
-- batch that was given up: see store_service/engines/postgres/outcome.py.
CREATE TABLE announcements (
  batch_id TEXT COLLATE "C" PRIMARY KEY,
  number   BIGINT,
  replica  TEXT COLLATE "C" NOT NULL,
  at       TIMESTAMPTZ NOT NULL DEFAULT now(),
  notes    BYTEA NOT NULL
);
CREATE INDEX announcements_by_number ON announcements (number);
CREATE INDEX announcements_by_time ON announcements (at);

CREATE TABLE runs (
  run_id          TEXT COLLATE "C" PRIMARY KEY CHECK (run_id <> ''),
  workflow_name   TEXT COLLATE "C" NOT NULL,
  status          INTEGER NOT NULL CHECK (status >= 1),
  create_ms       BIGINT  NOT NULL CHECK (create_ms >= 0),
  update_ms       BIGINT  NOT NULL CHECK (update_ms >= create_ms),
  expire_ms       BIGINT,
  parent_run_id   TEXT COLLATE "C" NOT NULL,
  head_seq        BIGINT  NOT NULL CHECK (head_seq >= 1),
  head_at         BIGINT  NOT NULL CHECK (head_at >= 0),
  out_of_band_at  BIGINT  NOT NULL CHECK (out_of_band_at  BETWEEN 0 AND head_at),
  out_of_band_seq BIGINT  NOT NULL CHECK (out_of_band_seq BETWEEN 0 AND head_seq),
  replay_seq      BIGINT  NOT NULL CHECK (replay_seq      BETWEEN 0 AND head_seq),
  started_seq     BIGINT  NOT NULL CHECK (started_seq     BETWEEN 0 AND head_seq),
  terminal_seq    BIGINT  NOT NULL CHECK (terminal_seq    BETWEEN 0 AND head_seq),
  body            BYTEA   NOT NULL,
  head_checksum   BYTEA   NOT NULL
);
CREATE INDEX runs_by_creation ON runs (create_ms, run_id);
CREATE INDEX runs_by_workflow ON runs (workflow_name, create_ms, run_id);
CREATE INDEX runs_by_status   ON runs (status, create_ms, run_id);
CREATE INDEX runs_by_parent   ON runs (parent_run_id, create_ms, run_id) WHERE parent_run_id <> '';
CREATE INDEX runs_by_expiry   ON runs (expire_ms) WHERE expire_ms IS NOT NULL AND terminal_seq = 0;

CREATE TABLE attributes (
  run_id TEXT COLLATE "C" NOT NULL,
  key    TEXT COLLATE "C" NOT NULL,
  value  TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (run_id, key)
);
CREATE INDEX attributes_by_value ON attributes (key, value, run_id);

CREATE TABLE events (
  run_id    TEXT COLLATE "C" NOT NULL CHECK (run_id <> ''),
  seq       BIGINT  NOT NULL CHECK (seq >= 1),
  event_id  TEXT COLLATE "C" NOT NULL,
  at        BIGINT  NOT NULL CHECK (at >= 0),
  kind      INTEGER NOT NULL CHECK (kind >= 1),
  entity_id TEXT COLLATE "C" NOT NULL,
  body      BYTEA   NOT NULL,
  checksum  BYTEA   NOT NULL,
  PRIMARY KEY (run_id, seq)
);

-- Store-wide positions: events first_seq to last_seq of a run, the last of them at position, the others right before.
CREATE TABLE placements (
  run_id    TEXT COLLATE "C" NOT NULL,
  first_seq BIGINT NOT NULL,
  last_seq  BIGINT NOT NULL CHECK (last_seq >= first_seq),
  position  BIGINT NOT NULL,
  PRIMARY KEY (run_id, first_seq)
);
CREATE INDEX placements_by_position ON placements (position);

-- Steps (kind 1), hooks (2) and waits (3). created_at orders hooks over all runs.
CREATE TABLE entities (
  run_id       TEXT COLLATE "C" NOT NULL CHECK (run_id <> ''),
  kind         INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 3),
  entity_id    TEXT COLLATE "C" NOT NULL CHECK (entity_id <> ''),
  status       INTEGER NOT NULL CHECK (status >= 1),
  is_open      BOOLEAN NOT NULL,
  created_seq  BIGINT  NOT NULL CHECK (created_seq >= 1),
  current_seq  BIGINT  NOT NULL CHECK (current_seq >= created_seq),
  terminal_seq BIGINT  NOT NULL CHECK (terminal_seq = 0 OR terminal_seq BETWEEN created_seq AND current_seq),
  due_ms       BIGINT  CHECK (kind <> 3 OR due_ms IS NOT NULL),
  body         BYTEA   NOT NULL,
  created_at   BIGINT  NOT NULL CHECK (created_at >= 0),
  PRIMARY KEY (run_id, kind, entity_id)
);
CREATE INDEX entities_by_creation ON entities (run_id, kind, created_seq, entity_id);
CREATE INDEX entities_open        ON entities (run_id, created_seq) WHERE is_open;
CREATE INDEX hooks_by_creation    ON entities (created_at, run_id, entity_id) WHERE kind = 2;
CREATE INDEX hooks_by_expiry      ON entities (due_ms) WHERE kind = 2 AND is_open AND due_ms IS NOT NULL;
CREATE INDEX waits_by_due         ON entities (due_ms, run_id, entity_id) WHERE kind = 3;

CREATE TABLE tokens (
  token           TEXT COLLATE "C" PRIMARY KEY CHECK (token <> ''),
  run_id          TEXT COLLATE "C" NOT NULL,
  hook_id         TEXT COLLATE "C" NOT NULL,
  retain_until_ms BIGINT
);
CREATE INDEX tokens_by_run       ON tokens (run_id);
CREATE INDEX tokens_by_retention ON tokens (retain_until_ms) WHERE retain_until_ms IS NOT NULL;

-- message_ids is a JSON array.
CREATE TABLE requests (
  request_id  TEXT COLLATE "C" PRIMARY KEY CHECK (request_id <> ''),
  digest      BYTEA  NOT NULL,
  run_id      TEXT COLLATE "C" NOT NULL,
  first_seq   BIGINT NOT NULL,
  last_seq    BIGINT NOT NULL CHECK (last_seq >= first_seq),
  message_ids TEXT   NOT NULL,
  expire_ms   BIGINT NOT NULL
);
CREATE INDEX requests_by_run    ON requests (run_id);
CREATE INDEX requests_by_expiry ON requests (expire_ms);

-- A queue exists from its first message on, also when it is empty again.
CREATE TABLE queues (
  queue TEXT COLLATE "C" PRIMARY KEY CHECK (queue <> '')
);

-- One row a group of a queue, for its lock alone: whoever changes or counts the messages of a group holds it.
CREATE TABLE groups (
  queue   TEXT COLLATE "C" NOT NULL,
  "group" TEXT COLLATE "C" NOT NULL CHECK ("group" <> ''),
  changes BIGINT NOT NULL,
  PRIMARY KEY (queue, "group")
);
CREATE INDEX groups_by_group ON groups ("group");

-- States: READY 1, LEASED 2, DEAD 3. is_head is derived: true for a READY message without a group, and for the first
-- one (by deliver_ms, number) of each priority of a group that has no LEASED message in its queue. So the index over heads
-- holds what may be delivered and nothing else: a blocked group costs a claim nothing, whatever it has piled up.
-- is_unseen: sent under a key that was free, and not leased since: of two senders at the same moment one comes first.
-- last_reason is any text that a client sent, as UTF-8: TEXT takes no zero character.
CREATE TABLE messages (
  queue           TEXT COLLATE "C" NOT NULL CHECK (queue <> ''),
  number          BIGINT  NOT NULL,
  message_id      TEXT COLLATE "C" NOT NULL CHECK (message_id <> ''),
  state           INTEGER NOT NULL CHECK (state BETWEEN 1 AND 3),
  "group"         TEXT COLLATE "C" NOT NULL,
  key             TEXT COLLATE "C" NOT NULL,
  priority        INTEGER NOT NULL CHECK (priority BETWEEN -100 AND 100),
  create_ms       BIGINT  NOT NULL,
  deliver_ms      BIGINT  NOT NULL,
  delivery_count  INTEGER NOT NULL CHECK (delivery_count >= 0),
  max_deliveries  INTEGER NOT NULL CHECK (max_deliveries >= 0),
  receipt         TEXT COLLATE "C" NOT NULL CHECK ((receipt <> '') = (state = 2)),
  lease_ms        BIGINT  NOT NULL CHECK (lease_ms >= 0),
  lease_expire_ms BIGINT  CHECK ((lease_expire_ms IS NOT NULL) = (state = 2)),
  last_reason     BYTEA   NOT NULL,
  body            BYTEA   NOT NULL,
  is_head         BOOLEAN NOT NULL CHECK (NOT is_head OR state = 1),
  is_unseen       BOOLEAN NOT NULL,
  PRIMARY KEY (queue, number)
);
CREATE INDEX        messages_by_id      ON messages (message_id);
CREATE INDEX        messages_by_state   ON messages (queue, state, number);
CREATE INDEX        messages_by_due     ON messages (queue, deliver_ms) WHERE state = 1;
CREATE INDEX        messages_by_key     ON messages (queue, key, number) WHERE state = 1 AND key <> '';
CREATE UNIQUE INDEX messages_unseen_key ON messages (queue, key) WHERE is_unseen AND state = 1 AND key <> '';
CREATE INDEX        messages_by_lease   ON messages (queue, lease_expire_ms) WHERE state = 2;
CREATE INDEX        messages_by_receipt ON messages (receipt) WHERE receipt <> '';
CREATE INDEX        messages_by_group   ON messages (queue, "group", state, priority DESC, deliver_ms, number)
  WHERE "group" <> '';
CREATE INDEX        heads_by_order      ON messages (queue, priority DESC, deliver_ms, number) WHERE is_head;
CREATE INDEX        heads_by_group      ON messages (queue, "group") WHERE is_head AND "group" <> '';

-- Receipts that were acknowledged, so that a repeated acknowledgement is told from a lost lease.
CREATE TABLE settled (
  receipt   TEXT COLLATE "C" PRIMARY KEY CHECK (receipt <> ''),
  expire_ms BIGINT NOT NULL
);
CREATE INDEX settled_by_expiry ON settled (expire_ms);

-- Byte streams of runs. closer_*: the attempt that closed the stream ('' and 0 for none).
CREATE TABLE streams (
  run_id         TEXT COLLATE "C" NOT NULL CHECK (run_id <> ''),
  name           TEXT COLLATE "C" NOT NULL CHECK (name <> ''),
  number         BIGINT  NOT NULL,
  content_type   TEXT    NOT NULL,
  next_index     BIGINT  NOT NULL CHECK (next_index >= 0),
  size_bytes     BIGINT  NOT NULL CHECK (size_bytes >= 0),
  is_closed      BOOLEAN NOT NULL,
  closer_run_id  TEXT    NOT NULL,
  closer_step_id TEXT    NOT NULL CHECK (closer_step_id = '' OR is_closed),
  closer_attempt INTEGER NOT NULL CHECK (closer_attempt >= 0),
  create_ms      BIGINT  NOT NULL CHECK (create_ms >= 0),
  update_ms      BIGINT  NOT NULL CHECK (update_ms >= create_ms),
  PRIMARY KEY (run_id, name)
);

CREATE UNIQUE INDEX streams_by_number ON streams (number);

-- The key is in the order in which the newest attempt of each step is looked up.
CREATE TABLE stream_writers (
  stream      BIGINT  NOT NULL,
  step_run_id TEXT COLLATE "C" NOT NULL,
  step_id     TEXT COLLATE "C" NOT NULL,
  attempt     INTEGER NOT NULL CHECK ((attempt > 0) = (step_id <> '')),
  writer_id   TEXT COLLATE "C" NOT NULL,
  number      BIGINT  NOT NULL,
  next_chunk  BIGINT  NOT NULL CHECK (next_chunk >= 0),
  first_index BIGINT  NOT NULL CHECK (first_index >= 0),
  PRIMARY KEY (stream, step_run_id, step_id, attempt, writer_id)
);
CREATE UNIQUE INDEX stream_writers_by_number ON stream_writers (stream, number);

CREATE TABLE chunks (
  stream  BIGINT NOT NULL,
  "index" BIGINT NOT NULL CHECK ("index" >= 0),
  writer  BIGINT NOT NULL,
  data    BYTEA  NOT NULL,
  PRIMARY KEY (stream, "index")
);
