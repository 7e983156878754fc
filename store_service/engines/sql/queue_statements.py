"""The statements about queues that both engines say in the same words: messages, leases and counts.

Owns the text, as SQLite says it (``statements.py`` tells why). What may be delivered, and how a group is kept to one
message at a time, is each engine's own: one locks, the other is alone.
"""

from __future__ import annotations

from store_service.engines.sql import columns


class QueueStatements:
    """Texts about queues, in one order everywhere."""

    # --- settled receipts -----------------------------------------------------------------------------------------

    SETTLED = "SELECT expire_ms FROM settled WHERE receipt = ?"
    SETTLE = """
INSERT INTO settled (receipt, expire_ms) VALUES (?, ?)
ON CONFLICT (receipt) DO UPDATE SET expire_ms = excluded.expire_ms
"""

    # --- queues ---------------------------------------------------------------------------------------------------

    QUEUE = "SELECT 1 FROM queues WHERE queue = ?"
    QUEUE_NAMES = "SELECT queue FROM queues WHERE queue > ? ORDER BY queue LIMIT ?"
    REMEMBER_QUEUE = "INSERT INTO queues (queue) VALUES (?) ON CONFLICT (queue) DO NOTHING"
    COUNT_STATE = "SELECT count(*) FROM messages WHERE queue = ? AND state = ?"
    COUNT_DUE = "SELECT count(*), min(deliver_ms) FROM messages WHERE queue = ? AND state = 1 AND deliver_ms <= ?"
    COUNT_DELAYED = "SELECT count(*) FROM messages WHERE queue = ? AND state = 1 AND deliver_ms > ?"

    # --- messages -------------------------------------------------------------------------------------------------

    MESSAGE = f"SELECT {columns.MESSAGE} FROM messages WHERE message_id = ?"
    LEASED_MESSAGE = f"SELECT {columns.MESSAGE} FROM messages WHERE receipt = ? AND receipt <> ''"
    WAITING_MESSAGE = f"""
SELECT {columns.MESSAGE} FROM messages
WHERE queue = ? AND key = ? AND key <> '' AND state = 1 ORDER BY number LIMIT 1
"""
    MESSAGES_IN_STATE = f"""
SELECT {columns.MESSAGE} FROM messages WHERE queue = ? AND state = ? AND number > ? ORDER BY number LIMIT ?
"""
    MESSAGES_OF_GROUP = f"""
SELECT {columns.MESSAGE} FROM messages
WHERE queue = ? AND state = ? AND number > ? AND "group" = ? AND "group" <> '' ORDER BY number LIMIT ?
"""
    EXPIRED_LEASES = f"""
SELECT {columns.MESSAGE} FROM messages
WHERE queue = ? AND state = 2 AND lease_expire_ms <= ? ORDER BY lease_expire_ms, number LIMIT ?
"""
    NEXT_LEASE_END = "SELECT min(lease_expire_ms) FROM messages WHERE queue = ? AND state = 2"
    NEXT_DUE = "SELECT min(deliver_ms) FROM messages WHERE queue = ? AND state = 1 AND deliver_ms > ?"
