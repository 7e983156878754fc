"""Power loss on a disk that honours sync: nothing acknowledged is missing and nothing is half.

The engine's own statements and group commit run on a disk that keeps a journal (``recording.py``); then the power is
cut at every moment, and every state that may be left, or a choice of them, is opened again. `HOLDFAST_POWER_SAMPLES`
sets how many states a moment are tried. Failures name the seed.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.power.cuts import Report, cut_everywhere
from tests.power.disk import Sector
from tests.power.recording import Recorded, recording
from tests.power.verdict import DATABASE
from tests.power.workload import batches

SAMPLES = int(os.environ.get("HOLDFAST_POWER_SAMPLES", "8"))
SEED = int(os.environ.get("HOLDFAST_POWER_SEED", "1"))

#: So few pages that the WAL is moved into the database, and begun anew, every few commits.
CHECKPOINT_PAGES = 25


#: What is lost with less than FULL: everything, as nothing was ever synced; or what no checkpoint had reached.
LOSSES = {"OFF": "the schema is 0, after", "NORMAL": "were acknowledged"}


def record(folder: Path, runs: int, synchronous: str = "FULL") -> Recorded:
    with recording(folder / DATABASE, CHECKPOINT_PAGES, synchronous) as recorder:
        for units in batches(runs, random.Random(SEED)):
            recorder.commit(*units)
        recorder.checkpoint()
    return recorder.recorded


def cut(folder: Path, recorded: Recorded, sector: Sector, samples: int) -> Report:
    report = cut_everywhere(recorded, folder / "left", sector, samples, SEED)
    print(f"{len(recorded.states)} commits, {report.moments} moments, {report.states} states")
    return report


@pytest.mark.slow
@pytest.mark.parametrize("sector", [512, 4096])
def test_nothing_acknowledged_is_lost_and_nothing_is_half_when_the_power_goes(tmp_path: Path, sector: Sector) -> None:
    recorded = record(tmp_path, 6)
    report = cut(tmp_path, recorded, sector, SAMPLES)
    assert report.findings == []
    assert report.states > 2 * report.moments


@pytest.mark.parametrize("synchronous", LOSSES)
def test_a_store_that_does_not_wait_for_its_disk_is_found_out(tmp_path: Path, synchronous: str) -> None:
    """The judge is worth something: with less than FULL, what was acknowledged gets lost."""
    report = cut(tmp_path, record(tmp_path, 2, synchronous), 4096, 4)
    assert any(LOSSES[synchronous] in finding for finding in report.findings)
