"""The TypeScript client and step worker, generated from the protos, against real services."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.step_workers import node_workflows
from tests.support.runtime import running_runtime
from tests.support.store import Store

ROOT = Path(__file__).parents[2] / "clients" / "typescript"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (shutil.which("node") and shutil.which("npm")), reason="node and npm are not on this machine"
    ),
]


def run(*command: str) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


async def test_a_program_in_typescript_starts_serves_steers_follows_and_is_refused(store: Store) -> None:
    for command in (("npm", "ci"), ("npm", "run", "generate"), ("npm", "run", "build")):
        await asyncio.to_thread(run, *command)
    async with running_runtime(store.address, *node_workflows.ALL, linger_ms=20) as runtime:
        said = await asyncio.to_thread(run, "node", "dist/test/program.js", runtime.address, store.address)
    told = json.loads(said)
    assert told["film"] == {"path": "/films/dune", "resumedFrom": 3}
    assert told["kinds"] == [
        "runCreated",
        "runStarted",
        "stepCreated",
        "stepStarted",
        "stepRetrying",
        "stepStarted",
        "stepCompleted",
        "runCompleted",
    ]
    assert told["refused"] == "FatalError"
    assert told["approval"] == "approved by Ada"
    assert told["stopped"] == "enough"
    assert told["cancelled"] == "enough"
    assert told["stale"] == {"reason": "STALE_SNAPSHOT", "isBehindMarker": True, "missed": ["hookReceived"]}


def test_the_lock_file_names_no_registry() -> None:
    """Whoever installs it does so from the registry of their own choice."""
    assert "resolved" not in (ROOT / "package-lock.json").read_text()
