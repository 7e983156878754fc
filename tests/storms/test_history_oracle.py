"""The same log gives the same decisions, always: recorded histories, every prefix, any hash seed, any batch size.

The histories in ``tests/histories`` are logs of real runs, killed and frozen ones among them. ``tests/replay`` asks the
same of every asyncio primitive on rehearsed runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.definitions import registry
from tests.storms import workflows
from tests.storms.decide_histories import cold, read, warm

HISTORIES = sorted((Path(__file__).parents[1] / "histories").glob("*.jsonl"))
HASH_SEEDS = ("0", "4711")
BATCHES = (1, 2, 7, 50)


def _decided(hash_seed: str) -> list[str]:
    """Return a line for every prefix of every history, from a process with this hash seed."""
    command = [sys.executable, "-m", "tests.storms.decide_histories", *map(str, HISTORIES)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.splitlines()


def test_every_prefix_of_every_history_decides_the_same_in_any_process() -> None:
    decided = [_decided(seed) for seed in HASH_SEEDS]
    assert len(decided[0]) == sum(len(read(path)) for path in HISTORIES)
    assert decided[0] == decided[1]


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_a_history_replays_the_same_in_batches_of_any_size(path: Path) -> None:
    assert registry.workflow("storm.everything").function.__module__ == workflows.__name__
    log = read(path)
    states = [state for state, _ in cold(log)]
    for batch in BATCHES:
        for length, state in warm(log, batch):
            assert state == states[length - 1], f"batches of {batch}, prefix {length}"


def test_there_are_histories_of_every_kind() -> None:
    recorded = {path.stem for path in HISTORIES}
    assert recorded >= {"everything-undisturbed", "everything-runtimes-killed", "ledger-quiet", "ledger-frozen"}
