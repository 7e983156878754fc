"""Reads of a log: one event, or a page of them.

Owns GetEvent and ListEvents. A page without filters has no holes, and a log with a gap is CORRUPT_LOG: a reader
that is given a short prefix decides from a past that never was. The snapshot that a page hands out is that of the
position it reached, never of the head. Pages end early by size. Read ``listing.py`` for runs and entities.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from holdfast.refusal import Refusal
from holdfast.v1 import entity_pb2, event_pb2, store_service_pb2
from store_service import limits
from store_service.engines.contract import EventRow, Reader, RunRow
from store_service.rules import clock, cursors, refusals, requests, stored, views

#: Rows fetched before the size of this log's events is known; bounds the memory of a page of large events.
_FIRST_ROWS = 16


def require_run(reader: Reader, run_id: str) -> RunRow:
    """Return the row of a run. Raises Refusal RUN_NOT_FOUND."""
    row = reader.run(run_id)
    if row is None:
        raise refusals.run_not_found(run_id)
    return row


def get_event(reader: Reader, request: store_service_pb2.GetEventRequest) -> store_service_pb2.GetEventResponse:
    """Return one event by seq, id or request id. Raises RUN_NOT_FOUND, or ENTITY_NOT_FOUND for no such event."""
    if request.WhichOneof("position") == "request_id":
        return _get_first_written(reader, request)
    require_run(reader, request.run_id)
    by_id = request.WhichOneof("position") == "event_id"
    seq = _seq_of(reader, request.run_id, request.event_id) if by_id else request.seq
    row = reader.event(request.run_id, seq) if seq > 0 else None
    if row is None or (by_id and row.event_id != request.event_id):
        wanted = request.event_id if by_id else str(request.seq)
        raise Refusal(
            "ENTITY_NOT_FOUND",
            f"run {request.run_id} has no event {wanted}",
            metadata={"event_id" if by_id else "seq": wanted, "run_id": request.run_id},
        )
    event = views.show_event(stored.event_of(row), request.view)
    return store_service_pb2.GetEventResponse(event=event)


def _get_first_written(
    reader: Reader, request: store_service_pb2.GetEventRequest
) -> store_service_pb2.GetEventResponse:
    """Return the first event that the create with a request id wrote."""
    known = requests.known(reader, request.request_id)
    row = reader.event(known.run_id, known.first_seq) if known is not None else None
    if row is None or request.run_id not in ("", row.run_id):
        raise Refusal(
            "ENTITY_NOT_FOUND",
            f"no event was written under the request id {request.request_id}, or it is forgotten by now",
            metadata={"request_id": request.request_id, "run_id": request.run_id},
        )
    return store_service_pb2.GetEventResponse(event=views.show_event(stored.event_of(row), request.view))


def _seq_of(reader: Reader, run_id: str, event_id: str) -> int:
    """An event id holds its time, and a time names one position: no index over ids is needed."""
    at = clock.time_of(event_id)
    return reader.seq_at(run_id, at) if at is not None else 0


@dataclass(slots=True)
class _Page:
    """A page in work. ``reached`` is the position right after what was looked at, in log order."""

    reached: int
    is_end: bool = False
    last: EventRow | None = None
    events: list[event_pb2.Event] = field(default_factory=list)


def list_events(reader: Reader, request: store_service_pb2.ListEventsRequest) -> store_service_pb2.ListEventsResponse:
    """Return a page of a run's log.

    Raises RUN_NOT_FOUND; INVALID_CURSOR for a position that this log does not have; CORRUPT_LOG.
    """
    run = require_run(reader, request.run_id)
    is_descending = request.order == entity_pb2.SORT_ORDER_DESCENDING
    start = _start(request, run, is_descending)
    page = _read_page(reader, request, run, start, is_descending)
    response = store_service_pb2.ListEventsResponse(events=page.events, head_seq=run.head_seq)
    if not page.is_end:
        going_on = page.events[-1].seq - 1 if is_descending else page.reached
        response.next_page_token = cursors.run_cursor(run.run_id, going_on)
    response.next_cursor = cursors.run_cursor(run.run_id, page.reached)
    if not (is_descending or request.types or request.correlation_id):
        response.state_updated_at = _time_at(reader, run, page.reached)
    return response


def _start(request: store_service_pb2.ListEventsRequest, run: RunRow, is_descending: bool) -> int:
    if request.cursor:
        start = cursors.read_run_cursor(request.cursor, run.run_id)
    elif request.HasField("after_seq"):
        start = request.after_seq
    else:
        return run.head_seq if is_descending else 0
    if start > run.head_seq:
        # A page that began there would hide what the log holds between its end and that position.
        raise cursors.invalid_cursor(f"position {start} is beyond the end of the log, {run.head_seq}")
    return start


def _read_page(
    reader: Reader, request: store_service_pb2.ListEventsRequest, run: RunRow, start: int, is_descending: bool
) -> _Page:
    page = _Page(reached=start)
    is_filtered = bool(request.types or request.correlation_id)
    limit = page_size(request.page_size, limits.EVENTS_PAGE_SIZE_DEFAULT)
    room = limits.PAGE_BYTES_MAX
    for row in _rows(reader, request, start, limit, is_descending):
        event = views.show_event(stored.event_of(row), request.view)
        if not is_filtered:
            _require_next(run, page, row, start, is_descending)
        page.events.append(event)
        page.reached = row.seq
        page.last = row
        room -= event.ByteSize()
        if len(page.events) == limit or room <= 0:
            page.is_end = row.seq == (1 if is_descending else run.head_seq)
            return page
    _require_end(run, page, is_descending, is_filtered)
    page.is_end = True
    if is_filtered and not is_descending:
        page.reached = run.head_seq
    return page


def _rows(
    reader: Reader, request: store_service_pb2.ListEventsRequest, start: int, limit: int, is_descending: bool
) -> Iterator[EventRow]:
    """Yield rows from a position on, fetched in pieces whose size follows from the rows before."""
    position, fetched, size = start, 0, 0
    while fetched < limit:
        wanted = _FIRST_ROWS if not fetched else max(1, limits.PAGE_BYTES_MAX * fetched // (size + 1))
        rows = reader.events(
            request.run_id,
            after_seq=0 if is_descending else position,
            before_seq=position + 1 if is_descending else None,
            limit=min(wanted, limit - fetched),
            descending=is_descending,
            kinds=list(request.types),
            entity_id=request.correlation_id,
        )
        yield from rows
        if len(rows) < min(wanted, limit - fetched):
            return
        position = rows[-1].seq - 1 if is_descending else rows[-1].seq
        fetched += len(rows)
        size += sum(len(row.body) for row in rows)


def _require_next(run: RunRow, page: _Page, row: EventRow, start: int, is_descending: bool) -> None:
    count = len(page.events)
    seq = start - count if is_descending else start + count + 1
    stored.require_next(run.run_id, seq, row, None if is_descending else page.last)
    if is_descending and page.last is not None:
        stored.require_next(run.run_id, seq + 1, page.last, row)
    stored.require_head(run, row)


def _require_end(run: RunRow, page: _Page, is_descending: bool, is_filtered: bool) -> None:
    """Where the rows stop, the log must stop as well."""
    if is_filtered:
        return
    at_end = (not page.events or page.reached == 1) if is_descending else page.reached == run.head_seq
    if not at_end:
        missing = page.reached - 1 if is_descending else page.reached + 1
        raise stored.corrupt(run.run_id, f"event {missing} is missing at the end", seq=missing)


def _time_at(reader: Reader, run: RunRow, seq: int) -> int:
    if seq == run.head_seq:
        return run.head_at
    row = reader.event(run.run_id, seq) if seq else None
    if seq and row is None:
        raise stored.corrupt(run.run_id, f"event {seq} is missing", seq=seq)
    if row is None:
        return 0
    stored.require_sound(row)
    return row.at


def page_size(asked: int, default: int = limits.PAGE_SIZE_DEFAULT) -> int:
    """Return the rows of a page: the default for 0, never more than the cap."""
    return min(asked or default, limits.PAGE_SIZE_MAX)
