-- The tables of a store. Bodies are serialized protobuf messages; every time is epoch milliseconds.
-- Constraints repeat what the rules promise, so that a bug is an error and never a row.

-- The store's own values: store_id, deleted_position, ...
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
  run_id          TEXT    PRIMARY KEY CHECK (run_id <> ''),
  workflow_name   TEXT    NOT NULL,
  status          INTEGER NOT NULL CHECK (status >= 1),
  create_ms       INTEGER NOT NULL CHECK (create_ms >= 0),
  update_ms       INTEGER NOT NULL CHECK (update_ms >= create_ms),
  expire_ms       INTEGER,
  parent_run_id   TEXT    NOT NULL,
  head_seq        INTEGER NOT NULL CHECK (head_seq >= 1),
  head_at         INTEGER NOT NULL CHECK (head_at >= 0),
  out_of_band_at  INTEGER NOT NULL CHECK (out_of_band_at  BETWEEN 0 AND head_at),
  out_of_band_seq INTEGER NOT NULL CHECK (out_of_band_seq BETWEEN 0 AND head_seq),
  replay_seq      INTEGER NOT NULL CHECK (replay_seq      BETWEEN 0 AND head_seq),
  started_seq     INTEGER NOT NULL CHECK (started_seq     BETWEEN 0 AND head_seq),
  terminal_seq    INTEGER NOT NULL CHECK (terminal_seq    BETWEEN 0 AND head_seq),
  body            BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX runs_by_creation ON runs (create_ms, run_id);
CREATE INDEX runs_by_workflow ON runs (workflow_name, create_ms, run_id);
CREATE INDEX runs_by_status   ON runs (status, create_ms, run_id);
CREATE INDEX runs_by_parent   ON runs (parent_run_id, create_ms, run_id) WHERE parent_run_id <> '';
CREATE INDEX runs_by_expiry   ON runs (expire_ms) WHERE expire_ms IS NOT NULL AND terminal_seq = 0;

