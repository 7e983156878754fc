"""The measures of the replica storm: takeovers as a log tells them, and which times were disturbed."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

from holdfast.v1 import event_pb2
from tests.replicas.cluster import Cluster
from tests.replicas.measures import Times, takeovers
from tests.replicas.replica import Disturbance, Replica
from tests.storms.store_calls import Event

DEAD, HEIR = 41, 42
NOBODY = cast(Any, None)


def started(pid: int, at: float) -> Event:
    """A start of a step by a process, at a moment of the monotonic clock."""
    event = Event(writer=f"host:{pid}:x", step_started=event_pb2.StepStarted(attempt=1))
    event.create_time.FromMilliseconds(round((at + time.time() - time.monotonic()) * 1000))
    return event


def after_a_death(log: list[tuple[int, float]], *others: float) -> Times:
    """The takeovers after a death at 100 s, when these starts are in the log and others were frozen at those times."""
    dead = Replica("runtime", "runtime 0", NOBODY, NOBODY)
    dead.disturbances = [Disturbance("killed", DEAD, 100.0, 100.5)]
    other = Replica("store", "store 0", NOBODY, NOBODY)
    other.disturbances = [Disturbance("frozen", 7, at, at + 0.1) for at in others]
    cluster = Cluster([other], [dead], [], NOBODY)
    return takeovers(cluster, {"run_1": [started(*it) for it in log]}, lease_seconds=0.1)


def test_a_takeover_is_the_first_start_by_another_process() -> None:
    times = after_a_death([(DEAD, 99.9), (DEAD, 100.01), (HEIR, 101.2), (HEIR, 101.4)])
    assert times.all == pytest.approx([1.2], abs=0.01)
    assert times.alone == times.all


@pytest.mark.parametrize(
    ("why", "log"),
    [
        ("another process had it", [(DEAD, 99.5), (HEIR, 99.9), (HEIR, 101.2)]),
        ("it was at rest", [(DEAD, 98.0), (HEIR, 101.2)]),
        ("it had ended", [(DEAD, 99.9)]),
    ],
)
def test_a_run_that_the_dead_process_did_not_hold_is_not_measured(why: str, log: list[tuple[int, float]]) -> None:
    assert after_a_death(log).all == [], why


@pytest.mark.parametrize(("other", "is_alone"), [(100.3, False), (99.95, False), (99.0, True), (102.0, True)])
def test_a_takeover_is_alone_when_nothing_else_happened_until_it(other: float, is_alone: bool) -> None:
    times = after_a_death([(DEAD, 99.9), (HEIR, 101.2)], other)
    assert len(times.alone) == is_alone


def test_a_report_tells_shares_of_all_times_and_of_those_alone() -> None:
    times = Times(limit=0.985)
    for number in range(100):
        times.add(number / 100, "a run", [] if number < 10 else ["another death"])
    every, alone, slow = times.lines("takeover")
    assert "   100 " in every and "p50 0.50 s" in every and "p99 0.99 s" in every and "1 longer than" in every
    assert slow.endswith("0.99 s: a run, another death")
    assert "    10 " in alone and "max 0.09 s" in alone
