"""The clock of a runtime is that of its store (hazard 3): it goes on by itself, and never back."""

from __future__ import annotations

import time

import pytest

from runtime_service.worker.clock import StoreClock

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


def test_a_reading_that_is_ahead_is_taken_over() -> None:
    clock = StoreClock()
    ahead_ms = int(time.time() * 1000) + 60_000
    clock.set(ahead_ms)
    assert ahead_ms <= clock() < ahead_ms + SLACK_MS
