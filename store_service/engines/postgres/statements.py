"""The PostgreSQL engine's own statements about logs, and `COMMON`: those that it has in common with the other engine.

Owns what PostgreSQL says in its own way: locks, positions over all runs, what replicas tell each other.
``queue_statements.py`` and ``stream_statements.py`` hold the rest. HOLD_… locks what it reads until the commit, so that
what is decided from it stays true. Only SQL that PostgreSQL-compatible distributed databases take too:
``tests/postgres/test_allowed_statements.py`` parses each, the common ones as well, and refuses what is not on its list.
"""

from __future__ import annotations

from typing import Final

from store_service.engines.sql import columns
from store_service.engines.sql.columns import parameters
from store_service.engines.sql.dialect import Dialect
from store_service.engines.sql.statements import Statements

COMMON: Final = Statements(Dialect(mark="%s", is_open="is_open", has_arrays=True))

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

HOLD_META: Final = f"{COMMON.META} FOR UPDATE"

# --- runs -------------------------------------------------------------------------------------------------------

HOLD_RUN: Final = f"{COMMON.RUN} FOR UPDATE"

#: Sorted, so that two batches that want the same runs wait for each other and never in a circle.
HOLD_RUNS: Final = f"SELECT {columns.RUN} FROM runs WHERE run_id = ANY(%s) ORDER BY run_id FOR UPDATE"

#: The head moves with every append. No column of an index is named, so the row stays in its page (heap-only tuple).
MOVE_HEAD: Final = """
UPDATE runs SET update_ms = %s, head_seq = %s, head_at = %s, out_of_band_at = %s, out_of_band_seq = %s,
  replay_seq = %s, started_seq = %s, head_checksum = %s
WHERE run_id = %s
"""
moved_head_parameters: Final = parameters(f"{columns.HEAD}, run_id")

#: Another replica that sweeps at the same moment takes the others.
HOLD_EXPIRED_RUNS: Final = f"{COMMON.EXPIRED_RUNS} FOR UPDATE SKIP LOCKED"

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
SELECT p.position - p.last_seq + e.seq, {", ".join(f"e.{name.strip()}" for name in columns.EVENT.split(","))}
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

#: A hook is swept by who holds its run. Two statements, because the second must see what was committed while the
#: first waited for nobody: the locks come first, what is read under them is true.
HOLD_RUNS_OF_EXPIRED_HOOKS: Final = f"""
SELECT {columns.RUN} FROM runs WHERE run_id IN (
  SELECT run_id FROM (
    SELECT run_id FROM entities
    WHERE kind = 2 AND is_open AND due_ms IS NOT NULL AND due_ms <= %s ORDER BY due_ms LIMIT %s) AS due)
ORDER BY run_id FOR UPDATE SKIP LOCKED
"""
EXPIRED_HOOKS_OF: Final = f"""
SELECT {columns.ENTITY} FROM entities
WHERE run_id = ANY(%s) AND kind = 2 AND is_open AND due_ms IS NOT NULL AND due_ms <= %s ORDER BY due_ms LIMIT %s
"""

# --- tokens -----------------------------------------------------------------------------------------------------

HOLD_TOKEN: Final = f"{COMMON.TOKEN} FOR UPDATE"

#: SKIP LOCKED: a token that somebody takes over at this moment is not forgotten under them.
FORGET_TOKENS: Final = """
DELETE FROM tokens WHERE token IN (
  SELECT token FROM tokens WHERE retain_until_ms IS NOT NULL AND retain_until_ms <= %s
  ORDER BY retain_until_ms LIMIT %s FOR UPDATE SKIP LOCKED)
"""

# --- requests and settled receipts ------------------------------------------------------------------------------

HOLD_REQUEST: Final = f"{COMMON.REQUEST} FOR UPDATE"
HOLD_REQUESTS: Final = f"""
SELECT {columns.REQUEST} FROM requests WHERE request_id = ANY(%s) ORDER BY request_id FOR UPDATE
"""

FORGET_REQUESTS: Final = """
DELETE FROM requests WHERE request_id IN (
  SELECT request_id FROM requests WHERE expire_ms <= %s ORDER BY expire_ms LIMIT %s FOR UPDATE SKIP LOCKED)
"""

FORGET_SETTLED: Final = """
DELETE FROM settled WHERE receipt IN (
  SELECT receipt FROM settled WHERE expire_ms <= %s ORDER BY expire_ms LIMIT %s FOR UPDATE SKIP LOCKED)
"""
