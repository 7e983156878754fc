"""Whole runtimes among faults keep the promises, in schedules that seeds choose and that can be played again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from store_service.rules import waking
from store_service.rules.guard import Verdict
from tests.simulation import held
from tests.simulation.held import HeldBroken
from tests.simulation.shapes import SHAPES
from tests.simulation.virtual import NothingWillHappen, VirtualLoop, run


@pytest.mark.parametrize("shape", SHAPES)
def test_whole_runtimes_among_faults_keep_the_promises(shape: str) -> None:
    assert any([held.play(shape, seed) for seed in range(8)])


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_whole_runtimes_among_faults_keep_the_promises_for_many_seeds(shape: str) -> None:
    assert any([held.play(shape, seed) for seed in range(100, 160)])


def test_a_seed_plays_the_same_schedule_again() -> None:
    first = [held.play("race", seed) for seed in range(6)]
    assert [held.play("race", seed) for seed in range(6)] == first
    assert len({tuple(faults) for faults in first}) > 3


def test_without_the_guard_a_seed_breaks_a_promise_and_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store_service.rules.guard.compare", lambda snapshot, run: Verdict.FRESH)
    with pytest.raises(HeldBroken, match="--held-seed 17"):
        for seed in (16, 17):
            held.play("noted", seed)


def test_without_its_wake_ups_a_run_is_told_to_be_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    wake = waking.wake

    def wake_at_the_beginning_only(tx: Any, run: Any, events: Any, *rest: Any, **how: Any) -> str | None:
        return wake(tx, run, events, *rest, **how) if events[0].HasField("run_created") else None

    monkeypatch.setattr(waking, "wake", wake_at_the_beginning_only)
    with pytest.raises(HeldBroken, match="has not ended"):
        held.play("noted", 0)


def test_virtual_time_jumps_to_what_is_due_and_never_waits_for_nothing() -> None:
    loop = VirtualLoop()

    async def sleep_a_year() -> float:
        await asyncio.sleep(365 * 86_400)
        return loop.time()

    assert run(sleep_a_year(), loop) >= 365 * 86_400
    with pytest.raises(NothingWillHappen):
        run(_never(), VirtualLoop())


async def _never() -> None:
    await asyncio.Event().wait()
