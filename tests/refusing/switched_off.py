"""Runs the tests of each safeguard with and without it; prints a JSON object of outcomes.

``python -m tests.refusing.switched_off [NAME…]``. One process imports the tests; each safeguard is switched off in a
fork of it, so that all of them cost a few seconds. "with" must be passed, "without" failed: an error before the test
began is neither.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from tests.refusing.safeguard import Safeguard
from tests.refusing.safeguards import SAFEGUARDS

#: On one engine: the rules are the same on each, and a fork would start a database server of its own.
_HOW: Final = ("-q", "-p", "no:cacheprovider", "-k", "not postgres")

#: Safeguard → "with" or "without" → test → passed, failed, or what else became of it.
Outcomes = dict[str, dict[str, dict[str, str]]]


class _Recorder:
    """A plugin of pytest: what became of each test, parametrized ones together: failed when one is."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid.partition("[")[0]
        if report.when == "call":
            if self.outcomes.get(test) != "failed":
                self.outcomes[test] = report.outcome
        elif report.failed:
            self.outcomes.setdefault(test, f"error in {report.when}")


def outcomes(names: list[str]) -> Outcomes:
    """Run the tests of these safeguards, with each of them and without it."""
    all_tests = sorted({test for name in names for test in SAFEGUARDS[name].tests})
    with _silenced():
        pytest.main([*_HOW, "--collect-only", *all_tests])
    sound = _in_a_fork(None, all_tests)
    found: Outcomes = {}
    for name in names:
        safeguard = SAFEGUARDS[name]
        found[name] = {
            "with": {test: sound.get(test, "not run") for test in safeguard.tests},
            "without": _in_a_fork(safeguard, list(safeguard.tests)),
        }
    return found


def _in_a_fork(safeguard: Safeguard | None, tests: list[str]) -> dict[str, str]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _run_and_die(safeguard, tests, writing)
    os.close(writing)
    with os.fdopen(reading) as told:
        said: Any = json.loads(told.read() or '{"": "the process died"}')
    os.waitpid(pid, 0)
    return said


@contextmanager
def _silenced() -> Iterator[None]:
    """Send what is printed nowhere, until the block ends."""
    kept = os.dup(1)
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 1)
    try:
        yield
    finally:
        # What is still in the buffer goes where the rest went.
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        os.close(silence)


def _run_and_die(safeguard: Safeguard | None, tests: list[str], writing: int) -> None:
    """The child: never returns."""
    try:
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silence, stream)
        if safeguard is not None:
            safeguard.switch_off()
        recorder = _Recorder()
        pytest.main([*_HOW, *tests], plugins=[recorder])
        os.write(writing, json.dumps(recorder.outcomes).encode())
    finally:
        os._exit(0)


if __name__ == "__main__":
    print(json.dumps(outcomes(sys.argv[1:] or list(SAFEGUARDS)), indent=1))
