"""Every fixed SQL statement of the SQLite engine, by name.

Owns the text; ``rows.py`` owns the order of columns, ``queries.py`` the three lists whose filters vary. Literal
``state = 1``, ``kind = 2`` and ``key <> ''`` are what lets SQLite use the partial indexes of ``migrations``: a bound
parameter would not. ``tests/conformance/test_sqlite_plans.py`` explains each statement and refuses full scans.
"""

from __future__ import annotations

from typing import Final

from store_service.engines.sqlite import rows

# --- meta -------------------------------------------------------------------------------------------------------

META: Final = "SELECT value FROM meta WHERE key = ?"

PUT_META: Final = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"

# --- runs -------------------------------------------------------------------------------------------------------

RUN: Final = f"SELECT {rows.RUN} FROM runs WHERE run_id = ?"

PUT_RUN: Final = f"""
INSERT INTO runs ({rows.RUN}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run_id) DO UPDATE SET
  workflow_name = excluded.workflow_name, status = excluded.status, create_ms = excluded.create_ms,
  update_ms = excluded.update_ms, expire_ms = excluded.expire_ms, parent_run_id = excluded.parent_run_id,
  head_seq = excluded.head_seq, head_at = excluded.head_at, out_of_band_at = excluded.out_of_band_at,
  out_of_band_seq = excluded.out_of_band_seq, replay_seq = excluded.replay_seq,
  started_seq = excluded.started_seq, terminal_seq = excluded.terminal_seq, body = excluded.body,
  head_checksum = excluded.head_checksum
"""

#: The head moves with every append; columns that stand in an index are left out, so that no index is rewritten.
MOVE_HEAD: Final = """
UPDATE runs SET update_ms = ?, head_seq = ?, head_at = ?, out_of_band_at = ?, out_of_band_seq = ?,
  replay_seq = ?, started_seq = ?, head_checksum = ?
WHERE run_id = ? AND status = ? AND expire_ms IS ? AND terminal_seq = ?
"""

#: The rare one: the state changed too.
PUT_HEAD: Final = """
UPDATE runs SET update_ms = ?, head_seq = ?, head_at = ?, out_of_band_at = ?, out_of_band_seq = ?,
  replay_seq = ?, started_seq = ?, head_checksum = ?, status = ?, expire_ms = ?, terminal_seq = ?
WHERE run_id = ?
"""

DELETE_RUN: Final = "DELETE FROM runs WHERE run_id = ?"

EXPIRED_RUNS: Final = f"""
SELECT {rows.RUN} FROM runs
WHERE expire_ms <= ? AND expire_ms IS NOT NULL AND terminal_seq = 0 ORDER BY expire_ms LIMIT ?
"""

NEXT_RUN_EXPIRY: Final = """
SELECT expire_ms FROM runs WHERE expire_ms IS NOT NULL AND terminal_seq = 0 ORDER BY expire_ms LIMIT 1
"""

# --- attributes -------------------------------------------------------------------------------------------------

ATTRIBUTES: Final = "SELECT key, value FROM attributes WHERE run_id = ?"

DELETE_ATTRIBUTES: Final = "DELETE FROM attributes WHERE run_id = ?"

INSERT_ATTRIBUTE: Final = "INSERT INTO attributes (key, value, run_id) VALUES (?, ?, ?)"

# --- events -----------------------------------------------------------------------------------------------------

EVENT: Final = f"SELECT {rows.EVENT} FROM events WHERE run_id = ? AND seq = ?"

SEQ_AT: Final = "SELECT seq FROM events WHERE run_id = ? AND at <= ? ORDER BY seq DESC LIMIT 1"

ALL_EVENTS: Final = f"SELECT position, {rows.EVENT} FROM events WHERE position > ? ORDER BY position LIMIT ?"

LAST_POSITION: Final = "SELECT max(position) FROM events"

LAST_POSITION_OF_RUN: Final = "SELECT position FROM events WHERE run_id = ? ORDER BY seq DESC LIMIT 1"

INSERT_EVENT: Final = f"INSERT INTO events ({rows.EVENT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

DELETE_EVENTS: Final = "DELETE FROM events WHERE run_id = ?"

# --- entities ---------------------------------------------------------------------------------------------------

ENTITY: Final = f"SELECT {rows.ENTITY} FROM entities WHERE run_id = ? AND kind = ? AND entity_id = ?"

OPEN_ENTITIES: Final = f"""
SELECT {rows.ENTITY} FROM entities WHERE run_id = ? AND is_open = 1 ORDER BY created_seq
"""

#: What an entity was created with never changes, so its ordering indexes are written once.
PUT_ENTITY: Final = f"""
INSERT INTO entities ({rows.ENTITY}, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run_id, kind, entity_id) DO UPDATE SET
  status = excluded.status, is_open = excluded.is_open, current_seq = excluded.current_seq,
  terminal_seq = excluded.terminal_seq, due_ms = excluded.due_ms, body = excluded.body
"""

DELETE_ENTITIES: Final = "DELETE FROM entities WHERE run_id = ?"

EXPIRED_HOOKS: Final = f"""
SELECT {rows.ENTITY} FROM entities
WHERE kind = 2 AND is_open = 1 AND due_ms IS NOT NULL AND due_ms <= ? ORDER BY due_ms LIMIT ?
"""

NEXT_HOOK_EXPIRY: Final = """
SELECT due_ms FROM entities WHERE kind = 2 AND is_open = 1 AND due_ms IS NOT NULL ORDER BY due_ms LIMIT 1
"""

