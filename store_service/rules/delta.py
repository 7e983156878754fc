"""What a caller had not seen: a contiguous piece of a log, all of it or none.

Owns LogDelta, for `interleaved` in answers and `missed` in refusals. A delta cut short by size and taken for
complete would hide events for good, so one that does not fit holds none and says so; payloads come as stored,
because a replay feeds on them. It must never skip an event: a gap in the log is CORRUPT_LOG.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from holdfast.v1 import event_pb2
from store_service.engines.contract import EventRow, Reader
from store_service.rules import cursors, stored
from store_service.rules.guard import Snapshot

#: No stored event is smaller: an event id alone takes 32 bytes. So more rows than this need not even be read.
_EVENT_BYTES_MIN: Final = 40

#: Tag and length in front of an event within a delta.
_FRAME_BYTES: Final = 6


@dataclass(frozen=True, slots=True)
class Head:
    """A position of a log that a delta leads up to: seq and time of the event there, 0 for the beginning."""

    seq: int
    at: int


def position_of(
    reader: Reader, run_id: str, head: Head, snapshot: Snapshot, delta_after_seq: int | None = None
) -> int | None:
    """Return the seq that a caller says it has loaded, the smallest of what it said; None when it said nothing."""
    said = [seq for seq in (snapshot.state_seq, delta_after_seq) if seq is not None]
    at = snapshot.state_updated_at
    if at is not None:
        said.append(head.seq if at >= head.at else reader.seq_at(run_id, at))
    return min([*said, head.seq]) if said else None


def between(reader: Reader, run_id: str, after_seq: int, head: Head, bytes_max: int) -> event_pb2.LogDelta:
    """Return the events with ``after_seq < seq <= head.seq``, or none of them when they exceed ``bytes_max``.

    Raises Refusal CORRUPT_LOG when one of them is missing or cannot be read.
    """
    count = head.seq - after_seq
    if count * _EVENT_BYTES_MIN > bytes_max:
        return nothing(run_id, after_seq, head)
    events: list[event_pb2.Event] = []
    if count:
        rows = reader.events(run_id, after_seq=after_seq, before_seq=head.seq + 1, limit=count)
        require_dense(run_id, after_seq, rows, count)
        if sum(len(row.body) + _FRAME_BYTES for row in rows) > bytes_max:
            return nothing(run_id, after_seq, head)
        events = [stored.event_of(row) for row in rows]
    return event_pb2.LogDelta(
        events=events,
        next_cursor=cursors.run_cursor(run_id, head.seq),
        head_seq=head.seq,
        state_updated_at=head.at,
    )


def nothing(run_id: str, after_seq: int, head: Head) -> event_pb2.LogDelta:
    """Return the delta that did not fit: no events, and where to list them from."""
    return event_pb2.LogDelta(
        next_cursor=cursors.run_cursor(run_id, after_seq),
        truncated=True,
        head_seq=head.seq,
        state_updated_at=head.at,
    )


def require_dense(run_id: str, after_seq: int, rows: list[EventRow], count: int) -> None:
    """Raise Refusal CORRUPT_LOG unless ``rows`` are the ``count`` events right after ``after_seq``."""
    stored.require_chain(run_id, after_seq, rows)
    if len(rows) != count:
        missing = after_seq + len(rows) + 1
        raise stored.corrupt(run_id, f"event {missing} is missing at the end", seq=missing)
