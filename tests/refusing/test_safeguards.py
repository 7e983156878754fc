"""A guard must be seen to refuse: with each safeguard switched off, the tests that are there for it fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.refusing.safeguards import SAFEGUARDS

#: The forks one after the other take ten seconds, on a machine that has nothing else to do.
pytestmark = pytest.mark.timeout(300)

Outcomes = dict[str, dict[str, dict[str, str]]]


@pytest.fixture(scope="module")
def outcomes() -> Outcomes:
    """What became of the tests of every safeguard, with it and without it, in processes of their own."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.refusing.switched_off"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=280,
        check=True,
    )
    found: Outcomes = json.loads(process.stdout)
    return found


@pytest.mark.parametrize("name", SAFEGUARDS)
def test_with_a_safeguard_switched_off_its_tests_fail(outcomes: Outcomes, name: str) -> None:
    tests = SAFEGUARDS[name].tests
    assert outcomes[name]["with"] == dict.fromkeys(tests, "passed")
    assert outcomes[name]["without"] == dict.fromkeys(tests, "failed")
