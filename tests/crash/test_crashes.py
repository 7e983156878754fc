"""A part of `make crash`: a few places of each kind, so that the harness and its judges are tried with every commit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.faults import HAS_STRACE, LosesACommit
from tests.crash.mixed import crash_both
from tests.crash.outcome import Outcome, Tally
from tests.crash.schedules import SCHEDULES, Schedule, enumerate_places

LANES = 4

BY_NAME = {it.name: it for it in SCHEDULES}

needs_strace = pytest.mark.skipif(not HAS_STRACE, reason="strace is not installed: apt install strace")


def check(tally: Tally, crashes_min: int) -> None:
    print(tally.line())
    assert tally.failures == []
    assert tally.crashes >= crashes_min


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize("name", ["store killed at each write", "store killed at each sync"])
async def test_a_store_killed_inside_a_system_call_loses_nothing_acknowledged(tmp_path: Path, name: str) -> None:
    stride = 9 if "write" in name else 2
    check(await enumerate_places(BY_NAME[name], tmp_path, LANES, stride), crashes_min=5)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["begins", "has ended"])
async def test_a_runtime_killed_inside_a_step_runs_it_again_and_records_it_once(tmp_path: Path, when: str) -> None:
    schedule = next(it for it in SCHEDULES if it.name.startswith("runtime killed as each step") and when in it.name)
    check(await enumerate_places(schedule, tmp_path, LANES, stride=4), crashes_min=3)


@pytest.mark.slow
async def test_runs_live_through_one_to_three_crashes_of_store_and_runtime(tmp_path: Path) -> None:
    check(await crash_both(tmp_path, LANES, runs=8, seed=7), crashes_min=8)


async def test_the_judges_see_a_commit_that_was_answered_and_not_made(tmp_path: Path) -> None:
    schedule = Schedule("a commit is lost", "store", lambda _, place: LosesACommit(place + 2), alone=True)
    tally = await enumerate_places(schedule, tmp_path, lanes=1)
    assert tally.failures


def test_a_report_tells_what_is_stuck_and_what_is_wrong() -> None:
    outcomes = [
        Outcome("here", recovery_seconds=0.1),
        Outcome("there", is_stuck=True),
        Outcome("elsewhere", findings=("two results",)),
    ]
    tally = Tally("s", crashes=3, outcomes=outcomes)
    assert tally.failures == ["there: stuck", "elsewhere: two results"]
    for part in ("3 crashes", "1 stuck", "2 WRONG", "p50  0.100 s"):
        assert part in tally.line()


def test_every_schedule_has_a_name_of_its_own() -> None:
    assert len(BY_NAME) == len(SCHEDULES)