CREATE TABLE attributes (
  key    TEXT NOT NULL,
  value  TEXT NOT NULL,
  run_id TEXT NOT NULL,
  PRIMARY KEY (key, value, run_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX attributes_by_run ON attributes (run_id);

-- AUTOINCREMENT: the position of a deleted event is never given again, so that cursors stay true.
CREATE TABLE events (
  position  INTEGER PRIMARY KEY AUTOINCREMENT,
  run_id    TEXT    NOT NULL CHECK (run_id <> ''),
  seq       INTEGER NOT NULL CHECK (seq >= 1),
  event_id  TEXT    NOT NULL,
  at        INTEGER NOT NULL CHECK (at >= 0),
  kind      INTEGER NOT NULL CHECK (kind >= 1),
  entity_id TEXT    NOT NULL,
  body      BLOB    NOT NULL,
  UNIQUE (run_id, seq)
) STRICT;

-- Steps (kind 1), hooks (2) and waits (3). created_at orders hooks over all runs.
CREATE TABLE entities (
  run_id       TEXT    NOT NULL CHECK (run_id <> ''),
  kind         INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 3),
  entity_id    TEXT    NOT NULL CHECK (entity_id <> ''),
  status       INTEGER NOT NULL CHECK (status >= 1),
  is_open      INTEGER NOT NULL CHECK (is_open IN (0, 1)),
  created_seq  INTEGER NOT NULL CHECK (created_seq >= 1),
  current_seq  INTEGER NOT NULL CHECK (current_seq >= created_seq),
  terminal_seq INTEGER NOT NULL CHECK (terminal_seq = 0 OR terminal_seq BETWEEN created_seq AND current_seq),
  due_ms       INTEGER CHECK (kind <> 3 OR due_ms IS NOT NULL),
  body         BLOB    NOT NULL,
  created_at   INTEGER NOT NULL CHECK (created_at >= 0),
  PRIMARY KEY (run_id, kind, entity_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX entities_by_creation ON entities (run_id, kind, created_seq, entity_id);
CREATE INDEX entities_open        ON entities (run_id, created_seq) WHERE is_open = 1;
CREATE INDEX hooks_by_creation    ON entities (created_at, run_id, entity_id) WHERE kind = 2;
CREATE INDEX hooks_by_expiry      ON entities (due_ms) WHERE kind = 2 AND is_open = 1 AND due_ms IS NOT NULL;
CREATE INDEX waits_by_due         ON entities (due_ms, run_id, entity_id) WHERE kind = 3;

CREATE TABLE tokens (
  token           TEXT PRIMARY KEY CHECK (token <> ''),
  run_id          TEXT NOT NULL,
  hook_id         TEXT NOT NULL,
  retain_until_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_by_run       ON tokens (run_id);
CREATE INDEX tokens_by_retention ON tokens (retain_until_ms) WHERE retain_until_ms IS NOT NULL;

-- message_ids is a JSON array.
CREATE TABLE requests (
  request_id  TEXT    PRIMARY KEY CHECK (request_id <> ''),
  digest      BLOB    NOT NULL,
  run_id      TEXT    NOT NULL,
  first_seq   INTEGER NOT NULL,
  last_seq    INTEGER NOT NULL CHECK (last_seq >= first_seq),
  message_ids TEXT    NOT NULL,
  expire_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX requests_by_run    ON requests (run_id);
CREATE INDEX requests_by_expiry ON requests (expire_ms);

-- A queue exists from its first message on, also when it is empty again.
CREATE TABLE queues (
  queue TEXT PRIMARY KEY CHECK (queue <> '')
) STRICT, WITHOUT ROWID;

-- States: READY 1, LEASED 2, DEAD 3. is_head is derived: 1 for a READY message without a group, and for the first
-- one (by deliver_ms, number) of each priority of a group that has no LEASED message in its queue. So the index over heads
-- holds what may be delivered and nothing else: a blocked group costs a claim nothing, whatever it has piled up.
CREATE TABLE messages (
  number          INTEGER PRIMARY KEY AUTOINCREMENT,
  message_id      TEXT    NOT NULL UNIQUE CHECK (message_id <> ''),
  queue           TEXT    NOT NULL CHECK (queue <> ''),
  state           INTEGER NOT NULL CHECK (state BETWEEN 1 AND 3),
  "group"         TEXT    NOT NULL,
  key             TEXT    NOT NULL,
  priority        INTEGER NOT NULL CHECK (priority BETWEEN -100 AND 100),
  create_ms       INTEGER NOT NULL,
  deliver_ms      INTEGER NOT NULL,
  delivery_count  INTEGER NOT NULL CHECK (delivery_count >= 0),
  max_deliveries  INTEGER NOT NULL CHECK (max_deliveries >= 0),
  receipt         TEXT    NOT NULL CHECK ((receipt <> '') = (state = 2)),
  lease_ms        INTEGER NOT NULL CHECK (lease_ms >= 0),
  lease_expire_ms INTEGER CHECK ((lease_expire_ms IS NOT NULL) = (state = 2)),
  last_reason     TEXT    NOT NULL,
  body            BLOB    NOT NULL,
  is_head         INTEGER NOT NULL CHECK (is_head = 0 OR (is_head = 1 AND state = 1))
) STRICT;

CREATE INDEX        messages_by_state   ON messages (queue, state);
CREATE INDEX        messages_by_due     ON messages (queue, deliver_ms) WHERE state = 1;
CREATE INDEX        messages_by_key     ON messages (queue, key) WHERE state = 1 AND key <> '';
CREATE INDEX        messages_by_lease   ON messages (queue, lease_expire_ms) WHERE state = 2;
CREATE UNIQUE INDEX messages_by_receipt ON messages (receipt) WHERE receipt <> '';
CREATE INDEX        messages_by_group   ON messages ("group", queue, state, priority DESC, deliver_ms)
  WHERE "group" <> '';
CREATE INDEX        heads_by_order      ON messages (queue, priority DESC, deliver_ms) WHERE is_head = 1;
CREATE INDEX        heads_by_group      ON messages ("group", queue) WHERE is_head = 1 AND "group" <> '';

-- Receipts that were acknowledged, so that a repeated acknowledgement is told from a lost lease.
CREATE TABLE settled (
  receipt   TEXT    PRIMARY KEY CHECK (receipt <> ''),
  expire_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX settled_by_expiry ON settled (expire_ms);
