"""What an engine is: rows, transactions, group commit and commit notes. No SQL, no rules, no gRPC.

An engine keeps rows and makes them durable. It knows nothing of guards, transitions or leases: those are plain
functions in ``store_service/rules`` that get a ``Transaction`` and run *inside* it, on the engine's own
thread, synchronously. An engine may batch many such functions into one durable commit; each runs as if alone and a
function that raises leaves no trace. The conformance suite in ``tests/conformance`` is the definition; read
``engines/sqlite`` next.

All times are epoch milliseconds (int). ``body`` columns are serialized protobuf messages.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol, TypeVar

from store_service.engines.stream_contract import StreamNote, StreamReads, StreamWrites

T = TypeVar("T")


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
    """A remembered request id: what it wrote, so that a repeat gets the first answer."""

    request_id: str
    digest: bytes
    run_id: str
    first_seq: int
    last_seq: int
    message_ids: tuple[str, ...]
    expire_ms: int


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One queue message. ``number`` orders sends (0 before insertion). ``state`` is a QueueMessageState.

    ``receipt`` and ``lease_expire_ms`` are set while LEASED ("" and None otherwise); ``lease_ms`` is the length
    of the current lease. ``body`` is a QueueMessage that holds payload, headers and create_time only.
    """

    number: int
    message_id: str
    queue: str
    state: int
    group: str
    key: str
    priority: int
    create_ms: int
    deliver_ms: int
    delivery_count: int
    max_deliveries: int
    receipt: str
    lease_ms: int
    lease_expire_ms: int | None
    last_reason: str
    body: bytes


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Counts of one queue at a moment. ``oldest_ready_ms`` is the deliver_ms of the oldest deliverable one."""

    queue: str
    ready: int
    delayed: int
    leased: int
    dead: int
    oldest_ready_ms: int | None


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


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """Filter and page of messages of one queue, oldest first by ``number``."""

    queue: str
    limit: int
    after_number: int = 0
    states: tuple[int, ...] = ()
    group: str = ""


@dataclass(frozen=True, slots=True)
class EventNote:
    """Told after a commit: the log of a run grew to ``head_seq``.

    ``kinds`` are the EventTypes that were added, so that who waits for others is not woken.
    """

    run_id: str
    head_seq: int
    terminal: bool
    kinds: frozenset[int]


@dataclass(frozen=True, slots=True)
class QueueNote:
    """Told after a commit: something in ``queue`` may be delivered from ``ready_ms`` on (0: now)."""

    queue: str
    ready_ms: int


@dataclass(frozen=True, slots=True)
class ExpiryNote:
    """Told after a commit: a run or hook expires at ``due_ms``."""

    due_ms: int


@dataclass(frozen=True, slots=True)
class DeletedNote:
    """Told after a commit: a run and its log are gone."""

    run_id: str


@dataclass(frozen=True, slots=True)
class MissedNotes:
    """Told when notes of other processes on the same database were missed: look at everything that you wait for."""


Note = EventNote | QueueNote | ExpiryNote | DeletedNote | StreamNote | MissedNotes


@dataclass(frozen=True, slots=True)
class Needs:
    """What a unit of work will surely ask for. An engine may fetch it beforehand, for many units at once.

    Units with the same ``run_id`` run in the order in which they came; others may run beside each other. Never more
    than a saving: a unit may ask for anything else, and need not ask for any of this.
    """

    run_id: str = ""
    entities: Sequence[tuple[EntityKind, str]] = ()
    receipts: Sequence[str] = ()
    request_id: str = ""


class Reader(StreamReads, Protocol):
    """Reads of one consistent state. Rows come as stored."""

    def meta(self, key: str) -> str | None:
        """Return a value of the store's own table ("store_id", "deleted_position", ...)."""

    def run(self, run_id: str) -> RunRow | None: ...

    def runs(self, query: RunQuery) -> list[RunRow]: ...

    def attributes(self, run_id: str) -> dict[str, str]:
        """Return the searchable attributes of a run, as `runs` would find them."""

    def event(self, run_id: str, seq: int) -> EventRow | None: ...

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
        """Return events with ``after_seq < seq < before_seq`` in the order asked for."""

    def seq_at(self, run_id: str, at: int) -> int:
        """Return the seq of the newest event whose time is not above ``at``; 0 when there is none."""

    def all_events(self, *, after_position: int, limit: int) -> list[tuple[int, EventRow]]:
        """Return events of every run in commit order, each with its store-wide position."""

    def last_position(self) -> int:
        """Return the store-wide position of the newest event; 0 in an empty store."""

    def entity(self, run_id: str, kind: EntityKind, entity_id: str) -> EntityRow | None: ...

    def entities(self, query: EntityQuery) -> list[EntityRow]: ...

    def open_entities(self, run_id: str) -> list[EntityRow]:
        """Return every open entity of a run, in order of creation."""

    def token(self, token: str) -> TokenRow | None: ...

    def request(self, request_id: str) -> RequestRow | None: ...

    def message(self, message_id: str) -> MessageRow | None: ...

    def messages(self, query: MessageQuery) -> list[MessageRow]: ...

    def leased_message(self, receipt: str) -> MessageRow | None:
        """Return the message that is leased under this very receipt (its lease may have expired unnoticed)."""

    def settled(self, receipt: str) -> bool:
        """Return whether this receipt was acknowledged within the last 24 hours."""

    def waiting_message(self, queue: str, key: str) -> MessageRow | None:
        """Return the oldest READY message of the queue with this idempotency key."""

    def queue_counts(self, queue: str, now_ms: int) -> QueueCounts | None:
        """Return the counts of a queue, None when it never had a message."""

    def queue_names(self, *, after: str, limit: int) -> list[str]: ...

    def next_expiry_ms(self) -> int | None:
        """Return the earliest expire_ms of an open run, due_ms of an open hook or retention end of a token."""

    def expired_runs(self, now_ms: int, limit: int) -> list[RunRow]: ...

    def expired_hooks(self, now_ms: int, limit: int) -> list[EntityRow]: ...


