"""The demo does on this machine what it promises a stranger: killed, retried, refused, and right in the end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(150)
def test_the_demo_survives_its_kill_shows_a_refusal_and_reports_right(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = subprocess.run(
        [sys.executable, "-m", "examples.audit.demo"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert re.search(r"refusals .*OUT_OF_BAND_EVENT: [1-9]", done.stdout)
    assert re.search(r"[1-9]\d* cut off by the kill, 1 retried", done.stdout)
    assert "wrong:" not in done.stdout
    assert (tmp_path / ".holdfast/demo/holdfast.db").exists()
