"""What an engine keeps of logs, row by row, and how lists of it are asked for: the values of the engine contract.

Owns the rows of runs, events, entities, hook tokens and request ids, and the queries of runs and entities. Values
only: what is done with them is in ``contract.py``; rows of messages are in ``queue_contract.py``, those of streams in
``stream_contract.py``. All times are epoch milliseconds (int). ``body`` columns are serialized protobuf messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum


class EntityKind(IntEnum):
    """What a row of ``entities`` is. Part of its key: a step and a hook may share an id."""

    STEP = 1
    HOOK = 2
    WAIT = 3


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run: its guard in columns, the rest in ``body`` (holdfast.v1.Run; payload bodies and guard left out).

    ``update_ms`` is the create_time of the newest event, and what the wall clock is clamped to.
    ``expire_ms`` is when the run fails by timeout, None for never or once ended.
    ``terminal_seq`` is the seq of the event that ended it, 0 while it is open.
    ``started_seq`` is the seq of run_started, 0 before. ``head_checksum`` is the newest of the log's checksum chain.
    """

    run_id: str
    workflow_name: str
    status: int
    create_ms: int
    update_ms: int
    expire_ms: int | None
    parent_run_id: str
    head_seq: int
    head_at: int
    out_of_band_at: int
    out_of_band_seq: int
    replay_seq: int
    started_seq: int
    terminal_seq: int
    body: bytes
    head_checksum: bytes


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event. ``at`` is the time part of ``event_id``; ``kind`` an EventType; ``body`` the whole Event.

    ``checksum`` is its place in the chain of ``store_service/checksum.py``.
    """

    run_id: str
    seq: int
    event_id: str
    at: int
    kind: int
    entity_id: str
    body: bytes
    checksum: bytes


@dataclass(frozen=True, slots=True)
class EntityRow:
    """One step, hook or wait; ``body`` is its message without payloads, which are read from the events at
    ``created_seq`` and ``terminal_seq`` (0 while open). ``due_ms``: resume time of a wait, expiry of a hook, else None.
    ``current_seq`` is the seq of the newest event of the entity. ``is_open`` is False once terminal."""

    run_id: str
    kind: EntityKind
    entity_id: str
    status: int
    is_open: bool
    created_seq: int
    current_seq: int
    terminal_seq: int
    due_ms: int | None
    body: bytes


@dataclass(frozen=True, slots=True)
class TokenRow:
    """An owned hook token. ``retain_until_ms``: kept taken until then after its hook closed (None: while open)."""

    token: str
    run_id: str
    hook_id: str
    retain_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A remembered request id: what it wrote, so that a repeat gets the first answer.

    ``checksum`` is over all of it; b"" for one of a version that kept none.
    """

    request_id: str
    digest: bytes
    run_id: str
    first_seq: int
    last_seq: int
    message_ids: tuple[str, ...]
    expire_ms: int
    checksum: bytes = b""


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Filter and page of runs. ``after`` is (create_ms, run_id) of the last row of the previous page."""

    limit: int
    descending: bool = True
    after: tuple[int, str] | None = None
    statuses: tuple[int, ...] = ()
    workflow_name: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    create_from_ms: int | None = None
    create_until_ms: int | None = None
    parent_run_id: str = ""


@dataclass(frozen=True, slots=True)
class EntityQuery:
    """Filter and page of entities of one kind.

    Within a run, ordered by created_seq (waits: by due_ms, entity id); over all runs ("" as run_id) by
    (sort value, run_id, entity_id), where the sort value of a hook is the ``at`` of its creation, kept
    by the engine in a column of its own, and of a wait its due_ms. ``after`` is the
    (sort value, run_id, entity_id) of the last row of the previous page: created_seq stands in for steps.
    """

    kind: EntityKind
    limit: int
    run_id: str = ""
    after: tuple[int, str, str] | None = None
    statuses: tuple[int, ...] = ()
    due_until_ms: int | None = None
