"""The PostgreSQL engine's own statements about queues: messages, leases, groups and what may be delivered.

Owns what is said with locks; the rest is in ``engines/sql/queue_statements.py``. Locks are taken in one order
everywhere, so that nobody waits in a circle: runs, the message of a lease, groups, messages that wait. Claims never
wait at all (SKIP LOCKED): what somebody else has hold of is looked at again a moment later. What a head is:
``migrations/0001_initial.sql``.
"""

from __future__ import annotations

from typing import Final

from store_service.engines.postgres.statements import COMMON
from store_service.engines.sql import columns
from store_service.engines.sql.columns import marks

# --- messages ---------------------------------------------------------------------------------------------------

HOLD_MESSAGE: Final = f"{COMMON.MESSAGE} FOR UPDATE"

#: The fence: nobody can take the message over before the commit of who works under its lease.
HOLD_LEASED_MESSAGE: Final = f"{COMMON.LEASED_MESSAGE} FOR UPDATE"
HOLD_LEASED_MESSAGES: Final = f"""
SELECT {columns.MESSAGE} FROM messages WHERE receipt = ANY(%s) AND receipt <> '' ORDER BY queue, number FOR UPDATE
"""

#: Held, so that it is not handed out before the commit of who relied on its still waiting: a wake-up would be lost.
HOLD_WAITING_MESSAGE: Final = f"{COMMON.WAITING_MESSAGE} FOR UPDATE"

HOLD_MESSAGES_IN_STATE: Final = f"{COMMON.MESSAGES_IN_STATE} FOR UPDATE"

INSERT_MESSAGE: Final = f"""
INSERT INTO messages ({columns.MESSAGE}, is_head, is_unseen)
VALUES ({COMMON.dialect.spell(marks(columns.MESSAGE))}, %s, %s)
"""

#: A message never moves to another queue or group. Once leased it is no longer unseen.
PUT_MESSAGE: Final = """
UPDATE messages SET state = %s, key = %s, priority = %s, create_ms = %s, deliver_ms = %s, delivery_count = %s,
  max_deliveries = %s, receipt = %s, lease_ms = %s, lease_expire_ms = %s, last_reason = %s, body = %s,
  checksum = %s, is_head = %s,
  is_unseen = is_unseen AND %s
WHERE queue = %s AND number = %s
"""

DELETE_MESSAGE: Final = "DELETE FROM messages WHERE queue = %s AND number = %s"

DELETE_MESSAGES_OF_GROUP: Final = """DELETE FROM messages WHERE "group" = %s AND "group" <> '' AND queue = %s"""

HOLD_EXPIRED_LEASES: Final = f"{COMMON.EXPIRED_LEASES} FOR UPDATE SKIP LOCKED"

#: After a claim that found nothing: somebody else has hold of what there is.
DUE_HEAD_EXISTS: Final = """
SELECT 1 FROM messages WHERE queue = %s AND is_head AND priority = %s AND deliver_ms <= %s LIMIT 1
"""

# --- groups -----------------------------------------------------------------------------------------------------

#: Locks a group, making its row when it has none.
HOLD_GROUP: Final = """
INSERT INTO groups (queue, "group", changes) VALUES (%s, %s, 1)
ON CONFLICT (queue, "group") DO UPDATE SET changes = groups.changes + 1
"""

HOLD_GROUPS_OF_KEY: Final = """
SELECT queue, "group" FROM groups WHERE queue = %s AND "group" IN (
  SELECT "group" FROM messages WHERE queue = %s AND key = %s AND key <> '' AND state = 1 AND "group" <> '')
ORDER BY "group" FOR UPDATE
"""

CLAIM_GROUPS: Final = """
SELECT "group" FROM groups WHERE queue = %s AND "group" = ANY(%s) ORDER BY "group" FOR UPDATE SKIP LOCKED
"""

HOLD_QUEUES_OF_GROUP: Final = """SELECT queue FROM groups WHERE "group" = %s ORDER BY queue FOR UPDATE"""

DELETE_GROUPS: Final = """DELETE FROM groups WHERE "group" = %s AND queue = %s"""

# --- heads ------------------------------------------------------------------------------------------------------

#: Priorities that have a head, the highest first: one step of the recursion, and of the index, for each.
PRIORITIES: Final = """
WITH RECURSIVE known (priority) AS (
  (SELECT priority FROM messages WHERE queue = %(queue)s AND is_head ORDER BY priority DESC LIMIT 1)
  UNION ALL
  SELECT lower.priority FROM known CROSS JOIN LATERAL (
    SELECT priority FROM messages
    WHERE queue = %(queue)s AND is_head AND priority < known.priority ORDER BY priority DESC LIMIT 1) AS lower
)
SELECT priority FROM known ORDER BY priority DESC
"""

CLAIM_HEADS: Final = f"""
SELECT {columns.MESSAGE} FROM messages
WHERE queue = %s AND is_head AND priority = %s AND deliver_ms <= %s ORDER BY deliver_ms, number LIMIT %s
FOR UPDATE SKIP LOCKED
"""

#: Makes is_head true for the messages of a group that are heads, and false for the others. Its group is held.
CHOOSE_HEADS: Final = """
WITH RECURSIVE firsts (number, priority) AS (
  (SELECT number, priority FROM messages
   WHERE queue = %(queue)s AND "group" = %(group)s AND "group" <> '' AND state = 1
   ORDER BY priority DESC, deliver_ms, number LIMIT 1)
  UNION ALL
  SELECT next.number, next.priority FROM firsts CROSS JOIN LATERAL (
    SELECT number, priority FROM messages
    WHERE queue = %(queue)s AND "group" = %(group)s AND "group" <> '' AND state = 1 AND priority < firsts.priority
    ORDER BY priority DESC, deliver_ms, number LIMIT 1) AS next
), heads AS (
  SELECT number FROM firsts WHERE NOT EXISTS (
    SELECT 1 FROM messages WHERE queue = %(queue)s AND "group" = %(group)s AND "group" <> '' AND state = 2)
)
UPDATE messages SET is_head = NOT is_head
WHERE queue = %(queue)s AND number IN (
    SELECT number FROM heads
    UNION
    SELECT number FROM messages WHERE queue = %(queue)s AND "group" = %(group)s AND "group" <> '' AND is_head)
  AND is_head <> (number IN (SELECT number FROM heads))
"""
