"""Reads of one snapshot: the ``Reader`` of the contract on a session.

Owns no transaction: whoever makes one has begun it (``reading.py``, or ``commit.py`` for writes). It locks nothing and
must never write: ``transaction.py`` reads what decisions depend on with locks. Lists over several statuses or states
are merged from one indexed read per value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from store_service.engines.contract import (
    EntityKind,
    EntityQuery,
    EntityRow,
    EventRow,
    MessageQuery,
    MessageRow,
    QueueCounts,
    RequestRow,
    RunQuery,
    RunRow,
    TokenRow,
)
from store_service.engines.postgres import queries, queue_statements, rows, statements
from store_service.engines.postgres.connection import Parameters, Session
from store_service.engines.postgres.stream_reader import PostgresStreamReads

READY: Final = 1
LEASED: Final = 2
DEAD: Final = 3
EVERY_STATE: Final = (READY, LEASED, DEAD)


class PostgresReader(PostgresStreamReads):
    """``contract.Reader`` on PostgreSQL."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def meta(self, key: str) -> str | None:
        value: str | None = self._session.scalar(statements.META, (key,))
        return value

    def run(self, run_id: str) -> RunRow | None:
        found = self._session.one(statements.RUN, (run_id,))
        return None if found is None else rows.run_row(found)

    def runs(self, query: RunQuery) -> list[RunRow]:
        statuses = tuple(dict.fromkeys(query.statuses)) or (None,)
        pages = [self._session.all(*queries.runs_in_status(query, status)) for status in statuses]
        found = [rows.run_row(values) for page in pages for values in page]
        found.sort(key=lambda row: (row.create_ms, row.run_id), reverse=query.descending)
        return found[: query.limit]

    def attributes(self, run_id: str) -> dict[str, str]:
        return dict(self._session.all(statements.ATTRIBUTES, (run_id,)))

    def event(self, run_id: str, seq: int) -> EventRow | None:
        found = self._session.one(statements.EVENT, (run_id, seq))
        return None if found is None else rows.event_row(found)

    def events(
        self,
        run_id: str,
        *,
        after_seq: int = 0,
        before_seq: int | None = None,
        limit: int,
        descending: bool = False,
        kinds: Sequence[int] = (),
        entity_id: str = "",
    ) -> list[EventRow]:
        text, parameters = queries.events(
            run_id,
            after_seq=after_seq,
            before_seq=before_seq,
            limit=limit,
            descending=descending,
            kinds=kinds,
            entity_id=entity_id,
        )
        return [rows.event_row(values) for values in self._session.all(text, parameters)]

    def seq_at(self, run_id: str, at: int) -> int:
        return self._session.scalar(statements.SEQ_AT, (run_id, at)) or 0

    def all_events(self, *, after_position: int, limit: int) -> list[tuple[int, EventRow]]:
        found = self._session.all(statements.ALL_EVENTS, (after_position, after_position, limit))
        return [(values[0], rows.event_row(values[1:])) for values in found]

    def last_position(self) -> int:
        return self._session.scalar(statements.LAST_POSITION) or 0

    def entity(self, run_id: str, kind: EntityKind, entity_id: str) -> EntityRow | None:
        found = self._session.one(statements.ENTITY, (run_id, kind.value, entity_id))
        return None if found is None else rows.entity_row(found)

    def entities(self, query: EntityQuery) -> list[EntityRow]:
        return [rows.entity_row(values) for values in self._session.all(*queries.entities(query))]

    def open_entities(self, run_id: str) -> list[EntityRow]:
        return [rows.entity_row(values) for values in self._session.all(statements.OPEN_ENTITIES, (run_id,))]

    def token(self, token: str) -> TokenRow | None:
        found = self._session.one(statements.TOKEN, (token,))
        return None if found is None else rows.token_row(found)

    def request(self, request_id: str) -> RequestRow | None:
        found = self._session.one(statements.REQUEST, (request_id,))
        return None if found is None else rows.request_row(found)

    def message(self, message_id: str) -> MessageRow | None:
        return self._message(queue_statements.MESSAGE, (message_id,))

    def messages(self, query: MessageQuery) -> list[MessageRow]:
        return self._messages_of(query, queue_statements.MESSAGES_IN_STATE)

    def leased_message(self, receipt: str) -> MessageRow | None:
        return self._message(queue_statements.LEASED_MESSAGE, (receipt,))

    def settled(self, receipt: str) -> bool:
        return self._session.one(statements.SETTLED, (receipt,)) is not None

    def waiting_message(self, queue: str, key: str) -> MessageRow | None:
        return self._message(queue_statements.WAITING_MESSAGE, (queue, key))

    def queue_counts(self, queue: str, now_ms: int) -> QueueCounts | None:
        if self._session.one(queue_statements.QUEUE, (queue,)) is None:
            return None
        ready, oldest_ready_ms = self._session.one(queue_statements.COUNT_DUE, (queue, now_ms))
        return QueueCounts(
            queue=queue,
            ready=ready,
            delayed=self._session.scalar(queue_statements.COUNT_DELAYED, (queue, now_ms)),
            leased=self._session.scalar(queue_statements.COUNT_STATE, (queue, LEASED)),
            dead=self._session.scalar(queue_statements.COUNT_STATE, (queue, DEAD)),
            oldest_ready_ms=oldest_ready_ms,
        )

    def queue_names(self, *, after: str, limit: int) -> list[str]:
        return [name for (name,) in self._session.all(queue_statements.QUEUE_NAMES, (after, limit))]

    def next_expiry_ms(self) -> int | None:
        nexts = (statements.NEXT_RUN_EXPIRY, statements.NEXT_HOOK_EXPIRY, statements.NEXT_TOKEN_EXPIRY)
        times = [self._session.scalar(text) for text in nexts]
        return min((time for time in times if time is not None), default=None)

    def expired_runs(self, now_ms: int, limit: int) -> list[RunRow]:
        return [rows.run_row(values) for values in self._session.all(statements.EXPIRED_RUNS, (now_ms, limit))]

    def expired_hooks(self, now_ms: int, limit: int) -> list[EntityRow]:
        return [rows.entity_row(values) for values in self._session.all(statements.EXPIRED_HOOKS, (now_ms, limit))]

    def _messages_of(self, query: MessageQuery, in_state: str) -> list[MessageRow]:
        found: list[MessageRow] = []
        for state in dict.fromkeys(query.states or EVERY_STATE):
            common = (query.queue, state, query.after_number)
            if query.group:
                found += self._messages(queue_statements.MESSAGES_OF_GROUP, (*common, query.group, query.limit))
            else:
                found += self._messages(in_state, (*common, query.limit))
        found.sort(key=lambda row: row.number)
        return found[: query.limit]

    def _message(self, text: str, parameters: Parameters) -> MessageRow | None:
        found = self._session.one(text, parameters)
        return None if found is None else rows.message_row(found)

    def _messages(self, text: str, parameters: Parameters) -> list[MessageRow]:
        return [rows.message_row(values) for values in self._session.all(text, parameters)]
