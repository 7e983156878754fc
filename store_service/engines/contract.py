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
from dataclasses import dataclass
from typing import Protocol, TypeVar

from store_service.engines.queue_contract import (
    MessageQuery,
    MessageRow,
    QueueCounts,
    QueueNote,
    QueueReads,
    QueueWrites,
)
from store_service.engines.rows import (
    EntityKind,
    EntityQuery,
    EntityRow,
    EventRow,
    RequestRow,
    RunQuery,
    RunRow,
    TokenRow,
)
from store_service.engines.stream_contract import StreamNote, StreamReads, StreamWrites

__all__ = (
    "DeletedNote",
    "Engine",
    "EntityKind",
    "EntityQuery",
    "EntityRow",
    "EventNote",
    "EventRow",
    "ExpiryNote",
    "Listener",
    "MessageQuery",
    "MessageRow",
    "MissedNotes",
    "Needs",
    "Note",
    "OpenEngine",
    "QueueCounts",
    "QueueNote",
    "Reader",
    "RequestRow",
    "RunQuery",
    "RunRow",
    "TokenRow",
    "Transaction",
)

T = TypeVar("T")


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


class Reader(QueueReads, StreamReads, Protocol):
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

    def next_expiry_ms(self) -> int | None:
        """Return the earliest expire_ms of an open run, due_ms of an open hook or retention end of a token."""

    def expired_runs(self, now_ms: int, limit: int) -> list[RunRow]: ...

    def expired_hooks(self, now_ms: int, limit: int) -> list[EntityRow]: ...


class Transaction(Reader, QueueWrites, StreamWrites, Protocol):
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
