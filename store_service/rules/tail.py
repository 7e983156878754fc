"""Following a log: where a watch stands, and what comes next. Pure position logic.

Owns the two scopes of a watch, one run and the whole store, behind one small protocol. A place lies between events and
moves over every event read, also over those that a filter skips, so a cursor never makes a reader see an event
twice or miss one. When events after a place are gone, that is told (CURSOR_EXPIRED), never papered over; only a watch
that asked for "whatever is still stored" takes the holes that there were when it began. Streaming is ``api/watch.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

from holdfast.refusal import Refusal
from holdfast.v1 import error_pb2, event_pb2, store_service_pb2
from store_service.engines.contract import EventRow, Reader, RunRow
from store_service.rules import cursors, refusals, stored
from store_service.rules.retention import DELETED_POSITION

EARLIEST: Final = store_service_pb2.WATCH_START_EARLIEST
NOW: Final = store_service_pb2.WATCH_START_NOW


#: Rows read before the size of this log's events is known: so few that the largest do not fill the memory.
_FIRST_ROWS: Final = 16

#: Events in one message of a watch.
_EVENTS_MAX: Final = 512

#: A store cursor holds two numbers in one: the position below, the accepted holes above.
_POSITION_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class Place:
    """Right after ``position`` (a seq, or store-wide). Deleted positions up to ``holes_until`` are no surprise."""

    position: int
    holes_until: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """What comes after a place. ``is_at_end``: there was no more. ``is_ended``: the run has, and all of it was read."""

    events: list[event_pb2.Event]
    place: Place
    is_at_end: bool
    head_seq: int = 0
    is_ended: bool = False
    is_deleted: bool = False


class Tail(Protocol):
    """A scope to follow."""

    def begin(self, reader: Reader, cursor: str, start: int) -> Place:
        """Return where to begin: after ``cursor``, or where ``start`` (a WatchStart) says.

        Raises Refusal RUN_NOT_FOUND, INVALID_CURSOR.
        """

    def read(self, reader: Reader, place: Place, bytes_max: int) -> Chunk:
        """Return what comes next: ``bytes_max`` of events, or a single one that is larger.

        Raises Refusal CURSOR_EXPIRED, CORRUPT_LOG.
        """

    def cursor(self, place: Place) -> str:
        """Return the text of a place."""


@dataclass(frozen=True, slots=True)
class RunTail:
    """One run, by seq; ``types`` empty means all."""

    run_id: str
    types: Collection[int] = ()

    def begin(self, reader: Reader, cursor: str, start: int) -> Place:
        row = reader.run(self.run_id)
        if row is None:
            raise refusals.run_not_found(self.run_id)
        if not cursor:
            return Place(row.head_seq if start == NOW else 0)
        seq = cursors.read_run_cursor(cursor, self.run_id)
        if seq > row.head_seq:
            raise cursors.invalid_cursor(f"it is ahead of the log of run {self.run_id}")
        return Place(seq)

    def read(self, reader: Reader, place: Place, bytes_max: int) -> Chunk:
        row = reader.run(self.run_id)
        if row is None:
            return Chunk([], place, is_at_end=True, is_deleted=True)
        rows, end = _fill(place.position, bytes_max, lambda after, limit: self._slice(reader, after, limit))
        self._require_dense(place, rows, row, end)
        return Chunk(
            events=_events(rows, self.types),
            place=Place(end),
            is_at_end=end >= row.head_seq,
            head_seq=row.head_seq,
            is_ended=0 < row.terminal_seq <= end,
        )

    def cursor(self, place: Place) -> str:
        return cursors.run_cursor(self.run_id, place.position)

    def _slice(self, reader: Reader, after: int, limit: int) -> list[tuple[int, EventRow]]:
        return [(row.seq, row) for row in reader.events(self.run_id, after_seq=after, limit=limit)]

    def _require_dense(self, place: Place, rows: list[EventRow], run: RunRow, end: int) -> None:
        stored.require_chain(self.run_id, place.position, rows)
        if rows:
            stored.require_head(run, rows[-1])
        if not rows and end < run.head_seq:
            raise stored.corrupt(self.run_id, f"event {end + 1} is missing at the end", seq=end + 1)


@dataclass(frozen=True, slots=True)
class StoreTail:
    """Every run of the store, by store-wide position; only runs of ``workflow_name`` when it is not empty."""

    types: Collection[int] = ()
    workflow_name: str = ""

    def begin(self, reader: Reader, cursor: str, start: int) -> Place:
        deleted = _deleted_position(reader)
        last = max(reader.last_position(), deleted)
        if not cursor:
            return Place(0, holes_until=deleted) if start == EARLIEST else Place(last)
        place = _unpack(cursors.read_store_cursor(cursor))
        if place.position > last:
            raise cursors.invalid_cursor("it is ahead of the store")
        return place

    def read(self, reader: Reader, place: Place, bytes_max: int) -> Chunk:
        deleted = _deleted_position(reader)
        if deleted > max(place.position, place.holes_until):
            raise self._expired(reader, place, deleted)
        rows, end = _fill(
            place.position, bytes_max, lambda after, limit: reader.all_events(after_position=after, limit=limit)
        )
        wanted = rows if not self.workflow_name else list(self._of_workflow(reader, rows))
        is_at_end = end >= reader.last_position()
        return Chunk(_events(wanted, self.types), replace(place, position=end), is_at_end=is_at_end)

    def cursor(self, place: Place) -> str:
        return cursors.store_cursor(_pack(place))

    def _of_workflow(self, reader: Reader, rows: list[EventRow]) -> Iterator[EventRow]:
        names: dict[str, str] = {}
        for row in rows:
            if row.run_id not in names:
                run = reader.run(row.run_id)
                names[row.run_id] = "" if run is None else run.workflow_name
            if names[row.run_id] == self.workflow_name:
                yield row

    def _expired(self, reader: Reader, place: Place, deleted: int) -> Refusal:
        oldest = reader.all_events(after_position=0, limit=1)
        oldest_position = oldest[0][0] if oldest else deleted + 1
        oldest_cursor = self.cursor(Place(place.position, holes_until=deleted))
        return Refusal(
            "CURSOR_EXPIRED",
            f"events after position {place.position} were deleted, the last of them at {deleted}; read the runs that "
            "matter again, and go on with oldest_cursor, which skips what is gone",
            metadata={"position": place.position, "deleted_position": deleted, "oldest_position": oldest_position},
            detail=error_pb2.CursorExpired(oldest_cursor=oldest_cursor, oldest_position=oldest_position),
        )


def _deleted_position(reader: Reader) -> int:
    return int(reader.meta(DELETED_POSITION) or 0)


def _fill(
    position: int, bytes_max: int, next_rows: Callable[[int, int], list[tuple[int, EventRow]]]
) -> tuple[list[EventRow], int]:
    """Read from ``position`` on until a page is full or there is no more; returns rows and the new position."""
    rows: list[EventRow] = []
    size = 0
    while size < bytes_max and len(rows) < _EVENTS_MAX:
        limit = _rows_that_fit(len(rows), size, bytes_max)
        found = next_rows(position, limit)
        for place, row in found:
            if rows and size + len(row.body) > bytes_max:
                return rows, position
            rows.append(row)
            size += len(row.body)
            position = place
        if len(found) < limit:
            break
    return rows, position


def _rows_that_fit(count: int, size: int, bytes_max: int) -> int:
    """Return how many more rows to read, by the size of those before."""
    if not count:
        return _FIRST_ROWS
    room = (bytes_max - size) * count // size
    return max(1, min(room, _EVENTS_MAX - count))


def _events(rows: list[EventRow], types: Collection[int]) -> list[event_pb2.Event]:
    return [stored.event_of(row) for row in rows if not types or row.kind in types]


def _pack(place: Place) -> int:
    holes = place.holes_until if place.holes_until > place.position else 0
    return holes << _POSITION_BITS | place.position


def _unpack(number: int) -> Place:
    return Place(number & (1 << _POSITION_BITS) - 1, holes_until=number >> _POSITION_BITS)