# --- tokens -----------------------------------------------------------------------------------------------------

TOKEN: Final = f"SELECT {rows.TOKEN} FROM tokens WHERE token = ?"

PUT_TOKEN: Final = f"INSERT OR REPLACE INTO tokens ({rows.TOKEN}) VALUES (?, ?, ?, ?)"

DELETE_TOKEN: Final = "DELETE FROM tokens WHERE token = ?"

DELETE_TOKENS_OF_RUN: Final = "DELETE FROM tokens WHERE run_id = ?"

NEXT_TOKEN_EXPIRY: Final = """
SELECT retain_until_ms FROM tokens WHERE retain_until_ms IS NOT NULL ORDER BY retain_until_ms LIMIT 1
"""

FORGET_TOKENS: Final = """
DELETE FROM tokens WHERE token IN (
  SELECT token FROM tokens WHERE retain_until_ms IS NOT NULL AND retain_until_ms <= ?
  ORDER BY retain_until_ms LIMIT ?)
"""

# --- requests and settled receipts ------------------------------------------------------------------------------

REQUEST: Final = f"SELECT {rows.REQUEST} FROM requests WHERE request_id = ?"

PUT_REQUEST: Final = f"INSERT OR REPLACE INTO requests ({rows.REQUEST}) VALUES (?, ?, ?, ?, ?, ?, ?)"

DELETE_REQUESTS_OF_RUN: Final = "DELETE FROM requests WHERE run_id = ?"

FORGET_REQUESTS: Final = """
DELETE FROM requests WHERE request_id IN (
  SELECT request_id FROM requests WHERE expire_ms <= ? ORDER BY expire_ms LIMIT ?)
"""

SETTLED: Final = "SELECT 1 FROM settled WHERE receipt = ?"

SETTLE: Final = "INSERT OR REPLACE INTO settled (receipt, expire_ms) VALUES (?, ?)"

FORGET_SETTLED: Final = """
DELETE FROM settled WHERE receipt IN (SELECT receipt FROM settled WHERE expire_ms <= ? ORDER BY expire_ms LIMIT ?)
"""

# --- queues -----------------------------------------------------------------------------------------------------

QUEUE: Final = "SELECT 1 FROM queues WHERE queue = ?"

QUEUE_NAMES: Final = "SELECT queue FROM queues WHERE queue > ? ORDER BY queue LIMIT ?"

REMEMBER_QUEUE: Final = "INSERT OR IGNORE INTO queues (queue) VALUES (?)"

COUNT_STATE: Final = "SELECT count(*) FROM messages WHERE queue = ? AND state = ?"

COUNT_DUE: Final = "SELECT count(*), min(deliver_ms) FROM messages WHERE queue = ? AND state = 1 AND deliver_ms <= ?"

COUNT_DELAYED: Final = "SELECT count(*) FROM messages WHERE queue = ? AND state = 1 AND deliver_ms > ?"

# --- messages ---------------------------------------------------------------------------------------------------

MESSAGE: Final = f"SELECT {rows.MESSAGE} FROM messages WHERE message_id = ?"

LEASED_MESSAGE: Final = f"SELECT {rows.MESSAGE} FROM messages WHERE receipt = ? AND receipt <> ''"

WAITING_MESSAGE: Final = f"""
SELECT {rows.MESSAGE} FROM messages
WHERE queue = ? AND key = ? AND key <> '' AND state = 1 ORDER BY number LIMIT 1
"""

MESSAGES_IN_STATE: Final = f"""
SELECT {rows.MESSAGE} FROM messages WHERE queue = ? AND state = ? AND number > ? ORDER BY number LIMIT ?
"""

MESSAGES_OF_GROUP: Final = f"""
SELECT {rows.MESSAGE} FROM messages
WHERE queue = ? AND state = ? AND number > ? AND "group" = ? AND "group" <> '' ORDER BY number LIMIT ?
"""

INSERT_MESSAGE: Final = f"""
INSERT INTO messages ({rows.MESSAGE_UNNUMBERED}, is_head) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

#: A message never moves to another queue or group.
PUT_MESSAGE: Final = """
UPDATE messages SET state = ?, key = ?, priority = ?, create_ms = ?, deliver_ms = ?, delivery_count = ?,
  max_deliveries = ?, receipt = ?, lease_ms = ?, lease_expire_ms = ?, last_reason = ?, body = ?, is_head = ?
WHERE message_id = ?
"""

DELETE_MESSAGE: Final = 'DELETE FROM messages WHERE message_id = ? RETURNING queue, "group"'

DELETE_MESSAGES_OF_GROUP: Final = """DELETE FROM messages WHERE "group" = ? AND "group" <> ''"""

EXPIRED_LEASES: Final = f"""
SELECT {rows.MESSAGE} FROM messages
WHERE queue = ? AND state = 2 AND lease_expire_ms <= ? ORDER BY lease_expire_ms, number LIMIT ?
"""

NEXT_LEASE_END: Final = "SELECT min(lease_expire_ms) FROM messages WHERE queue = ? AND state = 2"

NEXT_DUE: Final = "SELECT min(deliver_ms) FROM messages WHERE queue = ? AND state = 1 AND deliver_ms > ?"

# --- heads: what may be delivered, see migrations/0001_initial.sql ----------------------------------------------

NEXT_PRIORITY: Final = """
SELECT priority FROM messages WHERE queue = ? AND is_head = 1 AND priority < ? ORDER BY priority DESC LIMIT 1
"""

DUE_HEADS: Final = f"""
SELECT {rows.MESSAGE} FROM messages
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
