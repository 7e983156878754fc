"""The oracle: every prefix of every recorded log gives the same bytes in any process, whatever its hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from holdfast.v1 import store_service_pb2
from tests.replay.asyncio_workflows import CASES
from tests.replay.decide import digests
from tests.replay.rehearsal import Rehearsal


def test_the_same_log_gives_the_same_decisions_in_every_process(tmp_path: Path) -> None:
    for workflow, _, outside in CASES:
        run = Rehearsal(workflow, seed=7)
        run.play(outside)
        log = store_service_pb2.ListEventsResponse(events=run.log.events)
        (tmp_path / workflow.__name__).write_bytes(log.SerializeToString())
    here = digests(tmp_path)
    for seed in ("0", "4711"):
        assert _elsewhere(tmp_path, seed) == here


def _elsewhere(directory: Path, hash_seed: str) -> list[str]:
    command = [sys.executable, "-m", "tests.replay.decide", str(directory)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    ended = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return ended.stdout.split("\n")[:-1]
