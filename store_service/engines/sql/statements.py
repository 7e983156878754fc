"""Every fixed statement that both engines say in the same words, by name; an engine's own are in its folder.

Owns the text about logs: the store's values, runs, attributes, events, entities, tokens, request ids. Written as
SQLite says it: literals such as ``kind = 2`` and ``is_open = 1`` are what lets it use the partial indexes of its
``migrations``, where a bound parameter would not. Made into constants once for an engine, by `Statements`; its
``tests/conformance/test_sqlite_plans.py`` and ``tests/postgres/test_allowed_statements.py`` look at each.
"""

from __future__ import annotations

from store_service.engines.sql import columns
from store_service.engines.sql.columns import marks
from store_service.engines.sql.dialect import Dialect
from store_service.engines.sql.queue_statements import QueueStatements
from store_service.engines.sql.stream_statements import StreamStatements


class LogStatements:
    """Texts about logs, in one order everywhere."""

    # --- meta -----------------------------------------------------------------------------------------------------

    META = "SELECT value FROM meta WHERE key = ?"
    INSERT_META = "INSERT INTO meta (key, value) VALUES (?, ?)"
    PUT_META = f"{INSERT_META} ON CONFLICT (key) DO UPDATE SET value = excluded.value"

    # --- runs -----------------------------------------------------------------------------------------------------

    RUN = f"SELECT {columns.RUN} FROM runs WHERE run_id = ?"
    INSERT_RUN = f"INSERT INTO runs ({columns.RUN}) VALUES ({marks(columns.RUN)})"
    PUT_RUN = f"""
{INSERT_RUN}
ON CONFLICT (run_id) DO UPDATE SET
  workflow_name = excluded.workflow_name, status = excluded.status, create_ms = excluded.create_ms,
  update_ms = excluded.update_ms, expire_ms = excluded.expire_ms, parent_run_id = excluded.parent_run_id,
  head_seq = excluded.head_seq, head_at = excluded.head_at, out_of_band_at = excluded.out_of_band_at,
  out_of_band_seq = excluded.out_of_band_seq, replay_seq = excluded.replay_seq,
  started_seq = excluded.started_seq, terminal_seq = excluded.terminal_seq, body = excluded.body,
  head_checksum = excluded.head_checksum
"""
    #: The rare change of a head: the state changed too. The frequent one, MOVE_HEAD, is each engine's own.
    PUT_HEAD = """
UPDATE runs SET update_ms = ?, head_seq = ?, head_at = ?, out_of_band_at = ?, out_of_band_seq = ?,
  replay_seq = ?, started_seq = ?, head_checksum = ?, status = ?, expire_ms = ?, terminal_seq = ?
WHERE run_id = ?
"""
    DELETE_RUN = "DELETE FROM runs WHERE run_id = ?"
    EXPIRED_RUNS = f"""
SELECT {columns.RUN} FROM runs
WHERE expire_ms <= ? AND expire_ms IS NOT NULL AND terminal_seq = 0 ORDER BY expire_ms LIMIT ?
"""
    NEXT_RUN_EXPIRY = """
SELECT expire_ms FROM runs WHERE expire_ms IS NOT NULL AND terminal_seq = 0 ORDER BY expire_ms LIMIT 1
"""

    # --- attributes -----------------------------------------------------------------------------------------------

    ATTRIBUTES = "SELECT key, value FROM attributes WHERE run_id = ?"
    DELETE_ATTRIBUTES = "DELETE FROM attributes WHERE run_id = ?"
    #: With the time of their run, which is put before them: lists are sorted by it.
    INSERT_ATTRIBUTE = """
INSERT INTO attributes (key, value, create_ms, run_id) SELECT ?, ?, create_ms, run_id FROM runs WHERE run_id = ?
"""

    # --- events ---------------------------------------------------------------------------------------------------

    EVENT = f"SELECT {columns.EVENT} FROM events WHERE run_id = ? AND seq = ?"
    SEQ_AT = "SELECT seq FROM events WHERE run_id = ? AND at <= ? ORDER BY seq DESC LIMIT 1"
    INSERT_EVENT = f"INSERT INTO events ({columns.EVENT}) VALUES ({marks(columns.EVENT)})"
    DELETE_EVENTS = "DELETE FROM events WHERE run_id = ?"

    # --- entities -------------------------------------------------------------------------------------------------

    ENTITY = f"SELECT {columns.ENTITY} FROM entities WHERE run_id = ? AND kind = ? AND entity_id = ?"
    OPEN_ENTITIES = f"SELECT {columns.ENTITY} FROM entities WHERE run_id = ? AND is_open = 1 ORDER BY created_seq"
    #: What an entity was created with never changes, so its ordering indexes are written once.
    PUT_ENTITY = f"""
INSERT INTO entities ({columns.ENTITY}, created_at) VALUES ({marks(columns.ENTITY)}, ?)
ON CONFLICT (run_id, kind, entity_id) DO UPDATE SET
  status = excluded.status, is_open = excluded.is_open, current_seq = excluded.current_seq,
  terminal_seq = excluded.terminal_seq, due_ms = excluded.due_ms, body = excluded.body
"""
    DELETE_ENTITIES = "DELETE FROM entities WHERE run_id = ?"
    EXPIRED_HOOKS = f"""
SELECT {columns.ENTITY} FROM entities
WHERE kind = 2 AND is_open = 1 AND due_ms IS NOT NULL AND due_ms <= ? ORDER BY due_ms LIMIT ?
"""
    NEXT_HOOK_EXPIRY = """
SELECT due_ms FROM entities WHERE kind = 2 AND is_open = 1 AND due_ms IS NOT NULL ORDER BY due_ms LIMIT 1
"""

    # --- tokens ---------------------------------------------------------------------------------------------------

    TOKEN = f"SELECT {columns.TOKEN} FROM tokens WHERE token = ?"
    INSERT_TOKEN = f"INSERT INTO tokens ({columns.TOKEN}) VALUES ({marks(columns.TOKEN)})"
    PUT_TOKEN = f"""
{INSERT_TOKEN}
ON CONFLICT (token) DO UPDATE SET
  run_id = excluded.run_id, hook_id = excluded.hook_id, retain_until_ms = excluded.retain_until_ms
"""
    DELETE_TOKEN = "DELETE FROM tokens WHERE token = ?"
    DELETE_TOKENS_OF_RUN = "DELETE FROM tokens WHERE run_id = ?"
    NEXT_TOKEN_EXPIRY = """
SELECT retain_until_ms FROM tokens WHERE retain_until_ms IS NOT NULL ORDER BY retain_until_ms LIMIT 1
"""

    # --- requests -------------------------------------------------------------------------------------------------

    REQUEST = f"SELECT {columns.REQUEST} FROM requests WHERE request_id = ?"
    INSERT_REQUEST = f"INSERT INTO requests ({columns.REQUEST}) VALUES ({marks(columns.REQUEST)})"
    PUT_REQUEST = f"""
{INSERT_REQUEST}
ON CONFLICT (request_id) DO UPDATE SET
  digest = excluded.digest, run_id = excluded.run_id, first_seq = excluded.first_seq, last_seq = excluded.last_seq,
  message_ids = excluded.message_ids, expire_ms = excluded.expire_ms, checksum = excluded.checksum
"""
    DELETE_REQUESTS_OF_RUN = "DELETE FROM requests WHERE run_id = ?"


class Statements(LogStatements, QueueStatements, StreamStatements):
    """All of them, as one engine spells them. ``dialect`` spells the lists that ``lists.py`` builds."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        for name in dir(self):
            if name.isupper():
                setattr(self, name, dialect.spell(getattr(self, name)))
