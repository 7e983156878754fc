"""The tests of the API hold for a namespace whatever goes on in the one next door."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: With a store in this process, on files: those with processes of their own have no neighbour.
SUITES = (
    "tests/store_api/test_create_answers.py",
    "tests/store_api/test_every_error.py",
    "tests/store_api/test_watch.py",
    "tests/queue/test_queue_api.py",
    "tests/queue/test_queue_order.py",
    "tests/queue/test_leases.py",
    "tests/streams/test_stream_reading.py",
    "tests/streams/test_stream_writing.py",
)


@pytest.mark.slow
def test_the_api_keeps_its_promises_beside_a_namespace_in_which_each_call_is_made_too() -> None:
    words = ["-m", "pytest", "-p", "tests.support.neighbours", "-k", "not postgres and not kill", "-x", *SUITES]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout[-4_000:]
    counted = re.search(r"next door: (\d+) calls answered", done.stdout)
    assert counted and int(counted[1]) > 500
