"""The model of lease, guard and redelivery holds over its whole state space, and breaks with each safeguard out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from models import spin

IS_REQUIRED = os.environ.get("HOLDFAST_SPIN") == "required"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (IS_REQUIRED or spin.is_available()), reason="needs spin and gcc: apt-get install spin gcc"),
]


@pytest.fixture(scope="module")
def checks() -> Iterator[dict[str, Future[spin.Found]]]:
    """Every check, begun at once and run two at a time: each is a process that takes a core for seconds."""
    with ThreadPoolExecutor(2) as pool:
        begun = {
            "safety": pool.submit(spin.check_safety, faults=2),
            "progress": pool.submit(spin.check_progress, faults=1),
        }
        for switch in spin.SAFEGUARDS:
            begun[switch] = pool.submit(spin.check_safety, faults=1, switches=(switch,), optimise="-O0")
        yield begun


def test_no_history_with_two_faults_breaks_a_promise_or_gets_stuck(checks: dict[str, Future[spin.Found]]) -> None:
    found = checks["safety"].result()
    assert found.error == ""
    assert found.is_complete
    assert found.states > 1_000_000


def test_once_faults_have_stopped_the_run_ends(checks: dict[str, Future[spin.Found]]) -> None:
    found = checks["progress"].result()
    assert found.error == ""
    assert found.is_complete


@pytest.mark.parametrize("switch", spin.SAFEGUARDS)
def test_without_a_safeguard_the_history_that_it_prevents_is_found(
    checks: dict[str, Future[spin.Found]], switch: str
) -> None:
    assert spin.SAFEGUARDS[switch] in checks[switch].result().error
