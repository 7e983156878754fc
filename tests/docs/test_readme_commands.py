"""Every command of the README works as it stands there, on services that the README says how to start.

The blocks run as one shell session, in order. Only addresses are replaced, so that tests can run beside other
services; `make` targets are checked to exist instead of being run inside themselves.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
FILES = re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", README, re.DOTALL)
BLOCKS = re.findall(r"(<!-- background: .*? -->\n)?```sh\n(.*?)```", README, re.DOTALL)

#: Commands that a reader repeats until they work, because a person is slower than the services.
PATIENT = ("holdfast resume",)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A directory with the README's files, `holdfast dev` running in it, and the environment of a reader."""
    ports = {"127.0.0.1:7701": f"127.0.0.1:{free_port()}", "127.0.0.1:7702": f"127.0.0.1:{free_port()}"}
    store, runtime = ports.values()
    for name, text in FILES:
        (tmp_path / name).write_text(replaced(text, ports))
    (tmp_path / ".venv").symlink_to(sys.prefix)
    shims = tmp_path / "shims"
    shims.mkdir()
    (shims / "grpcurl").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/tests/docs/grpcurl.py" "$@"\n')
    (shims / "grpcurl").chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{shims}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOLDFAST_STORE_LISTEN": store,
        "HOLDFAST_RUNTIME_LISTEN": runtime,
        "HOLDFAST_RUNTIME_ADDRESS": runtime,
        "COLUMNS": "200",
    }
    command = next(marker for marker, _ in BLOCKS if marker).removeprefix("<!-- background: ").split(" -->")[0]
    with subprocess.Popen(command.split(), cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as dev:
        assert dev.stdout is not None
        try:
            said = list(islice(dev.stdout, 2))
            assert any(runtime in line for line in said), said
            yield env | {"DESK": str(tmp_path), "SCRIPT": session(ports)}
        finally:
            dev.send_signal(signal.SIGINT)
            dev.wait(30)


def replaced(text: str, ports: dict[str, str]) -> str:
    for old, new in ports.items():
        text = text.replace(old, new)
    return text


def session(ports: dict[str, str]) -> str:
    """The README's blocks as one script that stops at the first command that does not do what is promised."""
    lines = ["set -eux"]
    for background, block in BLOCKS:
        skipped = background.removeprefix("<!-- background: ").split(" -->")[0] if background else None
        lines.extend(promised(line) for line in replaced(block, ports).splitlines() if line and line != skipped)
    return "\n".join(lines)


def promised(line: str) -> str:
    """One line of a block as the test runs it."""
    if line.startswith("make "):
        return f"make -C '{ROOT}' -n {line.removeprefix('make ')} > make.txt"
    if line.endswith("# refused"):
        return f"if {line.removesuffix('# refused')} 2> refusal.txt; then exit 9; fi; grep 'lacks event' refusal.txt"
    if line.startswith(PATIENT):
        return f"until {line}; do :; done"
    return line


def test_the_readme_has_its_files_and_blocks() -> None:
    assert [name for name, _ in FILES] == ["app.py", "client.py"]
    assert len(BLOCKS) >= 9


@pytest.mark.timeout(180)
def test_every_command_of_the_readme_does_what_it_says(desk: dict[str, str]) -> None:
    shell = ["bash", "-c", desk["SCRIPT"]]
    done = subprocess.run(shell, cwd=desk["DESK"], env=desk, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "10 charged for order 42, approved by Ada" in done.stdout
    assert "5 charged for order 43, approved by Grace" in done.stdout
    assert "holdfast.v1.QueueService" in done.stdout
    assert "ListSteps" in done.stdout
    assert "waits for a value" in done.stdout or "sleeps until" in done.stdout
    assert "wait_completed" in done.stdout
    assert '"runs"' in done.stdout or "{}" in done.stdout


def test_every_path_that_the_readme_names_exists() -> None:
    named = re.findall(r"\]\(([^)#:]+)\)", README) + re.findall(r"`((?:\w+/)+[\w.]*)`", README)
    inside = {"api/", "rules/", "engines/", "replay/", "steps/", "tasks/", "worker/", "http/", "ui/"}
    missing = [name for name in named if name not in inside and not (ROOT / name).exists()]
    assert missing == []
