"""The judge of the demo must be seen to refuse: each promise that is broken is a fault of its own."""

from __future__ import annotations

import pytest

from examples.audit.verdict import faults, tally
from holdfast.v1 import event_pb2

STORY = [
    ("run_created", "", 1000),
    ("run_started", "", 1001),
    ("step_created", "step_a#1", 1002),
    ("step_started", "step_a#1", 1003),
    ("step_started", "step_a#1", 1004),
    ("step_retrying", "step_a#1", 1005),
    ("step_started", "step_a#1", 1006),
    ("step_completed", "step_a#1", 1007),
    ("hook_created", "hook_#1", 1008),
    ("wait_created", "wait_#1", 1009),
    ("hook_received", "hook_#1", 1010),
    ("run_completed", "", 3000),
]


def log(story: list[tuple[str, str, int]]) -> list[event_pb2.Event]:
    events = []
    for seq, (kind, entity, time_ms) in enumerate(story, start=1):
        event = event_pb2.Event(seq=seq, event_id=f"evt_{time_ms:010}", correlation_id=entity)
        event.create_time.FromMilliseconds(time_ms)
        getattr(event, kind).SetInParent()
        events.append(event)
    return events


def without(kind: str) -> list[event_pb2.Event]:
    return log([line for line in STORY if line[0] != kind])


def judged(events: list[event_pb2.Event], output: object = 1, refusals: int = 1) -> list[str]:
    return faults(events, output=output, expected=1, refusals={"OUT_OF_BAND_EVENT": refusals})


def test_the_right_story_has_no_faults() -> None:
    assert judged(log(STORY)) == []


def test_attempts_are_counted_by_how_they_ended() -> None:
    counts = tally(log(STORY))
    assert (counts.steps, counts.attempts, counts.killed_attempts, counts.retries) == (1, 3, 1, 1)
    assert counts.seconds == 2.0


def test_a_hole_in_the_log_is_a_fault() -> None:
    events = log(STORY)
    del events[4]
    assert "the log is not dense" in judged(events)


def test_another_report_is_a_fault() -> None:
    assert any("report differs" in fault for fault in judged(log(STORY), output=2))


def test_no_refusal_is_a_fault() -> None:
    assert any("refused no decision" in fault for fault in judged(log(STORY), refusals=0))


def test_a_deadline_after_the_approval_is_a_fault() -> None:
    story = [*STORY[:-1], ("wait_completed", "wait_#1", 1011), STORY[-1]]
    assert any("approval deadline" in fault for fault in judged(log(story)))


def test_a_result_told_twice_is_a_fault() -> None:
    story = [*STORY[:8], ("step_completed", "step_a#1", 1007), *STORY[8:]]
    assert any("exactly one terminal event" in fault for fault in judged(log(story)))


@pytest.mark.parametrize(
    ("kind", "fault"),
    [("step_retrying", "one retry"), ("step_completed", "terminal event"), ("hook_received", "there is no approval")],
)
def test_a_missing_piece_of_the_story_is_a_fault(kind: str, fault: str) -> None:
    assert any(fault in found for found in judged(without(kind)))
