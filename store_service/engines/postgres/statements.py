"""Every fixed SQL statement about logs, by name: runs, events, entities, tokens, requests, the store's own values.

Owns the text; ``queue_statements.py`` and ``stream_statements.py`` hold the rest, ``queries.py`` the lists whose
filters vary, ``rows.py`` the order of columns. HOLD_… locks what it reads until the commit, so that what is decided
from it stays true. Only SQL that PostgreSQL-compatible distributed databases take too:
``tests/postgres/test_allowed_statements.py`` parses each and refuses what is not on its list.
"""

from __future__ import annotations

from typing import Final

from store_service.engines.postgres import rows
from store_service.engines.postgres.rows import marks

# --- transactions -----------------------------------------------------------------------------------------------

#: READ COMMITTED: each statement sees what was committed before it, so what is read after a lock is what the lock
#: protects. A database that knows SERIALIZABLE only gives more than is asked for.
BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
BEGIN_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
COMMIT: Final = "COMMIT"
ROLLBACK: Final = "ROLLBACK"
SAVEPOINT: Final = "SAVEPOINT unit"
ROLLBACK_TO: Final = "ROLLBACK TO SAVEPOINT unit"
RELEASE: Final = "RELEASE SAVEPOINT unit"

# --- meta -------------------------------------------------------------------------------------------------------

META: Final = "SELECT value FROM meta WHERE key = %s"
HOLD_META: Final = f"{META} FOR UPDATE"
INSERT_META: Final = "INSERT INTO meta (key, value) VALUES (%s, %s)"
PUT_META: Final = f"{INSERT_META} ON CONFLICT (key) DO UPDATE SET value = excluded.value"

# --- runs -------------------------------------------------------------------------------------------------------

RUN: Final = f"SELECT {rows.RUN} FROM runs WHERE run_id = %s"
HOLD_RUN: Final = f"{RUN} FOR UPDATE"

#: Sorted, so that two batches that want the same runs wait for each other and never in a circle.
HOLD_RUNS: Final = f"SELECT {rows.RUN} FROM runs WHERE run_id = ANY(%s) ORDER BY run_id FOR UPDATE"

INSERT_RUN: Final = f"INSERT INTO runs ({rows.RUN}) VALUES ({marks(rows.RUN)})"

PUT_RUN: Final = f"""
{INSERT_RUN}
ON CONFLICT (run_id) DO UPDATE SET
  workflow_name = excluded.workflow_name, status = excluded.status, create_ms = excluded.create_ms,
  update_ms = excluded.update_ms, expire_ms = excluded.expire_ms, parent_run_id = excluded.parent_run_id,
  head_seq = excluded.head_seq, head_at = excluded.head_at, out_of_band_at = excluded.out_of_band_at,
  out_of_band_seq = excluded.out_of_band_seq, replay_seq = excluded.replay_seq,
  started_seq = excluded.started_seq, terminal_seq = excluded.terminal_seq, body = excluded.body,
  head_checksum = excluded.head_checksum
"""

#: The head moves with every append. No column of an index is named, so the row stays in its page (heap-only tuple).
MOVE_HEAD: Final = """
UPDATE runs SET update_ms = %s, head_seq = %s, head_at = %s, out_of_band_at = %s, out_of_band_seq = %s,
  replay_seq = %s, started_seq = %s, head_checksum = %s
WHERE run_id = %s
"""

#: The rare one: the state changed too.
PUT_HEAD: Final = """
UPDATE runs SET update_ms = %s, head_seq = %s, head_at = %s, out_of_band_at = %s, out_of_band_seq = %s,
  replay_seq = %s, started_seq = %s, head_checksum = %s, status = %s, expire_ms = %s, terminal_seq = %s
WHERE run_id = %s
"""

DELETE_RUN: Final = "DELETE FROM runs WHERE run_id = %s"

EXPIRED_RUNS: Final = f"""
SELECT {rows.RUN} FROM runs
WHERE expire_ms <= %s AND expire_ms IS NOT NULL AND terminal_seq = 0 ORDER BY expire_ms LIMIT %s
"""
#: Another replica that sweeps at the same moment takes the others.
HOLD_EXPIRED_RUNS: Final = f"{EXPIRED_RUNS} FOR UPDATE SKIP LOCKED"

NEXT_RUN_EXPIRY: Final = """
SELECT expire_ms FROM runs WHERE expire_ms IS NOT NULL AND terminal_seq = 0 ORDER BY expire_ms LIMIT 1
"""

# --- attributes -------------------------------------------------------------------------------------------------

ATTRIBUTES: Final = "SELECT key, value FROM attributes WHERE run_id = %s"