class Transaction(Reader, StreamWrites, Protocol):
    """Reads and writes of one unit of work. Everything it wrote goes when the unit raises."""

    def set_meta(self, key: str, value: str) -> None: ...

    def peek_run(self, run_id: str) -> RunRow | None:
        """Return a run without holding it: it may change before this unit commits. For what never changes of it."""

    def insert_event(self, row: EventRow) -> None:
        """Append an event. Its store-wide position is given with the commit, in commit order."""

    def put_run(self, row: RunRow) -> None:
        """Insert or replace a run."""

    def put_head(self, row: RunRow) -> None:
        """Replace the changing columns of a run (status, times, guard, seqs, checksum); ``body`` stays as it is."""

    def put_attributes(self, run_id: str, attributes: Mapping[str, str]) -> None:
        """Replace the searchable attributes of a run."""

    def put_entity(self, row: EntityRow, *, created_at: int) -> None:
        """Insert or replace an entity; ``created_at`` is the ``at`` of its first event, for ordering.

        ``created_seq`` and ``created_at`` are kept from the first put: later ones may pass 0.
        """

    def put_token(self, row: TokenRow) -> None: ...

    def delete_token(self, token: str) -> None: ...

    def put_request(self, row: RequestRow) -> None: ...

    def insert_message(self, row: MessageRow) -> MessageRow:
        """Insert a message and return it with its ``number``."""

    def put_message(self, row: MessageRow) -> None:
        """Replace a message."""

    def delete_message(self, message_id: str) -> None: ...

    def settle(self, receipt: str, expire_ms: int) -> None:
        """Remember that a receipt was acknowledged, until ``expire_ms``."""

    def expired_leases(self, queue: str, now_ms: int, limit: int) -> list[MessageRow]:
        """Return LEASED messages whose lease ended at or before now."""

    def deliverable(self, queue: str, now_ms: int, limit: int) -> list[MessageRow]:
        """Return READY messages that are due and whose group has no LEASED message in the queue, at most one a group.

        Ordered by priority (high first), deliver_ms, number. Finds the rows through an index, also
        with 100,000 delayed messages in the queue.
        """

    def next_ready_ms(self, queue: str, now_ms: int) -> int | None:
        """Return when the queue may next have something to deliver without a further commit: the earliest
        lease end or deliver_ms above now; None for never."""

    def delete_run(self, run_id: str) -> int:
        """Delete a run with everything it has (log, entities, attributes, tokens, requests, streams); return the
        highest store-wide position deleted. Its queue messages of the group ``run_id`` go too."""

    def forget_expired(self, now_ms: int, limit: int) -> None:
        """Delete up to ``limit`` request ids and settled receipts whose time is over, and retained tokens."""

    def note(self, note: Note) -> None:
        """Tell listeners after the commit. Dropped when the unit raises."""


Listener = Callable[[Sequence[Note]], None]


class Engine(Protocol):
    """A database with durable group commit.

    ``write`` returns only after the unit's commit is durable (``synchronous=FULL`` or equal) and raises
    what the unit raised, in which case nothing of it was written. Units that wait together commit
    together. Raises Refusal NOT_READY when the database is gone or more than
    ``limits.PENDING_WRITES_MAX`` units wait (THROTTLED).
    """

    backend: str

    async def write(self, unit: Callable[[Transaction], T], needs: Needs | None = None) -> T:
        """Run a unit in a commit. It may run more than once, each time as if it never had: when the database
        refuses the commit for other writers' sake."""

    async def read(self, query: Callable[[Reader], T]) -> T:
        """Run a query on one consistent snapshot that includes every acknowledged write."""

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` on the event loop after each commit, in commit order; returns the way to stop."""

    async def failed(self) -> str:
        """Wait until this process must not write to the database any more, and return why. Whoever serves it stops.

        An engine that can go on after every error never returns.
        """

    @property
    def statements(self) -> int:
        """SQL statements executed since the start, for the idle test."""

    def wall_ns(self) -> int:
        """Return the wall clock that all processes on this database share, in epoch nanoseconds."""

    async def close(self) -> None: ...


OpenEngine = Callable[[str], Awaitable[Engine]]
