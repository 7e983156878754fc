"""The clock of a runtime is that of its store (hazard 3): it goes on by itself, and never back."""

from __future__ import annotations

import time

import pytest

from runtime_service.worker.clock import StoreClock
from store_service.api.clock import SteadyClock

YEAR_SECONDS = 366 * 24 * 3600.0

#: What may pass between two lines of a test on a machine under load.
SLACK_MS = 5_000


def test_a_wall_clock_that_leaps_does_not_move_the_clock_of_a_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = StoreClock()
    clock.set(int(time.time() * 1000))
    before = clock()
    leapt = time.time() + YEAR_SECONDS
    monkeypatch.setattr(time, "time", lambda: leapt)
    assert before <= clock() < before + SLACK_MS


def test_a_reading_that_is_behind_makes_the_clock_of_a_runtime_stand_still_and_never_go_back() -> None:
    clock = StoreClock()
    ahead_ms = int(time.time() * 1000) + 60_000
    clock.set(ahead_ms)
    reached = clock()
    clock.set(ahead_ms - 30_000)
    assert clock() == reached


def test_between_readings_the_clock_of_a_runtime_is_never_ahead_of_a_store_that_is_held_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A store whose wall was set back an hour is slower than time, and so is every runtime."""
    hour_ns, now_ns = 3_600 * 1_000_000_000, 0
    store = SteadyClock(wall_ns=lambda: 10 * hour_ns + now_ns - hour_ns * bool(now_ns), steady_ns=lambda: now_ns)
    monkeypatch.setattr(time, "monotonic_ns", lambda: now_ns)
    clock = StoreClock()
    clock.set(store())
    for _ in range(60):
        now_ns += 1_000_000_000
        assert store() - 61 <= clock() <= store()


def test_a_reading_that_is_ahead_is_taken_over() -> None:
    clock = StoreClock()
    ahead_ms = int(time.time() * 1000) + 60_000
    clock.set(ahead_ms)
    assert ahead_ms <= clock() < ahead_ms + SLACK_MS
