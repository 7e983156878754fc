"""A run's log as this process has loaded it: a dense prefix, and the snapshot that names it.

It only ever grows by exactly the next seq. Appending an own event past a gap would hide the events in
the gap for good, and no watermark could see it (hazard 4), so a gap is an error here and never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from holdfast.context import RunInfo
from holdfast.sealing import Sealing
from holdfast.v1 import event_pb2

#: Kinds after which a run takes no more events.
TERMINAL_TYPES = frozenset(
    (event_pb2.EVENT_TYPE_RUN_COMPLETED, event_pb2.EVENT_TYPE_RUN_FAILED, event_pb2.EVENT_TYPE_RUN_CANCELLED)
)

#: The time of an event id: the ten characters of Crockford's base 32 after "evt_".
_ID_TIME = slice(4, 14)
_TO_BASE_32 = str.maketrans("0123456789ABCDEFGHJKMNPQRSTVWXYZ", "0123456789abcdefghijklmnopqrstuv")

_UNSEALED: Final = Sealing()


class GapInLog(Exception):
    """The next event of a loaded log is not the next seq: reload from ``seq``."""

    def __init__(self, run_id: str, seq: int, found_seq: int) -> None:
        super().__init__(f"the loaded log of {run_id} ends at {seq}, the next event has seq {found_seq}")
        self.seq = seq


class History:
    """The loaded prefix of one run's log. ``seq`` is its length, ``snapshot`` the time of its newest event (ms)."""

    def __init__(self, run_id: str, events: Iterable[event_pb2.Event] = (), sealing: Sealing = _UNSEALED) -> None:
        self.run_id = run_id
        self.events: list[event_pb2.Event] = []
        self.snapshot = 0
        self.attributes: dict[str, str] = {}
        self._started_at: datetime | None = None
        self._sealing = sealing
        self.extend(events)

    def clear(self) -> None:
        """Forget everything: the log it was loaded from no longer exists."""
        self.events.clear()
        self.attributes.clear()
        self._started_at = None
        self.snapshot = 0

    @property
    def seq(self) -> int:
        return len(self.events)

    @property
    def workflow_name(self) -> str:
        return self.events[0].run_created.workflow_name

    @property
    def version(self) -> str:
        return self.events[0].run_created.version

    @property
    def wake_queue(self) -> str:
        return self.events[0].run_created.wake_queue

    @property
    def is_started(self) -> bool:
        return self._started_at is not None

    @property
    def is_ended(self) -> bool:
        return bool(self.events) and self.events[-1].type in TERMINAL_TYPES

    def extend(self, events: Iterable[event_pb2.Event]) -> Sequence[event_pb2.Event]:
        """Take events that follow, values decoded; those already held are passed over. Returns the new ones.

        Raises GapInLog, and SerializationError for a value that cannot be decoded here.
        """
        taken: list[event_pb2.Event] = []
        seq = self.seq
        for event in events:
            if event.seq <= seq:
                continue
            if event.seq != seq + 1:
                raise GapInLog(self.run_id, seq, event.seq)
            event = self._sealing.open(event)
            seq += 1
            self.events.append(event)
            if (follow := self._FOLLOWED.get(event.type)) is not None:
                follow(self, event)
            taken.append(event)
        if taken:
            self.snapshot = event_ms(taken[-1])
        return taken

    @property
    def decided_seq(self) -> int:
        """Seq of the newest event that a replay wrote; 0 when none did."""
        return next((e.seq for e in reversed(self.events) if e.origin == event_pb2.EVENT_ORIGIN_REPLAY), 0)

    def run_info(self) -> RunInfo:
        """Describe the run for a step, as of the newest event loaded."""
        created = self.events[0].run_created
        return RunInfo(
            run_id=self.run_id,
            workflow_name=created.workflow_name,
            started_at=self._started_at or _happened_at(self.events[0]),
            attributes=dict(self.attributes),
            parent_run_id=created.parent_run_id or None,
            root_run_id=created.root_run_id or None,
        )

    def _follow_created(self, event: event_pb2.Event) -> None:
        self.attributes.update(event.run_created.attributes)

    def _follow_started(self, event: event_pb2.Event) -> None:
        self._started_at = _happened_at(event)

    def _follow_attributes(self, event: event_pb2.Event) -> None:
        self.attributes.update(event.attributes_set.set)
        for key in event.attributes_set.removed:
            self.attributes.pop(key, None)

    #: Event kind → what else the history learns from it.
    _FOLLOWED: Final[Mapping[int, Callable[[History, event_pb2.Event], None]]] = MappingProxyType(
        {
            event_pb2.EVENT_TYPE_RUN_CREATED: _follow_created,
            event_pb2.EVENT_TYPE_RUN_STARTED: _follow_started,
            event_pb2.EVENT_TYPE_ATTRIBUTES_SET: _follow_attributes,
        }
    )


def event_ms(event: event_pb2.Event) -> int:
    """Return the time part of an event id: epoch milliseconds of the log's own clock."""
    # By hand: once for every write, and the ULID package takes ten times as long.
    return int(event.event_id[_ID_TIME].translate(_TO_BASE_32), 32)


def _happened_at(event: event_pb2.Event) -> datetime:
    stamp = event.occur_time if event.HasField("occur_time") else event.create_time
    return stamp.ToDatetime(tzinfo=UTC)
