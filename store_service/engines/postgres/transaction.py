"""Logs in one unit of work: what is written of them, and the reads that this depends on.

Owns which lock goes before which read. *Whatever is read of a run is read under the lock of its run row; whatever is
read of a group, under the lock of its group; a token, request id, lease or waiting message under its own.* So a unit
sees what nobody else can change before its commit, and rules need to know nothing of other writers. A key that was
found free is inserted, never replaced: of two that found it free one fails and is tried again (``failures.py``). It
must never begin or commit: ``commit.py`` does. What a unit is: ``unit.py``. Messages are in ``queue_transaction.py``,
streams in ``stream_transaction.py``, where the whole ``Transaction`` of the contract is put together.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence

from store_service.engines.contract import (
    EntityKind,
    EntityQuery,
    EntityRow,
    EventRow,
    RequestRow,
    RunQuery,
    RunRow,
    TokenRow,
)
from store_service.engines.postgres import queue_statements, statements
from store_service.engines.postgres.batch import UNKNOWN
from store_service.engines.postgres.statements import COMMON
from store_service.engines.postgres.unit import UnitOfWork
from store_service.engines.sql import columns

#: Everything that goes with a run but its messages; parameters: the run id.
_DELETE_WITH_RUN = (
    COMMON.DELETE_EVENTS,
    statements.DELETE_PLACEMENTS,
    COMMON.DELETE_ENTITIES,
    COMMON.DELETE_ATTRIBUTES,
    COMMON.DELETE_TOKENS_OF_RUN,
    COMMON.DELETE_REQUESTS_OF_RUN,
    COMMON.DELETE_CHUNKS_OF_RUN,
    COMMON.DELETE_WRITERS_OF_RUN,
    COMMON.DELETE_STREAMS_OF_RUN,
    COMMON.DELETE_RUN,
)
#: What time alone makes forgettable; parameters: now, limit.
_FORGET = (statements.FORGET_REQUESTS, statements.FORGET_SETTLED, statements.FORGET_TOKENS)


class LogUnit(UnitOfWork):
    """Logs: runs, events, entities, tokens, requests."""

    __slots__ = ()

    # --- reads ----------------------------------------------------------------------------------------------------

    def meta(self, key: str) -> str | None:
        value: str | None = self._get(("meta", key), lambda: self._session.scalar(statements.HOLD_META, (key,)))
        return value

    def run(self, run_id: str) -> RunRow | None:
        return self._hold(run_id)

    def peek_run(self, run_id: str) -> RunRow | None:
        known = self._known.get(("run", run_id), UNKNOWN)
        return super().run(run_id) if known is UNKNOWN else known

    def runs(self, query: RunQuery) -> list[RunRow]:
        self._flush()
        return super().runs(query)

    def attributes(self, run_id: str) -> dict[str, str]:
        self._settle(run_id)
        return super().attributes(run_id)

    def event(self, run_id: str, seq: int) -> EventRow | None:
        self._settle(run_id)
        return super().event(run_id, seq)

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
        self._settle(run_id)
        return super().events(
            run_id,
            after_seq=after_seq,
            before_seq=before_seq,
            limit=limit,
            descending=descending,
            kinds=kinds,
            entity_id=entity_id,
        )

    def seq_at(self, run_id: str, at: int) -> int:
        self._settle(run_id)
        return super().seq_at(run_id, at)

    def all_events(self, *, after_position: int, limit: int) -> list[tuple[int, EventRow]]:
        self._flush()
        return super().all_events(after_position=after_position, limit=limit)

    def entity(self, run_id: str, kind: EntityKind, entity_id: str) -> EntityRow | None:
        self._hold(run_id)
        find = super().entity
        return self._get(("entity", run_id, kind.value, entity_id), lambda: find(run_id, kind, entity_id))

    def entities(self, query: EntityQuery) -> list[EntityRow]:
        if query.run_id:
            self._hold(query.run_id)
        self._flush()
        return super().entities(query)

    def open_entities(self, run_id: str) -> list[EntityRow]:
        self._settle(run_id)
        found = super().open_entities(run_id)
        self._known.update({("entity", run_id, row.kind.value, row.entity_id): row for row in found})
        return found

    def token(self, token: str) -> TokenRow | None:
        return self._get(("token", token), lambda: self._read_held_token(token))

    def _read_held_token(self, token: str) -> TokenRow | None:
        found = self._session.one(statements.HOLD_TOKEN, (token,))
        return None if found is None else columns.token_row(found)

    def request(self, request_id: str) -> RequestRow | None:
        return self._get(("request", request_id), lambda: self._read_held_request(request_id))

    def _read_held_request(self, request_id: str) -> RequestRow | None:
        found = self._session.one(statements.HOLD_REQUEST, (request_id,))
        return None if found is None else columns.request_row(found)

    def settled_until(self, receipt: str) -> int | None:
        find = super().settled_until
        return self._get(("settled", receipt), lambda: find(receipt))

    def next_expiry_ms(self) -> int | None:
        self._flush()
        return super().next_expiry_ms()

    def expired_runs(self, now_ms: int, limit: int) -> list[RunRow]:
        self._flush()
        found = [columns.run_row(values) for values in self._session.all(statements.HOLD_EXPIRED_RUNS, (now_ms, limit))]
        self._known.update({("run", row.run_id): row for row in found})
        return found

    def expired_hooks(self, now_ms: int, limit: int) -> list[EntityRow]:
        self._flush()
        held = list(map(columns.run_row, self._session.all(statements.HOLD_RUNS_OF_EXPIRED_HOOKS, (now_ms, limit))))
        if not held:
            return []
        self._known.update({("run", row.run_id): row for row in held})
        run_ids = [row.run_id for row in held]
        found = list(map(columns.entity_row, self._session.all(statements.EXPIRED_HOOKS_OF, (run_ids, now_ms, limit))))
        self._known.update({("entity", row.run_id, row.kind.value, row.entity_id): row for row in found})
        return found

    # --- writes ---------------------------------------------------------------------------------------------------

    def set_meta(self, key: str, value: str) -> None:
        self._writes.add(self._insert_or_put(("meta", key), COMMON.INSERT_META, COMMON.PUT_META), key, value)
        self._known["meta", key] = value

    def insert_event(self, row: EventRow) -> None:
        self._writes.add(COMMON.INSERT_EVENT, *columns.event_parameters(row))
        self._writes.runs.add(row.run_id)
        self._writes.place(row.run_id, row.seq)

    def put_run(self, row: RunRow) -> None:
        if self._known.get(("run", row.run_id), UNKNOWN) is None:
            # Before its events, so that of two that create it at once the second fails here and is tried again.
            self._writes.statements.insert(0, (COMMON.INSERT_RUN, columns.run_parameters(row)))
        else:
            self._writes.add(COMMON.PUT_RUN, *columns.run_parameters(row))
        self._known["run", row.run_id] = row

    def put_head(self, row: RunRow) -> None:
        before = self._hold(row.run_id)
        if before is None:
            raise LookupError(f"put_head of run {row.run_id}, which does not exist; put_run comes first")
        if _state_of(before) == _state_of(row):
            self._writes.add(statements.MOVE_HEAD, *statements.moved_head_parameters(row))
        else:
            self._writes.add(COMMON.PUT_HEAD, *columns.changed_head_parameters(row))
        self._known["run", row.run_id] = with_head(before, row)

    def put_attributes(self, run_id: str, attributes: Mapping[str, str]) -> None:
        self._writes.add(COMMON.DELETE_ATTRIBUTES, run_id)
        self._writes.runs.add(run_id)
        for key, value in attributes.items():
            self._writes.add(COMMON.INSERT_ATTRIBUTE, key, value, run_id)

    def put_entity(self, row: EntityRow, *, created_at: int) -> None:
        self._writes.add(COMMON.PUT_ENTITY, *columns.entity_parameters(row), created_at)
        self._writes.runs.add(row.run_id)
        self._known["entity", row.run_id, row.kind.value, row.entity_id] = row

    def put_token(self, row: TokenRow) -> None:
        text = self._insert_or_put(("token", row.token), COMMON.INSERT_TOKEN, COMMON.PUT_TOKEN)
        self._writes.add(text, *columns.token_parameters(row))
        self._known["token", row.token] = row

    def delete_token(self, token: str) -> None:
        self._writes.add(COMMON.DELETE_TOKEN, token)
        self._known["token", token] = None

    def put_request(self, row: RequestRow) -> None:
        text = self._insert_or_put(("request", row.request_id), COMMON.INSERT_REQUEST, COMMON.PUT_REQUEST)
        self._writes.add(text, *columns.request_parameters(row))
        self._known["request", row.request_id] = row

    def settle(self, receipt: str, expire_ms: int) -> None:
        self._writes.add(COMMON.SETTLE, receipt, expire_ms)
        self._known["settled", receipt] = expire_ms

    def delete_run(self, run_id: str) -> int:
        self._hold(run_id)
        self._flush()
        self._place()
        position: int = self._session.scalar(statements.LAST_POSITION_OF_RUN, (run_id,)) or 0
        for (queue,) in self._session.all(queue_statements.HOLD_QUEUES_OF_GROUP, (run_id,)):
            self._session.send(queue_statements.DELETE_MESSAGES_OF_GROUP, (run_id, queue))
            self._session.send(queue_statements.DELETE_GROUPS, (run_id, queue))
            self._batch.held_groups.discard((queue, run_id))
        for text in _DELETE_WITH_RUN:
            self._session.send(text, (run_id,))
        self._batch.has_written = self._is_forgetful = True
        self._known = ChainMap({("run", run_id): None}, {})
        return position

    def forget_expired(self, now_ms: int, limit: int) -> None:
        for text in _FORGET:
            self._writes.add(text, now_ms, limit)


def _state_of(row: RunRow) -> tuple[object, ...]:
    return (row.status, row.expire_ms, row.terminal_seq)


def with_head(row: RunRow, head: RunRow) -> RunRow:
    """Return a run with the changing columns of ``head``: all that `put_head` writes."""
    return RunRow(
        run_id=row.run_id,
        workflow_name=row.workflow_name,
        status=head.status,
        create_ms=row.create_ms,
        update_ms=head.update_ms,
        expire_ms=head.expire_ms,
        parent_run_id=row.parent_run_id,
        head_seq=head.head_seq,
        head_at=head.head_at,
        out_of_band_at=head.out_of_band_at,
        out_of_band_seq=head.out_of_band_seq,
        replay_seq=head.replay_seq,
        started_seq=head.started_seq,
        terminal_seq=head.terminal_seq,
        body=row.body,
        head_checksum=head.head_checksum,
    )
