"""Columns and rows on PostgreSQL: the order in which each row of the contract is selected, inserted and rebuilt.

Owns the mapping between tuples and the dataclasses of ``engines/contract.py`` and ``stream_contract.py``; columns
stand in the order of the fields, so that a row is built by position. It must never interpret a ``body``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

from store_service.engines.contract import EntityKind, EntityRow, EventRow, MessageRow, RequestRow, RunRow, TokenRow
from store_service.engines.stream_contract import StreamRow, StreamWriterRow

RUN: Final = (
    "run_id, workflow_name, status, create_ms, update_ms, expire_ms, parent_run_id, head_seq, head_at, "
    "out_of_band_at, out_of_band_seq, replay_seq, started_seq, terminal_seq, body, head_checksum"
)
EVENT: Final = "run_id, seq, event_id, at, kind, entity_id, body, checksum"
ENTITY: Final = "run_id, kind, entity_id, status, is_open, created_seq, current_seq, terminal_seq, due_ms, body"
TOKEN: Final = "token, run_id, hook_id, retain_until_ms"
REQUEST: Final = "request_id, digest, run_id, first_seq, last_seq, message_ids, expire_ms"
MESSAGE: Final = (
    'number, message_id, queue, state, "group", key, priority, create_ms, deliver_ms, delivery_count, max_deliveries, '
    "receipt, lease_ms, lease_expire_ms, last_reason, body"
)
_LAST_REASON: Final = 14
STREAM: Final = (
    "number, run_id, name, content_type, next_index, size_bytes, is_closed, closer_run_id, closer_step_id, "
    "closer_attempt, create_ms, update_ms"
)
WRITER: Final = "number, stream, writer_id, step_run_id, step_id, attempt, next_chunk, first_index"


def columns(text: str) -> Callable[[object], tuple[Any, ...]]:
    """Return what takes the named fields of a row, in order, as parameters."""
    return attrgetter(*(name.strip('" ') for name in text.split(",")))


def marks(text: str) -> str:
    """Return as many placeholders as there are columns."""
    return ", ".join(["%s"] * len(text.split(",")))


run_parameters: Final = columns(RUN)
event_parameters: Final = columns(EVENT)
entity_parameters: Final = columns(ENTITY)
token_parameters: Final = columns(TOKEN)
stream_parameters: Final = columns(STREAM)
writer_parameters: Final = columns(WRITER)
message_parameters_as_is: Final = columns(MESSAGE)

#: Parameters of MOVE_HEAD and PUT_HEAD.
moved_head_parameters: Final = columns(
    "update_ms, head_seq, head_at, out_of_band_at, out_of_band_seq, replay_seq, started_seq, head_checksum, run_id"
)
changed_head_parameters: Final = columns(
    "update_ms, head_seq, head_at, out_of_band_at, out_of_band_seq, replay_seq, started_seq, head_checksum, "
    "status, expire_ms, terminal_seq, run_id"
)
put_stream_parameters: Final = columns(
    "content_type, next_index, size_bytes, is_closed, closer_run_id, closer_step_id, closer_attempt, update_ms, "
    "run_id, name"
)


def request_parameters(row: RequestRow) -> tuple[Any, ...]:
    """Return the values of REQUEST."""
    ids = json.dumps(row.message_ids)
    return (row.request_id, row.digest, row.run_id, row.first_seq, row.last_seq, ids, row.expire_ms)


def message_parameters(row: MessageRow) -> tuple[Any, ...]:
    """Return the values of MESSAGE."""
    *values, last_reason, body = message_parameters_as_is(row)
    return (*values, last_reason.encode(), body)


def put_message_parameters(row: MessageRow) -> tuple[Any, ...]:
    """Return the values of PUT_MESSAGE up to ``body``."""
    return (
        row.state,
        row.key,
        row.priority,
        row.create_ms,
        row.deliver_ms,
        row.delivery_count,
        row.max_deliveries,
        row.receipt,
        row.lease_ms,
        row.lease_expire_ms,
        row.last_reason.encode(),
        row.body,
    )


def run_row(values: Sequence[Any]) -> RunRow:
    """Build a run from the columns RUN."""
    return RunRow(*values)


def event_row(values: Sequence[Any]) -> EventRow:
    """Build an event from the columns EVENT."""
    return EventRow(*values)


def entity_row(values: Sequence[Any]) -> EntityRow:
    """Build an entity from the columns ENTITY."""
    run_id, kind, *rest = values
    return EntityRow(run_id, EntityKind(kind), *rest)


def token_row(values: Sequence[Any]) -> TokenRow:
    """Build a token from the columns TOKEN."""
    return TokenRow(*values)


def request_row(values: Sequence[Any]) -> RequestRow:
    """Build a request from the columns REQUEST."""
    request_id, digest, run_id, first_seq, last_seq, message_ids, expire_ms = values
    return RequestRow(request_id, digest, run_id, first_seq, last_seq, tuple(json.loads(message_ids)), expire_ms)


def message_row(values: Sequence[Any]) -> MessageRow:
    """Build a message from the columns MESSAGE."""
    row: list[Any] = list(values)
    row[_LAST_REASON] = row[_LAST_REASON].decode()
    return MessageRow(*row)


def stream_row(values: Sequence[Any]) -> StreamRow:
    """Build a stream from the columns STREAM."""
    return StreamRow(*values)


def writer_row(values: Sequence[Any]) -> StreamWriterRow:
    """Build a writer from the columns WRITER."""
    return StreamWriterRow(*values)