DELETE_ATTRIBUTES: Final = "DELETE FROM attributes WHERE run_id = %s"

INSERT_ATTRIBUTE: Final = "INSERT INTO attributes (run_id, key, value) VALUES (%s, %s, %s)"

# --- events -----------------------------------------------------------------------------------------------------

EVENT: Final = f"SELECT {rows.EVENT} FROM events WHERE run_id = %s AND seq = %s"

SEQ_AT: Final = "SELECT seq FROM events WHERE run_id = %s AND at <= %s ORDER BY seq DESC LIMIT 1"

INSERT_EVENT: Final = f"INSERT INTO events ({rows.EVENT}) VALUES ({marks(rows.EVENT)})"

DELETE_EVENTS: Final = "DELETE FROM events WHERE run_id = %s"

# --- positions over all runs ------------------------------------------------------------------------------------

#: The last lock of a commit; see migrations/0001_initial.sql and docs/decisions/0011-postgresql.md.
ADVANCE: Final = "UPDATE counters SET position = position + %s, number = number + %s WHERE name = 'log'"

#: Right after ADVANCE, in the same transaction: the last event of the batch lies at the counter, the others before.
PLACE: Final = """
INSERT INTO placements (run_id, first_seq, last_seq, position)
SELECT %s, %s, %s, position - %s FROM counters WHERE name = 'log'
"""

ANNOUNCE: Final = """
INSERT INTO announcements (batch_id, number, replica, notes)
SELECT %s, number, %s, %s FROM counters WHERE name = 'log'
"""

LAST_POSITION: Final = "SELECT position FROM counters WHERE name = 'log'"

LAST_POSITION_OF_RUN: Final = """
SELECT position FROM placements WHERE run_id = %s ORDER BY first_seq DESC LIMIT 1
"""

#: Positions of events: those of one placement lie right before its own.
ALL_EVENTS: Final = f"""
SELECT p.position - p.last_seq + e.seq, {", ".join(f"e.{name.strip()}" for name in rows.EVENT.split(","))}
FROM placements p JOIN events e ON e.run_id = p.run_id AND e.seq BETWEEN p.first_seq AND p.last_seq
WHERE p.position > %s AND p.position - p.last_seq + e.seq > %s
ORDER BY p.position, e.seq LIMIT %s
"""

DELETE_PLACEMENTS: Final = "DELETE FROM placements WHERE run_id = %s"

# --- what replicas tell each other ------------------------------------------------------------------------------

#: And the clock that all replicas share, in epoch milliseconds.
LAST_ANNOUNCEMENT: Final = """
SELECT number, (extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM counters WHERE name = 'log'
"""

#: A hint and nothing more: whoever misses it looks a little later. Databases without it answer with an error that is
#: found out when the first connection is made (hints.py).
HINT: Final = "SELECT pg_notify(%s, %s)"

ANNOUNCEMENTS: Final = """
SELECT number, replica, notes FROM announcements WHERE number > %s ORDER BY number LIMIT %s
"""

FORGET_ANNOUNCEMENTS: Final = """
DELETE FROM announcements WHERE batch_id IN (
  SELECT batch_id FROM announcements WHERE at < now() - %s * INTERVAL '1 second' ORDER BY at LIMIT %s
  FOR UPDATE SKIP LOCKED)
"""

#: Bars a batch whose commit is unknown from ever committing, or finds that it did: see outcome.py.
GIVE_UP: Final = "INSERT INTO announcements (batch_id, number, replica, notes) VALUES (%s, NULL, %s, '')"

# --- entities ---------------------------------------------------------------------------------------------------

ENTITY: Final = f"SELECT {rows.ENTITY} FROM entities WHERE run_id = %s AND kind = %s AND entity_id = %s"

OPEN_ENTITIES: Final = f"""
SELECT {rows.ENTITY} FROM entities WHERE run_id = %s AND is_open ORDER BY created_seq
"""

#: What an entity was created with never changes, so its ordering indexes are written once.
PUT_ENTITY: Final = f"""
INSERT INTO entities ({rows.ENTITY}, created_at) VALUES ({marks(rows.ENTITY)}, %s)
ON CONFLICT (run_id, kind, entity_id) DO UPDATE SET
  status = excluded.status, is_open = excluded.is_open, current_seq = excluded.current_seq,
  terminal_seq = excluded.terminal_seq, due_ms = excluded.due_ms, body = excluded.body
"""

DELETE_ENTITIES: Final = "DELETE FROM entities WHERE run_id = %s"

