"""A soak of seconds: what `make soak` does for an hour, with kills, cuts and a full queue of writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.experiment import Plan, soak
from tests.soak.report import lines, write_json, write_plot

SECONDS = 12.0

#: Draws a killed store, a burst of starts, connections cut inside frames and a killed runtime.
SEED = 26


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_runs_under_steady_load_and_faults_end_right_and_every_audit_is_clean(tmp_path: Path) -> None:
    plan = Plan(SECONDS, per_second=8, fault_seconds=3, sweep_seconds=4, seed=SEED)
    found = await soak(tmp_path, f"sqlite:///{tmp_path / 'soak.db'}", plan)
    print(*lines(found), sep="\n")
    assert [it for it in found.verdicts() if it.is_kept is False] == []
    assert found.started >= 0.9 * SECONDS * plan.per_second
    assert found.faults
    assert found.deleted
    write_json(tmp_path / "soak.json", found)
    write_plot(tmp_path / "soak.svg", found)
    assert (tmp_path / "soak.json").stat().st_size and (tmp_path / "soak.svg").stat().st_size
