"""Writes of one unit of work: the ``Transaction`` of the contract on a session.

Owns what a unit may do between its savepoint and its release, and the notes it leaves. It must never begin, commit
or roll back: ``commit.py`` does. It keeps one derived column, ``messages.is_head``, true after every message write
(what that is: ``migrations/0001_initial.sql``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from store_service.engines.contract import (
    EntityRow,
    EventRow,
    MessageRow,
    Note,
    RequestRow,
    RunRow,
    TokenRow,
)
from store_service.engines.sql import columns
from store_service.engines.sql.reader import READY
from store_service.engines.sqlite import statements
from store_service.engines.sqlite.connection import Session
from store_service.engines.sqlite.statements import COMMON
from store_service.engines.sqlite.streams import SqliteStreamWrites

_ABOVE_EVERY_PRIORITY = 101

#: Everything that goes with a run, its messages included; parameters: the run id.
_DELETE_WITH_RUN = (
    COMMON.DELETE_EVENTS,
    COMMON.DELETE_ENTITIES,
    COMMON.DELETE_ATTRIBUTES,
    COMMON.DELETE_TOKENS_OF_RUN,
    COMMON.DELETE_REQUESTS_OF_RUN,
    statements.DELETE_MESSAGES_OF_GROUP,
    COMMON.DELETE_CHUNKS_OF_RUN,
    COMMON.DELETE_WRITERS_OF_RUN,
    COMMON.DELETE_STREAMS_OF_RUN,
    COMMON.DELETE_RUN,
)
#: What time alone makes forgettable; parameters: now, limit.
_FORGET = (statements.FORGET_REQUESTS, statements.FORGET_SETTLED, statements.FORGET_TOKENS)


class SqliteTransaction(SqliteStreamWrites):
    """``contract.Transaction`` on SQLite. Writes to rows that are not there raise LookupError."""

    __slots__ = ("notes",)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.notes: list[Note] = []

    def set_meta(self, key: str, value: str) -> None:
        self._session.execute(COMMON.PUT_META, (key, value))

    def peek_run(self, run_id: str) -> RunRow | None:
        return self.run(run_id)

    def insert_event(self, row: EventRow) -> None:
        self._session.execute(COMMON.INSERT_EVENT, columns.event_parameters(row))

    def put_run(self, row: RunRow) -> None:
        self._session.execute(COMMON.PUT_RUN, columns.run_parameters(row))

    def put_head(self, row: RunRow) -> None:
        moved = self._session.execute(statements.MOVE_HEAD, statements.moved_head_parameters(row))
        if moved.rowcount == 1:
            return
        changed = self._session.execute(COMMON.PUT_HEAD, columns.changed_head_parameters(row))
        if changed.rowcount != 1:
            raise LookupError(f"put_head of run {row.run_id}, which does not exist; put_run comes first")

    def put_attributes(self, run_id: str, attributes: Mapping[str, str]) -> None:
        self._session.execute(COMMON.DELETE_ATTRIBUTES, (run_id,))
        for key, value in attributes.items():
            self._session.execute(COMMON.INSERT_ATTRIBUTE, (key, value, run_id))

    def put_entity(self, row: EntityRow, *, created_at: int) -> None:
        self._session.execute(COMMON.PUT_ENTITY, (*columns.entity_parameters(row), created_at))

    def put_token(self, row: TokenRow) -> None:
        self._session.execute(COMMON.PUT_TOKEN, columns.token_parameters(row))

    def delete_token(self, token: str) -> None:
        self._session.execute(COMMON.DELETE_TOKEN, (token,))

    def put_request(self, row: RequestRow) -> None:
        self._session.execute(COMMON.PUT_REQUEST, columns.request_parameters(row))

    def insert_message(self, row: MessageRow) -> MessageRow:
        self._session.execute(COMMON.REMEMBER_QUEUE, (row.queue,))
        parameters = (*statements.message_parameters(row), _is_head_alone(row))
        number = self._session.execute(statements.INSERT_MESSAGE, parameters).lastrowid
        assert number is not None
        self._choose_heads(row.queue, row.group)
        return replace(row, number=number)

    def put_message(self, row: MessageRow) -> None:
        parameters = (*columns.put_message_parameters(row), _is_head_alone(row), row.message_id)
        if self._session.execute(statements.PUT_MESSAGE, parameters).rowcount != 1:
            raise LookupError(f"put_message of message {row.message_id}, which does not exist")
        self._choose_heads(row.queue, row.group)

    def delete_message(self, message_id: str) -> None:
        deleted = self._session.all(statements.DELETE_MESSAGE, (message_id,))
        for queue, group in deleted:
            self._choose_heads(queue, group)

    def settle(self, receipt: str, expire_ms: int) -> None:
        self._session.execute(COMMON.SETTLE, (receipt, expire_ms))

    def expired_leases(self, queue: str, now_ms: int, limit: int) -> list[MessageRow]:
        return self._messages(COMMON.EXPIRED_LEASES, (queue, now_ms, limit))

    def deliverable(self, queue: str, now_ms: int, limit: int) -> list[MessageRow]:
        found: list[MessageRow] = []
        groups: set[str] = set()
        priority = self._session.scalar(statements.NEXT_PRIORITY, (queue, _ABOVE_EVERY_PRIORITY))
        while priority is not None and len(found) < limit:
            # A group has one head per priority: at most len(groups) of these rows are passed over.
            wanted = limit - len(found) + len(groups)
            for row in self._messages(statements.DUE_HEADS, (queue, priority, now_ms, wanted)):
                if row.group not in groups:
                    found.append(row)
                if row.group:
                    groups.add(row.group)
            priority = self._session.scalar(statements.NEXT_PRIORITY, (queue, priority))
        return found[:limit]

    def next_ready_ms(self, queue: str, now_ms: int) -> int | None:
        lease_end = self._session.scalar(COMMON.NEXT_LEASE_END, (queue,))
        due = self._session.scalar(COMMON.NEXT_DUE, (queue, now_ms))
        return min((time for time in (lease_end, due) if time is not None), default=None)

    def delete_run(self, run_id: str) -> int:
        position: int = self._session.scalar(statements.LAST_POSITION_OF_RUN, (run_id,)) or 0
        for text in _DELETE_WITH_RUN:
            self._session.execute(text, (run_id,))
        return position

    def forget_expired(self, now_ms: int, limit: int) -> None:
        for text in _FORGET:
            self._session.execute(text, (now_ms, limit))

    def note(self, note: Note) -> None:
        self.notes.append(note)

    def _choose_heads(self, queue: str, group: str) -> None:
        """Make the first message of each priority of a group its head, or none while one is leased."""
        if not group:
            return
        self._session.execute(statements.CLEAR_HEADS, (group, queue))
        if self._session.one(statements.GROUP_IS_LEASED, (group, queue)) is not None:
            return
        priority = _ABOVE_EVERY_PRIORITY
        while first := self._session.one(statements.NEXT_FIRST_OF_GROUP, (group, queue, priority)):
            number, priority = first
            self._session.execute(statements.SET_HEAD, (number,))


def _is_head_alone(row: MessageRow) -> bool:
    return row.state == READY and not row.group
