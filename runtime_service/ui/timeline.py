"""A run's events as rows of bars over time: one row for each step, hook and sleep.

Owns what a bar means and where it stands. Pure: events in log order and the time go in, fractions of the whole width
come out. Times are those of the store (``create_time``), so durations are what the log says. What began on an earlier
page begins at the left edge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from holdfast.cli.rendering import brief, event_kind, local_time
from holdfast.v1 import event_pb2
from runtime_service.ui import limits
from runtime_service.ui.texts import span

#: Parts of the width at which the time is written.
_TICKS: Final = (0.0, 0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of time. ``kind`` is its look (a class of ui.css); ``left`` and ``width`` are of 100."""

    kind: str
    left: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One row: what it is about, its state as a word, how long it took, its bars, and ticks where values came."""

    entity_id: str
    name: str
    kind: str
    state: str
    took: str
    bars: tuple[Bar, ...]
    ticks: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Timeline:
    """The rows, the times written above them as (place of 100, text), and how many rows were left out."""

    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[float, str], ...]
    left_out: int


@dataclass(slots=True)
class _Row:
    """A lane while it is gathered: stretches are (kind, from, to, title), open while ``to`` is None."""

    entity_id: str
    name: str
    kind: str
    began: int
    state: str = "open"
    ended: int | None = None
    stretches: list[tuple[str, int, int | None, str]] = field(default_factory=list)
    received: list[int] = field(default_factory=list)

    def begin(self, kind: str, at: int, title: str) -> None:
        self.close(at)
        self.stretches.append((kind, at, None, title))

    def close(self, at: int, kind: str = "") -> None:
        """End the open stretch, which is of another kind than it seemed when ``kind`` says so."""
        if self.stretches and self.stretches[-1][2] is None:
            open_kind, start, _, title = self.stretches[-1]
            self.stretches[-1] = (kind or open_kind, start, at, title)

    def end(self, at: int, state: str, kind: str = "") -> None:
        self.close(at, kind)
        self.state, self.ended = state, at


def timeline(events: Sequence[event_pb2.Event], now: int, *, is_open: bool) -> Timeline:
    """Arrange the events of a page. ``now`` is in epoch milliseconds and ends what is still going on."""
    if not events:
        return Timeline((), (), 0)
    first = _at(events[0])
    last = max(_at(events[-1]), now if is_open else first)
    rows: dict[str, _Row] = {}
    for event in events:
        if take := _EFFECTS.get(event_kind(event)):
            row = rows.get(event.correlation_id) or rows.setdefault(event.correlation_id, _row(event, first))
            take(row, event, getattr(event, event_kind(event)))
    width = max(1, last - first)
    shown = list(rows.values())[-limits.LANES_MAX :]
    lanes = tuple(_lane(row, first, last, width, is_open) for row in shown)
    ticks = tuple((100 * part, f"+{span(part * width)}" if part else "0") for part in _TICKS)
    return Timeline(lanes, ticks, len(rows) - len(shown))


def _row(event: event_pb2.Event, first: int) -> _Row:
    kind = event_kind(event)
    of = kind.partition("_")[0]
    is_whole = kind.endswith("_created") or kind == "hook_conflict"
    return _Row(event.correlation_id, event.correlation_id, of, _at(event) if is_whole else first)


def _lane(row: _Row, first: int, last: int, width: int, is_open: bool) -> Lane:
    row.close(last)
    bars = tuple(
        Bar(kind, 100 * (start - first) / width, 100 * ((last if end is None else end) - start) / width, title)
        for kind, start, end, title in row.stretches
    )
    state = row.state if row.state != "open" or is_open else "left"
    took = span((last if row.ended is None else row.ended) - row.began)
    return Lane(
        row.entity_id, row.name, row.kind, state, took, bars, tuple(100 * (at - first) / width for at in row.received)
    )


def _step_created(row: _Row, event: event_pb2.Event, it: event_pb2.StepCreated) -> None:
    row.name = it.step_name
    row.begin("queued", _at(event), "waits for its first attempt")


def _step_started(row: _Row, event: event_pb2.Event, it: event_pb2.StepStarted) -> None:
    row.state = "running"
    row.begin("running", _at(event), f"attempt {it.attempt}")


def _step_retrying(row: _Row, event: event_pb2.Event, it: event_pb2.StepRetrying) -> None:
    row.close(_at(event), "failed")
    row.state = "retrying"
    row.begin("backoff", _at(event), f"attempt {it.attempt} failed: {brief(it.failure.message)}; waits for the next")


def _step_completed(row: _Row, event: event_pb2.Event, it: event_pb2.StepCompleted) -> None:
    _from_the_edge(row, "done", f"attempt {it.attempt}")
    row.end(_at(event), "completed", "done")


def _step_failed(row: _Row, event: event_pb2.Event, it: event_pb2.StepFailed) -> None:
    _from_the_edge(row, "failed", f"attempt {it.attempt}: {brief(it.failure.message)}")
    row.end(_at(event), "failed", "failed")


def _hook_created(row: _Row, event: event_pb2.Event, it: event_pb2.HookCreated) -> None:
    row.name = it.token
    row.begin("hook", _at(event), "open")


def _hook_received(row: _Row, event: event_pb2.Event, it: event_pb2.HookReceived) -> None:
    _from_the_edge(row, "hook", "open")
    row.received.append(_at(event))


def _hook_disposed(row: _Row, event: event_pb2.Event, it: event_pb2.HookDisposed) -> None:
    _from_the_edge(row, "hook", "open")
    row.end(_at(event), "closed")


def _hook_conflict(row: _Row, event: event_pb2.Event, it: event_pb2.HookConflict) -> None:
    row.name = it.token
    row.begin("failed", _at(event), f"the token is held by {it.holder_run_id}")
    row.end(_at(event), "conflict")


def _wait_created(row: _Row, event: event_pb2.Event, it: event_pb2.WaitCreated) -> None:
    row.name = "sleep"
    row.begin("sleep", _at(event), f"asleep until {local_time(it.resume_time)}")


def _wait_completed(row: _Row, event: event_pb2.Event, it: event_pb2.WaitCompleted) -> None:
    _from_the_edge(row, "sleep", "asleep")
    row.end(_at(event), "fired")


def _from_the_edge(row: _Row, kind: str, title: str) -> None:
    """What began on an earlier page begins where this one does."""
    if not row.stretches:
        row.begin(kind, row.began, title)


def _at(event: event_pb2.Event) -> int:
    stamp: Timestamp = event.create_time
    return stamp.ToMilliseconds()


#: Event kind → what it does to its row. Events of the run itself have none; tests/ui/test_timeline.py.
_EFFECTS: Final[Mapping[str, Callable[[_Row, event_pb2.Event, Any], None]]] = MappingProxyType(
    {
        "step_created": _step_created,
        "step_started": _step_started,
        "step_retrying": _step_retrying,
        "step_completed": _step_completed,
        "step_failed": _step_failed,
        "hook_created": _hook_created,
        "hook_received": _hook_received,
        "hook_disposed": _hook_disposed,
        "hook_conflict": _hook_conflict,
        "wait_created": _wait_created,
        "wait_completed": _wait_completed,
    }
)
