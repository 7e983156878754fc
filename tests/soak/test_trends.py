"""The judges of a soak see leaks and drifts, and take neither noise nor faults for one."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.soak.faults import SETTLE_SECONDS, Happened
from tests.soak.load import Ended
from tests.soak.outcome import Soak
from tests.soak.sampling import MEBIBYTE, Life, Sample
from tests.soak.trends import (
    FDS_GROWTH_MAX,
    P99_DRIFT_MAX,
    RSS_GROWTH_MAX,
    drift,
    fds_line,
    grows,
    line_through,
    rss_line,
    undisturbed,
)

HOUR = 3600


def life(rss: Callable[[float], float], fds: Callable[[float], float] = lambda _: 30) -> Life:
    """An hour of a process: bytes and descriptors as functions of the share of the hour that has passed."""
    rng = random.Random(7)
    samples = [
        Sample(at, int(rss(at / HOUR) + rng.gauss(0, MEBIBYTE / 2)), int(fds(at / HOUR) + rng.randint(0, 3)), 10, 0.0)
        for at in range(0, HOUR, 5)
    ]
    return Life("store 0", 1, samples)


def run(began: float, seconds: float) -> Ended:
    return Ended("w", began, began + seconds, seconds)


def test_a_line_has_the_slope_of_its_points_by_the_hour() -> None:
    line = line_through([(at, 100 + at / 3600 * 5) for at in range(0, 3600, 100)])
    assert line.per_hour == pytest.approx(5)
    assert line.error == pytest.approx(0, abs=1e-6)


def test_a_process_that_grows_by_a_twentieth_an_hour_leaks() -> None:
    line = rss_line(life(lambda share: (80 + 4 * share) * MEBIBYTE))
    assert grows(line, RSS_GROWTH_MAX * line.mean)


def test_a_process_that_loses_a_descriptor_every_ten_minutes_leaks() -> None:
    assert grows(fds_line(life(lambda _: 80 * MEBIBYTE, lambda share: 30 + 6 * share)), FDS_GROWTH_MAX)


def test_noise_and_a_warm_up_are_no_leak() -> None:
    warming = life(lambda share: (60 + min(share, 0.15) / 0.15 * 20) * MEBIBYTE)
    line = rss_line(warming)
    assert not grows(line, RSS_GROWTH_MAX * line.mean)
    assert not grows(fds_line(warming), FDS_GROWTH_MAX)


def test_a_drift_of_runs_without_faults_is_seen() -> None:
    slower = [run(at, 0.1 + 0.02 * at / HOUR) for at in range(HOUR)]
    assert (drift(slower, 0, HOUR) or 0) > P99_DRIFT_MAX
    assert drift([run(at, 0.1) for at in range(HOUR)], 0, HOUR) == pytest.approx(0)
    assert drift([run(10, 0.1)], 0, HOUR) is None


def test_a_run_that_met_a_fault_or_its_end_counts_for_no_latency() -> None:
    fault = Happened("store killed", 100, 110)
    before, beside, after, later = (
        run(98, 1),
        run(99, 2),
        run(110 + SETTLE_SECONDS - 1, 1),
        run(120 + SETTLE_SECONDS, 1),
    )
    assert undisturbed([before, beside, after, later], [fault]) == [before, later]


def test_a_soak_that_lost_a_run_or_leaks_says_so() -> None:
    leaking = life(lambda share: (80 + 8 * share) * MEBIBYTE)
    soak = Soak(HOUR, 10, None, is_shared=False, started=2, ended=[run(1, 1)], late=["soak_2: a hook of it is open"])
    soak.longest = [leaking]
    verdicts = {it.promise: it.is_kept for it in soak.verdicts()}
    assert verdicts["every run ends, with the right result"] is False
    assert verdicts["store 0: memory stays"] is False
    assert verdicts["store 0: descriptors stay"] is True
    assert verdicts["p99 of runs that met no fault stays"] is None
