"""Which deadline of an attempt passes, and when: arithmetic on a clock that the test moves."""

from __future__ import annotations

from dataclasses import dataclass

from runtime_service.steps.deadlines import Deadlines


@dataclass
class Bounds:
    """The two fields of a definition that deadlines read."""

    timeout_ms: int | None = None
    heartbeat_timeout_ms: int | None = None


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def deadlines(clock: Clock, *, total_left_ms: int | None = None, **bounds: int) -> Deadlines:
    return Deadlines(Bounds(**bounds), total_left_ms=total_left_ms, monotonic_ms=clock)  # type: ignore[arg-type]


def test_without_bounds_nothing_ever_passes() -> None:
    clock = Clock()
    unbounded = deadlines(clock)
    unbounded.begin()
    clock.now = 1e12
    assert unbounded.passed is None
    assert unbounded.left_ms is None


def test_an_attempt_is_bounded_from_the_moment_its_body_begins() -> None:
    clock = Clock()
    bounded = deadlines(clock, timeout_ms=100)
    clock.now = 1_000
    assert bounded.left_ms is None
    bounded.begin()
    assert bounded.left_ms == 100
    clock.now = 1_099
    assert bounded.passed is None
    clock.now = 1_100
    assert bounded.passed == "attempt"


def test_a_heartbeat_moves_only_the_bound_on_silence() -> None:
    clock = Clock()
    bounded = deadlines(clock, timeout_ms=300, heartbeat_timeout_ms=100)
    bounded.begin()
    for clock.now in (90, 180, 270):
        bounded.hear()
        assert bounded.passed is None
    clock.now = 300
    assert bounded.passed == "attempt"


def test_silence_ends_an_attempt_that_never_gave_a_heartbeat() -> None:
    clock = Clock()
    bounded = deadlines(clock, heartbeat_timeout_ms=100)
    bounded.begin()
    clock.now = 100
    assert bounded.passed == "heartbeat"


def test_the_total_bound_counts_while_the_body_waits_for_a_thread() -> None:
    clock = Clock()
    bounded = deadlines(clock, total_left_ms=50, timeout_ms=10)
    clock.now = 50
    assert bounded.passed == "total"
    assert bounded.left_ms == 0


def test_of_two_that_have_passed_the_earlier_is_told() -> None:
    clock = Clock()
    bounded = deadlines(clock, total_left_ms=80, timeout_ms=90)
    bounded.begin()
    clock.now = 500
    assert bounded.passed == "total"