EXPIRED_HOOKS: Final = f"""
SELECT {rows.ENTITY} FROM entities
WHERE kind = 2 AND is_open AND due_ms IS NOT NULL AND due_ms <= %s ORDER BY due_ms LIMIT %s
"""

#: A hook is swept by who holds its run. Two statements, because the second must see what was committed while the
#: first waited for nobody: the locks come first, what is read under them is true.
HOLD_RUNS_OF_EXPIRED_HOOKS: Final = f"""
SELECT {rows.RUN} FROM runs WHERE run_id IN (
  SELECT run_id FROM (
    SELECT run_id FROM entities
    WHERE kind = 2 AND is_open AND due_ms IS NOT NULL AND due_ms <= %s ORDER BY due_ms LIMIT %s) AS due)
ORDER BY run_id FOR UPDATE SKIP LOCKED
"""
EXPIRED_HOOKS_OF: Final = f"""
SELECT {rows.ENTITY} FROM entities
WHERE run_id = ANY(%s) AND kind = 2 AND is_open AND due_ms IS NOT NULL AND due_ms <= %s ORDER BY due_ms LIMIT %s
"""

NEXT_HOOK_EXPIRY: Final = """
SELECT due_ms FROM entities WHERE kind = 2 AND is_open AND due_ms IS NOT NULL ORDER BY due_ms LIMIT 1
"""

# --- tokens -----------------------------------------------------------------------------------------------------

TOKEN: Final = f"SELECT {rows.TOKEN} FROM tokens WHERE token = %s"
HOLD_TOKEN: Final = f"{TOKEN} FOR UPDATE"
INSERT_TOKEN: Final = f"INSERT INTO tokens ({rows.TOKEN}) VALUES ({marks(rows.TOKEN)})"
PUT_TOKEN: Final = f"""
{INSERT_TOKEN}
ON CONFLICT (token) DO UPDATE SET
  run_id = excluded.run_id, hook_id = excluded.hook_id, retain_until_ms = excluded.retain_until_ms
"""
DELETE_TOKEN: Final = "DELETE FROM tokens WHERE token = %s"
DELETE_TOKENS_OF_RUN: Final = "DELETE FROM tokens WHERE run_id = %s"

NEXT_TOKEN_EXPIRY: Final = """
SELECT retain_until_ms FROM tokens WHERE retain_until_ms IS NOT NULL ORDER BY retain_until_ms LIMIT 1
"""

#: SKIP LOCKED: a token that somebody takes over at this moment is not forgotten under them.
FORGET_TOKENS: Final = """
DELETE FROM tokens WHERE token IN (
  SELECT token FROM tokens WHERE retain_until_ms IS NOT NULL AND retain_until_ms <= %s
  ORDER BY retain_until_ms LIMIT %s FOR UPDATE SKIP LOCKED)
"""

# --- requests and settled receipts ------------------------------------------------------------------------------

REQUEST: Final = f"SELECT {rows.REQUEST} FROM requests WHERE request_id = %s"
HOLD_REQUEST: Final = f"{REQUEST} FOR UPDATE"
HOLD_REQUESTS: Final = f"""
SELECT {rows.REQUEST} FROM requests WHERE request_id = ANY(%s) ORDER BY request_id FOR UPDATE
"""
INSERT_REQUEST: Final = f"INSERT INTO requests ({rows.REQUEST}) VALUES ({marks(rows.REQUEST)})"
PUT_REQUEST: Final = f"""
{INSERT_REQUEST}
ON CONFLICT (request_id) DO UPDATE SET
  digest = excluded.digest, run_id = excluded.run_id, first_seq = excluded.first_seq, last_seq = excluded.last_seq,
  message_ids = excluded.message_ids, expire_ms = excluded.expire_ms
"""
DELETE_REQUESTS_OF_RUN: Final = "DELETE FROM requests WHERE run_id = %s"

FORGET_REQUESTS: Final = """
DELETE FROM requests WHERE request_id IN (
  SELECT request_id FROM requests WHERE expire_ms <= %s ORDER BY expire_ms LIMIT %s FOR UPDATE SKIP LOCKED)
"""

SETTLED: Final = "SELECT 1 FROM settled WHERE receipt = %s"
SETTLE: Final = """
INSERT INTO settled (receipt, expire_ms) VALUES (%s, %s)
ON CONFLICT (receipt) DO UPDATE SET expire_ms = excluded.expire_ms
"""
FORGET_SETTLED: Final = """
DELETE FROM settled WHERE receipt IN (
  SELECT receipt FROM settled WHERE expire_ms <= %s ORDER BY expire_ms LIMIT %s FOR UPDATE SKIP LOCKED)
"""
