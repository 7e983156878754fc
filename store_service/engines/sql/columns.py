"""Columns and rows: the order in which each row of the contract is selected, inserted and rebuilt.

Owns the mapping between tuples and the dataclasses of the engine contract; columns stand in the order of the fields,
so that a row is built by position. It must never interpret a ``body``. A row that one engine stores in another type
(a message's last reason in PostgreSQL) is converted there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

from store_service.engines.contract import EntityKind, EntityRow, EventRow, MessageRow, RequestRow, RunRow, TokenRow
from store_service.engines.sql import dialect
from store_service.engines.stream_contract import StreamRow, StreamWriterRow

RUN: Final = (
    "run_id, workflow_name, status, create_ms, update_ms, expire_ms, parent_run_id, head_seq, head_at, "
    "out_of_band_at, out_of_band_seq, replay_seq, started_seq, terminal_seq, body, head_checksum"
)
EVENT: Final = "run_id, seq, event_id, at, kind, entity_id, body, checksum"
ENTITY: Final = "run_id, kind, entity_id, status, is_open, created_seq, current_seq, terminal_seq, due_ms, body"
TOKEN: Final = "token, run_id, hook_id, retain_until_ms"
REQUEST: Final = "request_id, digest, run_id, first_seq, last_seq, message_ids, expire_ms, checksum"
#: …_UNNUMBERED: as an engine inserts it whose database gives the number.
MESSAGE_UNNUMBERED: Final = (
    'message_id, queue, state, "group", key, priority, create_ms, deliver_ms, delivery_count, max_deliveries, '
    "receipt, lease_ms, lease_expire_ms, last_reason, body, checksum"
)
MESSAGE: Final = f"number, {MESSAGE_UNNUMBERED}"
STREAM_UNNUMBERED: Final = (
    "run_id, name, content_type, next_index, size_bytes, is_closed, closer_run_id, closer_step_id, closer_attempt, "
    "create_ms, update_ms"
)
STREAM: Final = f"number, {STREAM_UNNUMBERED}"
WRITER_UNNUMBERED: Final = "stream, writer_id, step_run_id, step_id, attempt, next_chunk, first_index"
WRITER: Final = f"number, {WRITER_UNNUMBERED}"

#: What changes of a run with every append, and what stands in an index as well.
HEAD: Final = "update_ms, head_seq, head_at, out_of_band_at, out_of_band_seq, replay_seq, started_seq, head_checksum"
STATE: Final = "status, expire_ms, terminal_seq"


def marks(columns: str) -> str:
    """Return as many placeholders as there are columns, still to be spelled."""
    return dialect.marks(columns.count(",") + 1)


def parameters(columns: str) -> Callable[[object], tuple[Any, ...]]:
    """Return what takes the named fields of a row, in order, as parameters."""
    return attrgetter(*(name.strip('" ') for name in columns.split(",")))


run_parameters: Final = parameters(RUN)
event_parameters: Final = parameters(EVENT)
entity_parameters: Final = parameters(ENTITY)
token_parameters: Final = parameters(TOKEN)
#: Parameters of PUT_HEAD.
changed_head_parameters: Final = parameters(f"{HEAD}, {STATE}, run_id")
#: Parameters of PUT_MESSAGE up to ``checksum``: a message never moves to another queue or group.
put_message_parameters: Final = parameters(
    "state, key, priority, create_ms, deliver_ms, delivery_count, max_deliveries, receipt, lease_ms, "
    "lease_expire_ms, last_reason, body, checksum"
)
#: What changes of a stream; the engines name it by different keys.
CHANGED_STREAM: Final = (
    "content_type, next_index, size_bytes, is_closed, closer_run_id, closer_step_id, closer_attempt, update_ms"
)


def request_parameters(row: RequestRow) -> tuple[Any, ...]:
    """Return the values of REQUEST."""
    ids = json.dumps(row.message_ids)
    return (row.request_id, row.digest, row.run_id, row.first_seq, row.last_seq, ids, row.expire_ms, row.checksum)


def run_row(values: Sequence[Any]) -> RunRow:
    """Build a run from the columns RUN."""
    return RunRow(*values)


def event_row(values: Sequence[Any]) -> EventRow:
    """Build an event from the columns EVENT."""
    return EventRow(*values)


def entity_row(values: Sequence[Any]) -> EntityRow:
    """Build an entity from the columns ENTITY."""
    run_id, kind, entity_id, status, is_open, *rest = values
    return EntityRow(run_id, EntityKind(kind), entity_id, status, bool(is_open), *rest)


def token_row(values: Sequence[Any]) -> TokenRow:
    """Build a token from the columns TOKEN."""
    return TokenRow(*values)


def request_row(values: Sequence[Any]) -> RequestRow:
    """Build a request from the columns REQUEST."""
    request_id, digest, run_id, first_seq, last_seq, message_ids, *rest = values
    return RequestRow(request_id, digest, run_id, first_seq, last_seq, tuple(json.loads(message_ids)), *rest)


def message_row(values: Sequence[Any]) -> MessageRow:
    """Build a message from the columns MESSAGE."""
    return MessageRow(*values)


def stream_row(values: Sequence[Any]) -> StreamRow:
    """Build a stream from the columns STREAM."""
    number, run_id, name, content_type, next_index, size_bytes, is_closed, *rest = values
    return StreamRow(number, run_id, name, content_type, next_index, size_bytes, bool(is_closed), *rest)


def writer_row(values: Sequence[Any]) -> StreamWriterRow:
    """Build a writer from the columns WRITER."""
    return StreamWriterRow(*values)
