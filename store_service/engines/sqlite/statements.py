"""The SQLite engine's own statements, and `COMMON`: those that it has in common with the other engine.

Owns what SQLite says in its own way: where positions and numbers come from, and what may be delivered, which one
writer finds out without locks. Literal ``state = 1`` and ``is_head = 1`` are what lets SQLite use the partial indexes
of ``migrations``: a bound parameter would not. ``tests/conformance/test_sqlite_plans.py`` explains each statement and
refuses full scans.
"""

from __future__ import annotations

from typing import Final

from store_service.engines.sql import columns
from store_service.engines.sql.columns import marks, parameters
from store_service.engines.sql.dialect import Dialect
from store_service.engines.sql.statements import Statements

COMMON: Final = Statements(Dialect(mark="?", is_open="is_open = 1", has_arrays=False))

# --- runs -------------------------------------------------------------------------------------------------------

#: The head moves with every append; columns that stand in an index are left out, so that no index is rewritten.
MOVE_HEAD: Final = """
UPDATE runs SET update_ms = ?, head_seq = ?, head_at = ?, out_of_band_at = ?, out_of_band_seq = ?,
  replay_seq = ?, started_seq = ?, head_checksum = ?
WHERE run_id = ? AND status = ? AND expire_ms IS ? AND terminal_seq = ?
"""
moved_head_parameters: Final = parameters(f"{columns.HEAD}, run_id, {columns.STATE}")

# --- events: a position is the row's own number ------------------------------------------------------------------

ALL_EVENTS: Final = f"SELECT position, {columns.EVENT} FROM events WHERE position > ? ORDER BY position LIMIT ?"

LAST_POSITION: Final = "SELECT max(position) FROM events"

LAST_POSITION_OF_RUN: Final = "SELECT position FROM events WHERE run_id = ? ORDER BY seq DESC LIMIT 1"

# --- what time alone makes forgettable --------------------------------------------------------------------------

FORGET_TOKENS: Final = """
DELETE FROM tokens WHERE token IN (
  SELECT token FROM tokens WHERE retain_until_ms IS NOT NULL AND retain_until_ms <= ?
  ORDER BY retain_until_ms LIMIT ?)
"""

FORGET_REQUESTS: Final = """
DELETE FROM requests WHERE request_id IN (
  SELECT request_id FROM requests WHERE expire_ms <= ? ORDER BY expire_ms LIMIT ?)
"""

FORGET_SETTLED: Final = """
DELETE FROM settled WHERE receipt IN (SELECT receipt FROM settled WHERE expire_ms <= ? ORDER BY expire_ms LIMIT ?)
"""

# --- messages: SQLite gives the number --------------------------------------------------------------------------

message_parameters: Final = parameters(columns.MESSAGE_UNNUMBERED)

INSERT_MESSAGE: Final = f"""
INSERT INTO messages ({columns.MESSAGE_UNNUMBERED}, is_head) VALUES ({marks(columns.MESSAGE_UNNUMBERED)}, ?)
"""

#: A message never moves to another queue or group.
PUT_MESSAGE: Final = """
UPDATE messages SET state = ?, key = ?, priority = ?, create_ms = ?, deliver_ms = ?, delivery_count = ?,
  max_deliveries = ?, receipt = ?, lease_ms = ?, lease_expire_ms = ?, last_reason = ?, body = ?,
  checksum = ?, is_head = ?
WHERE message_id = ?
"""

DELETE_MESSAGE: Final = 'DELETE FROM messages WHERE message_id = ? RETURNING queue, "group"'

DELETE_MESSAGES_OF_GROUP: Final = """DELETE FROM messages WHERE "group" = ? AND "group" <> ''"""

# --- heads: what may be delivered, see migrations/0001_initial.sql ----------------------------------------------

NEXT_PRIORITY: Final = """
SELECT priority FROM messages WHERE queue = ? AND is_head = 1 AND priority < ? ORDER BY priority DESC LIMIT 1
"""

DUE_HEADS: Final = f"""
SELECT {columns.MESSAGE} FROM messages
WHERE queue = ? AND is_head = 1 AND priority = ? AND deliver_ms <= ? ORDER BY deliver_ms, number LIMIT ?
"""

GROUP_IS_LEASED: Final = """
SELECT 1 FROM messages WHERE "group" = ? AND "group" <> '' AND queue = ? AND state = 2 LIMIT 1
"""

CLEAR_HEADS: Final = """
UPDATE messages SET is_head = 0 WHERE "group" = ? AND "group" <> '' AND queue = ? AND is_head = 1
"""

NEXT_FIRST_OF_GROUP: Final = """
SELECT number, priority FROM messages
WHERE "group" = ? AND "group" <> '' AND queue = ? AND state = 1 AND priority < ?
ORDER BY priority DESC, deliver_ms, number LIMIT 1
"""

SET_HEAD: Final = "UPDATE messages SET is_head = 1 WHERE number = ?"

# --- streams: SQLite gives the numbers --------------------------------------------------------------------------

stream_parameters: Final = parameters(columns.STREAM_UNNUMBERED)
writer_parameters: Final = parameters(columns.WRITER_UNNUMBERED)

INSERT_STREAM: Final = f"INSERT INTO streams ({columns.STREAM_UNNUMBERED}) VALUES ({marks(columns.STREAM_UNNUMBERED)})"

PUT_STREAM: Final = """
UPDATE streams SET content_type = ?, next_index = ?, size_bytes = ?, is_closed = ?, closer_run_id = ?,
  closer_step_id = ?, closer_attempt = ?, update_ms = ?
WHERE number = ?
"""
put_stream_parameters: Final = parameters(f"{columns.CHANGED_STREAM}, number")

INSERT_WRITER: Final = (
    f"INSERT INTO stream_writers ({columns.WRITER_UNNUMBERED}) VALUES ({marks(columns.WRITER_UNNUMBERED)})"
)

PUT_WRITER: Final = "UPDATE stream_writers SET next_chunk = ? WHERE number = ?"

CHUNKS: Final = """
SELECT chunks."index", w.step_run_id, w.step_id, w.attempt, chunks.data, chunks.checksum
FROM chunks JOIN stream_writers AS w ON w.number = chunks.writer
WHERE chunks.stream = ? AND chunks."index" >= ? ORDER BY chunks."index" LIMIT ?
"""
