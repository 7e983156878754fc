"""Messages in one unit of work: sending, leasing, settling, and what may be delivered.

Owns the order of locks that ``queue_statements.py`` states, and the numbers of messages. A claim never waits: a
message or group that somebody else has hold of is passed over, and ``next_ready_ms`` says to look again a moment
later. The interleaving behind the lock of a group: (1) A sends into a group whose message is leased, so its own is no
head; (2) B settles the lease and looks for the next head, without seeing A's uncommitted message; (3) both commit, and
a message waits that nobody will ever hand out. With the lock one of them comes second and sees the other's. Proof:
``tests/postgres/test_queue_races.py``.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Final

from store_service.engines.contract import MessageQuery, MessageRow, QueueCounts
from store_service.engines.postgres import queue_statements as statements
from store_service.engines.postgres import rows
from store_service.engines.postgres.batch import UNKNOWN
from store_service.engines.postgres.statements import COMMON
from store_service.engines.postgres.transaction import LogUnit
from store_service.engines.sql.reader import LEASED, READY

#: When to look again at what another replica has hold of: about the time of a commit.
LOOK_AGAIN_MS: Final = 20

_numbering: Final = threading.Lock()
_last_number = 0


def next_number() -> int:
    """Return a number above every one that this process gave, from its clock. Numbers order sends, streams and writers;
    should two replicas give the same one, the second to commit meets a unique key and is tried again."""
    global _last_number
    with _numbering:
        _last_number = max(_last_number + 1, time.time_ns())
        return _last_number


class QueueUnit(LogUnit):
    """The queue's part of ``contract.Transaction``."""

    __slots__ = ()

    def message(self, message_id: str) -> MessageRow | None:
        key = ("message", message_id)
        return self._get(key, lambda: self._message(statements.HOLD_MESSAGE, (message_id,)))

    def messages(self, query: MessageQuery) -> list[MessageRow]:
        if not query.group:
            self._flush()
            return self._learned(self._messages_of(query, statements.HOLD_MESSAGES_IN_STATE))
        # The lock of the group is enough, and those of its messages would be taken in the wrong order.
        group = (query.queue, query.group)
        if group in self._writes.groups or group in self._batch.writes.groups:
            self._flush()
        self._batch.hold_groups([group])
        return super().messages(query)

    def leased_message(self, receipt: str) -> MessageRow | None:
        row = self._get(("receipt", receipt), lambda: self._message(statements.HOLD_LEASED_MESSAGE, (receipt,)))
        if row is not None:
            self._known["message", row.message_id] = row
        return row

    def waiting_message(self, queue: str, key: str) -> MessageRow | None:
        if (queue, key) in self._writes.keys or (queue, key) in self._batch.writes.keys:
            self._flush()
        groups = self._session.ask(statements.HOLD_GROUPS_OF_KEY, (queue, queue, key))
        row = self._message(statements.HOLD_WAITING_MESSAGE, (queue, key))
        self._batch.held_groups.update(groups.fetchall())
        if row is not None:
            self._known["message", row.message_id] = row
        elif key:
            self._known["free key", queue, key] = None
        return row

    def queue_counts(self, queue: str, now_ms: int) -> QueueCounts | None:
        self._flush()
        return super().queue_counts(queue, now_ms)

    def queue_names(self, *, after: str, limit: int) -> list[str]:
        self._flush()
        return super().queue_names(after=after, limit=limit)

    def expired_leases(self, queue: str, now_ms: int, limit: int) -> list[MessageRow]:
        self._flush()
        return self._learned(self._messages(statements.HOLD_EXPIRED_LEASES, (queue, now_ms, limit)))

    def deliverable(self, queue: str, now_ms: int, limit: int) -> list[MessageRow]:
        self._flush()
        found: list[MessageRow] = []
        groups: set[str] = set()
        for (priority,) in self._session.all(statements.PRIORITIES, {"queue": queue}):
            if len(found) >= limit:
                break
            # A group has one head per priority: at most len(groups) of these rows are passed over.
            wanted = limit - len(found) + len(groups)
            heads = self._messages(statements.CLAIM_HEADS, (queue, priority, now_ms, wanted))
            fresh = [row for row in heads if row.group not in groups]
            claimed = self._claim_groups(queue, {row.group for row in fresh if row.group})
            groups |= {row.group for row in fresh if row.group}
            found += [row for row in fresh if not row.group or row.group in claimed]
        return self._learned(found[:limit])

    def _claim_groups(self, queue: str, groups: set[str]) -> set[str]:
        """Lock those groups that nobody else has hold of. What their heads say is true from now on: whoever changed
        them before held the group, and would have had to change a head that is locked here."""
        if not groups:
            return set()
        claimed = {name for (name,) in self._session.all(statements.CLAIM_GROUPS, (queue, sorted(groups)))}
        self._batch.held_groups |= {(queue, name) for name in claimed}
        return claimed

    def next_ready_ms(self, queue: str, now_ms: int) -> int | None:
        self._flush()
        lease_end = self._session.scalar(COMMON.NEXT_LEASE_END, (queue,))
        due = self._session.scalar(COMMON.NEXT_DUE, (queue, now_ms))
        is_passed_over = any(
            self._session.one(statements.DUE_HEAD_EXISTS, (queue, priority, now_ms)) is not None
            for (priority,) in self._session.all(statements.PRIORITIES, {"queue": queue})
        )
        again = now_ms + LOOK_AGAIN_MS if is_passed_over else None
        return min((at_ms for at_ms in (lease_end, due, again) if at_ms is not None), default=None)

    # --- writes ---------------------------------------------------------------------------------------------------

    def insert_message(self, row: MessageRow) -> MessageRow:
        row = replace(row, number=next_number())
        self._writes.add(COMMON.REMEMBER_QUEUE, row.queue)
        is_head = row.state == READY and not row.group
        # Of two senders that found a key free, one inserts and the other is tried again, and finds it taken.
        is_unseen = row.state == READY and self._known.pop(("free key", row.queue, row.key), UNKNOWN) is None
        self._writes.add(statements.INSERT_MESSAGE, *rows.message_parameters(row), is_head, is_unseen)
        self._wrote(row)
        return row

    def put_message(self, row: MessageRow) -> None:
        if self.message(row.message_id) is None:
            raise LookupError(f"put_message of message {row.message_id}, which does not exist")
        is_head = row.state == READY and not row.group
        parameters = (*rows.put_message_parameters(row), is_head, row.state != LEASED, row.queue, row.number)
        self._forget_receipt(row.message_id)
        self._writes.add(statements.PUT_MESSAGE, *parameters)
        self._wrote(row)

    def delete_message(self, message_id: str) -> None:
        row = self.message(message_id)
        if row is None:
            return
        self._forget_receipt(message_id)
        self._writes.add(statements.DELETE_MESSAGE, row.queue, row.number)
        self._wrote(row)
        self._known["message", message_id] = None

    def _wrote(self, row: MessageRow) -> None:
        """Know a message as it is now, and what else was changed with it."""
        self._known["message", row.message_id] = row
        if row.receipt:
            self._known["receipt", row.receipt] = row
        if row.group:
            self._writes.groups[row.queue, row.group] = None
        if row.key:
            self._writes.keys.add((row.queue, row.key))

    def _forget_receipt(self, message_id: str) -> None:
        before = self._known.get(("message", message_id), UNKNOWN)
        if isinstance(before, MessageRow) and before.receipt:
            self._known["receipt", before.receipt] = None

    def _learned(self, found: list[MessageRow]) -> list[MessageRow]:
        self._known.update({("message", row.message_id): row for row in found})
        self._known.update({("receipt", row.receipt): row for row in found if row.receipt})
        return found
