"""Judges a demo run by its log alone: what must hold after a kill, a retry and a refused decision.

Pure: events in, faults out. An empty list of faults is the demo's exit code 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from holdfast.cli.rendering import event_kind
from holdfast.v1 import event_pb2

_TERMINAL = frozenset({"step_completed", "step_failed"})


@dataclass(frozen=True, slots=True)
class Tally:
    """Numbers of one log."""

    steps: int
    attempts: int
    killed_attempts: int
    retries: int
    events: int
    seconds: float


def tally(events: Sequence[event_pb2.Event]) -> Tally:
    """Count what the log tells. An attempt that neither ended nor was retried before the next began was killed."""
    kinds = Counter(event_kind(event) for event in events)
    span = events[-1].create_time.ToMilliseconds() - events[0].create_time.ToMilliseconds()
    finished = kinds["step_completed"] + kinds["step_failed"] + kinds["step_retrying"]
    return Tally(
        steps=kinds["step_created"],
        attempts=kinds["step_started"],
        killed_attempts=kinds["step_started"] - finished,
        retries=kinds["step_retrying"],
        events=len(events),
        seconds=span / 1000,
    )


def faults(
    events: Sequence[event_pb2.Event], *, output: object, expected: object, refusals: Mapping[str, int]
) -> list[str]:
    """Return what is wrong with the run; empty when everything promised happened."""
    return list(_faults(events, output, expected, refusals))


def _faults(
    events: Sequence[event_pb2.Event], output: object, expected: object, refusals: Mapping[str, int]
) -> Iterator[str]:
    counts = tally(events)
    if [event.seq for event in events] != list(range(1, len(events) + 1)):
        yield "the log is not dense"
    if sorted(event.event_id for event in events) != [event.event_id for event in events]:
        yield "event ids do not rise"
    if event_kind(events[-1]) != "run_completed":
        yield f"the run ended with {event_kind(events[-1])}"
    if output != expected:
        yield "the report differs from the one computed without holdfast"
    ends = Counter(event.correlation_id for event in events if event_kind(event) in _TERMINAL)
    created = {event.correlation_id for event in events if event_kind(event) == "step_created"}
    if set(ends) != created or any(count != 1 for count in ends.values()):
        yield "not every step has exactly one terminal event"
    if counts.killed_attempts < 1:
        yield "no attempt was cut off by the kill"
    if counts.retries != 1:
        yield f"one retry was expected, the log has {counts.retries}"
    if refusals.get("OUT_OF_BAND_EVENT", 0) < 1:
        yield f"the guard refused no decision; refusals: {dict(refusals)}"
    if missed := _deadlines_after_approval(events):
        yield f"the approval deadline was recorded although the approval came first: {missed}"


def _deadlines_after_approval(events: Sequence[event_pb2.Event]) -> list[str]:
    kinds = [event_kind(event) for event in events]
    if "hook_received" not in kinds:
        return ["there is no approval"]
    later = events[kinds.index("hook_received") :]
    return [event.correlation_id for event in later if event_kind(event) == "wait_completed"]
