"""Every command of the grpcurl cookbook does what the page says, with `buf curl` in place of grpcurl.

The blocks run as one shell session, in order, against `holdfast dev`; only addresses are replaced. A command with
`# refused: TEXT` must fail, and say TEXT.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from tests.docs.test_readme_commands import free_port, replaced

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "grpcurl.md").read_text()
FILES = re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", PAGE, re.DOTALL)
BLOCKS = re.findall(r"(<!-- background: .*? -->\n)?```sh\n(.*?)```", PAGE, re.DOTALL)

#: Commands that a reader repeats until they work, because a person is slower than the services.
PATIENT = ("FindHook",)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A directory with the page's file, `holdfast dev` running in it, and the environment of a reader."""
    ports = {"127.0.0.1:7701": f"127.0.0.1:{free_port()}", "127.0.0.1:7702": f"127.0.0.1:{free_port()}"}
    store, runtime = ports.values()
    for name, text in FILES:
        (tmp_path / name).write_text(text)
    shim = tmp_path / "grpcurl"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/tests/docs/grpcurl.py" "$@"\n')
    shim.chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOLDFAST_STORE_LISTEN": store,
        "HOLDFAST_RUNTIME_LISTEN": runtime,
    }
    (command,) = [marker.removeprefix("<!-- background: ").split(" -->")[0] for marker, _ in BLOCKS if marker]
    with subprocess.Popen(command.split(), cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as dev:
        assert dev.stdout is not None
        try:
            said = list(islice(dev.stdout, 2))
            assert any(runtime in line for line in said), said
            yield env | {"DESK": str(tmp_path), "SCRIPT": session(ports)}
        finally:
            dev.send_signal(signal.SIGINT)
            dev.wait(30)


def session(ports: dict[str, str]) -> str:
    """The page's blocks as one script that stops at the first command that does not do what is promised."""
    blocks = [replaced(block, ports) for marker, block in BLOCKS if not marker]
    return "\n".join(["set -eux", *(promised(line) for block in blocks for line in block.splitlines())])


def promised(line: str) -> str:
    command, is_refused, text = line.partition("  # refused: ")
    if line.endswith(PATIENT):
        return f"until {line}; do :; done"
    if not is_refused:
        return line
    return f'if {command} 2> refusal.txt; then exit 9; fi; grep -F "{text}" refusal.txt'


@pytest.mark.timeout(180)
def test_every_command_of_the_cookbook_does_what_it_says(desk: dict[str, str]) -> None:
    shell = ["bash", "-c", desk["SCRIPT"]]
    done = subprocess.run(shell, cwd=desk["DESK"], env=desk, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    for promise in (
        "holdfast.v1.StepWorkerService",
        "PollStep",
        '"vase: 2.5 kg, left at the door"',
        '"lastReason": "the address bounced"',
        '"redrivenCount": 1',
        '"status": "SERVING"',
        '"step_id": "step_weigh#1"',
        "stateUpdatedAt",
    ):
        assert promise in done.stdout, f"{promise}\n{done.stdout[-6000:]}"


def test_the_cookbook_covers_what_it_promises() -> None:
    text = "\n".join(block for _, block in BLOCKS)
    for method in (
        *("ListEvents", "CreateEvent", "WatchEvents", "ResumeHook", "ListMessages", "GetQueue", "RedriveMessages"),
        *(" list", " describe ", "PollStep", "CompleteStep", "state_updated_at"),
    ):
        assert method in text, method
