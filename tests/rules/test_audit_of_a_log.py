"""The audit of a log by itself sees each law that a log can break, and names the place."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from holdfast.v1 import event_pb2
from store_service.rules import clock
from store_service.rules.audit import audit_log
from store_service.rules.kinds import type_of
from store_service.rules.rebuild import derive
from tests.rules import book as write
from tests.rules.book import NOW

Event = event_pb2.Event


def log_of(events: Sequence[Event]) -> list[Event]:
    """Give events their places, a millisecond apart."""
    for seq, event in enumerate(events, start=1):
        event.seq, event.type = seq, type_of(event)
        event.event_id = clock.mint_event_id(NOW + seq)
        event.create_time.FromMilliseconds(NOW + seq)
    return list(events)


def sound_log() -> list[Event]:
    return log_of(
        [
            write.run_created(),
            write.run_started(),
            write.step_created(),
            write.step_started(attempt=1),
            write.step_retrying(attempt=1),
            write.step_started(attempt=2),
            write.step_completed(attempt=2),
            write.hook_created(),
            write.hook_received(),
            write.hook_received(),
            write.run_completed(),
        ]
    )


def test_a_sound_log_has_no_findings() -> None:
    assert list(audit_log(sound_log())) == []


def test_nothing_happens_to_an_entity_after_its_end() -> None:
    log = log_of([*sound_log()[:7], write.step_completed(attempt=2)])
    assert list(audit_log(log)) == ["8: step_a#1 had ended before"]


def test_nothing_follows_the_end_of_a_run() -> None:
    log = log_of([*sound_log(), write.cancel_requested()])
    assert list(audit_log(log)) == ["the log goes on after the end of the run"]


@pytest.mark.parametrize("attempt", [1, 3])
def test_attempts_are_counted_one_by_one(attempt: int) -> None:
    log = sound_log()
    log[5].step_started.attempt = attempt
    (finding,) = audit_log(log[:6])
    assert finding.startswith("6: ")


def test_the_places_of_a_log_have_no_hole() -> None:
    log = sound_log()
    log[3].seq = 5
    assert "not dense: seq 5 stands at place 4" in list(audit_log(log))


def test_the_time_of_an_event_is_later_than_the_one_before() -> None:
    log = sound_log()
    log[3].event_id = clock.mint_event_id(NOW + 3)
    assert list(audit_log(log)) == ["the time of 4 does not rise"]


def test_the_wall_time_of_an_event_may_stand_still_and_never_goes_back() -> None:
    log = sound_log()
    log[3].create_time.FromMilliseconds(NOW + 3)
    assert list(audit_log(log)) == []
    log[3].create_time.FromMilliseconds(NOW + 2)
    assert list(audit_log(log)) == ["the wall clock of 4 goes back"]


def test_a_log_of_one_event_gives_its_run() -> None:
    first = sound_log()[:1]
    first[0].run_id = "run_1"
    assert derive(first).run.run_id == "run_1"
