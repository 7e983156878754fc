"""The time of a run: read from its log, never from a machine, and never going back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf import timestamp_pb2

from holdfast.v1 import event_pb2

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RunClock:
    """What time it is in the workflow: the ``occur_time``, else the ``create_time``, of the last event delivered.

    ``occur_time`` comes first because the runtime goes on from a result before the store has given that event its
    ``create_time``; live and replayed must read the same.
    """

    __slots__ = ("now_ms",)

    def __init__(self) -> None:
        self.now_ms = 0

    def advance(self, event: event_pb2.Event) -> None:
        self.now_ms = max(self.now_ms, event_time_ms(event))

    def now(self) -> datetime:
        return as_datetime(self.now_ms)


def event_time_ms(event: event_pb2.Event) -> int:
    """Return when an event happened, epoch milliseconds; 0 when it does not say."""
    stamp = event.occur_time if event.HasField("occur_time") else event.create_time
    return stamp_ms(stamp)


def stamp_ms(stamp: timestamp_pb2.Timestamp) -> int:
    return int(stamp.seconds * 1000 + stamp.nanos // 1_000_000)


def stamp_of(epoch_ms: int) -> timestamp_pb2.Timestamp:
    """Build a Timestamp from milliseconds; its own method takes ten times as long."""
    return timestamp_pb2.Timestamp(seconds=epoch_ms // 1000, nanos=epoch_ms % 1000 * 1_000_000)


def as_datetime(epoch_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=epoch_ms)
