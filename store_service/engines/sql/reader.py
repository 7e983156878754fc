"""Reads of one snapshot that both engines make alike: most of ``contract.Reader``, on a session of either.

Owns no transaction: whoever makes one has begun it. It locks nothing and must never write. Lists over several statuses
or states are merged from one indexed read per value. What positions in the order of all commits are is each engine's
own, and how far chunks are read: its ``reader.py`` adds both. Read its ``transaction.py`` next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

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
from store_service.engines.sql import columns, lists
from store_service.engines.sql.stream_reader import S, SqlStreamReads

READY: Final = 1
LEASED: Final = 2
DEAD: Final = 3
EVERY_STATE: Final = (READY, LEASED, DEAD)

#: How many runs are few, in the order in which it is tried. More are not counted: it would take longer than most pages.
_FEW_RUNS: Final = (500, 5_000)


class SqlReader(SqlStreamReads[S]):
    """``contract.Reader`` but ``all_events``, ``last_position`` and ``chunks``."""

    __slots__ = ("_session",)

    def __init__(self, session: S) -> None:
        self._session = session

    def meta(self, key: str) -> str | None:
        value: str | None = self._session.scalar(self._sql.META, (key,))
        return value

    def run(self, run_id: str) -> RunRow | None:
        found = self._session.one(self._sql.RUN, (run_id,))
        return None if found is None else columns.run_row(found)

    def runs(self, query: RunQuery) -> list[RunRow]:
        pages = lists.runs(self._sql.dialect, query, self._leader(query))
        found = [columns.run_row(values) for page in pages for values in self._session.all(*page)]
        found.sort(key=lambda row: (row.create_ms, row.run_id), reverse=query.descending)
        return found[: query.limit]

    def _leader(self, query: RunQuery) -> lists.Leader:
        """Return along what a page is read: of what the query names, that which the fewest runs have.

        It matters where filters hardly meet: everything of the leader is read then, to find next to nothing. When all
        have many, the runs' own rows lead: to look for an attribute costs less than to look for a row.
        """
        leaders = lists.leaders(query)
        if len(leaders) > 1:
            for few in _FEW_RUNS:
                for leader in leaders:
                    counts = lists.more_than(self._sql.dialect, query, leader, few)
                    if all(self._session.one(*count) is None for count in counts):
                        return leader
        return leaders[0]

    def attributes(self, run_id: str) -> dict[str, str]:
        return dict(self._session.all(self._sql.ATTRIBUTES, (run_id,)))

    def event(self, run_id: str, seq: int) -> EventRow | None:
        found = self._session.one(self._sql.EVENT, (run_id, seq))
        return None if found is None else columns.event_row(found)

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
        text, parameters = lists.events(
            self._sql.dialect,
            run_id,
            after_seq=after_seq,
            before_seq=before_seq,
            limit=limit,
            descending=descending,
            kinds=kinds,
            entity_id=entity_id,
        )
        return [columns.event_row(values) for values in self._session.all(text, parameters)]

    def seq_at(self, run_id: str, at: int) -> int:
        return self._session.scalar(self._sql.SEQ_AT, (run_id, at)) or 0

    def entity(self, run_id: str, kind: EntityKind, entity_id: str) -> EntityRow | None:
        found = self._session.one(self._sql.ENTITY, (run_id, kind.value, entity_id))
        return None if found is None else columns.entity_row(found)

    def entities(self, query: EntityQuery) -> list[EntityRow]:
        return [columns.entity_row(values) for values in self._session.all(*lists.entities(self._sql.dialect, query))]

    def open_entities(self, run_id: str) -> list[EntityRow]:
        return [columns.entity_row(values) for values in self._session.all(self._sql.OPEN_ENTITIES, (run_id,))]

    def token(self, token: str) -> TokenRow | None:
        found = self._session.one(self._sql.TOKEN, (token,))
        return None if found is None else columns.token_row(found)

    def request(self, request_id: str) -> RequestRow | None:
        found = self._session.one(self._sql.REQUEST, (request_id,))
        return None if found is None else columns.request_row(found)

    def message(self, message_id: str) -> MessageRow | None:
        return self._message(self._sql.MESSAGE, (message_id,))

    def messages(self, query: MessageQuery) -> list[MessageRow]:
        return self._messages_of(query, self._sql.MESSAGES_IN_STATE)

    def leased_message(self, receipt: str) -> MessageRow | None:
        return self._message(self._sql.LEASED_MESSAGE, (receipt,))

    def settled_until(self, receipt: str) -> int | None:
        until_ms: int | None = self._session.scalar(self._sql.SETTLED, (receipt,))
        return until_ms

    def waiting_message(self, queue: str, key: str) -> MessageRow | None:
        return self._message(self._sql.WAITING_MESSAGE, (queue, key))

    def queue_counts(self, queue: str, now_ms: int) -> QueueCounts | None:
        if self._session.one(self._sql.QUEUE, (queue,)) is None:
            return None
        ready, oldest_ready_ms = self._session.one(self._sql.COUNT_DUE, (queue, now_ms))
        return QueueCounts(
            queue=queue,
            ready=ready,
            delayed=self._session.scalar(self._sql.COUNT_DELAYED, (queue, now_ms)),
            leased=self._session.scalar(self._sql.COUNT_STATE, (queue, LEASED)),
            dead=self._session.scalar(self._sql.COUNT_STATE, (queue, DEAD)),
            oldest_ready_ms=oldest_ready_ms,
        )

    def queue_names(self, *, after: str, limit: int) -> list[str]:
        return [name for (name,) in self._session.all(self._sql.QUEUE_NAMES, (after, limit))]

    def next_expiry_ms(self) -> int | None:
        nexts = (self._sql.NEXT_RUN_EXPIRY, self._sql.NEXT_HOOK_EXPIRY, self._sql.NEXT_TOKEN_EXPIRY)
        times = [self._session.scalar(text) for text in nexts]
        return min((time for time in times if time is not None), default=None)

    def expired_runs(self, now_ms: int, limit: int) -> list[RunRow]:
        return [columns.run_row(values) for values in self._session.all(self._sql.EXPIRED_RUNS, (now_ms, limit))]

    def expired_hooks(self, now_ms: int, limit: int) -> list[EntityRow]:
        return [columns.entity_row(values) for values in self._session.all(self._sql.EXPIRED_HOOKS, (now_ms, limit))]

    def _messages_of(self, query: MessageQuery, in_state: str) -> list[MessageRow]:
        found: list[MessageRow] = []
        for state in dict.fromkeys(query.states or EVERY_STATE):
            common = (query.queue, state, query.after_number)
            if query.group:
                found += self._messages(self._sql.MESSAGES_OF_GROUP, (*common, query.group, query.limit))
            else:
                found += self._messages(in_state, (*common, query.limit))
        found.sort(key=lambda row: row.number)
        return found[: query.limit]

    def _message(self, text: str, parameters: Sequence[object]) -> MessageRow | None:
        found = self._session.one(text, parameters)
        return None if found is None else self._message_row(found)

    def _messages(self, text: str, parameters: Sequence[object]) -> list[MessageRow]:
        return [self._message_row(values) for values in self._session.all(text, parameters)]

    def _message_row(self, values: Sequence[Any]) -> MessageRow:
        return columns.message_row(values)
