"""The commands on the pages of the examples do what the pages say, on services that they start."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 60.0

#: Example → what its commands say in the end.
SAID = {
    "shop": ("payment: 4200 cents, please", "paid: 4200 cents, thank you", "'parcel': 'parcel-", "item=a lamp"),
    "workers": (
        "serves the queue render",
        "attempt 1 of dune begins at frame 0",
        "attempt 2 of dune begins",
        "60 frames,",
    ),
    "schedule": ("report-", "sleeps until"),
    "agent": ("Done: rain in Oslo; rain in Rome.", "may I?", "4200 cents of order 7 are paid back", "completed"),
}


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


@contextmanager
def background(command: str, env: dict[str, str], port: int, folder: Path) -> Iterator[None]:
    """Run a service until the block ends; it serves once its port answers."""
    said = folder / "said.txt"
    with said.open("w") as out, subprocess.Popen(command.split(), cwd=ROOT, env=env, stdout=out) as it:
        try:
            wait_for(port, it)
            yield
        finally:
            it.send_signal(signal.SIGINT)
            it.wait(SECONDS)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, f"{process.args} ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"{process.args} does not serve")


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", sorted(SAID))
def test_the_commands_of_the_page_do_what_it_says(name: str, tmp_path: Path) -> None:
    page = (ROOT / "examples" / name / "README.md").read_text()
    store, runtime, http, web = free_ports(4)
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOLDFAST_STORE_LISTEN": f"127.0.0.1:{store}",
        "HOLDFAST_RUNTIME_LISTEN": f"127.0.0.1:{runtime}",
        "HOLDFAST_RUNTIME_ADDRESS": f"127.0.0.1:{runtime}",
        "HOLDFAST_HTTP": f"127.0.0.1:{http}",
        "HOLDFAST_DATABASE": f"sqlite:///{tmp_path}/examples.db",
        "COLUMNS": "200",
    }
    services = re.findall(r"<!-- background: (.*?) -->\n```sh\n(.*?)\n```", page)
    blocks = re.findall(r"```sh\n(.*?)\n```", page, re.DOTALL)
    script = "\n".join(block for block in blocks if block not in dict(services).values()).replace("8000", str(web))
    shell = ["bash", "-c", "\n".join(["set -eux", *map(promised, script.splitlines())])]
    assert services and script
    with ExitStack() as stack:
        for command, shown in services:
            assert command == shown, "the page shows another command than the one that is run"
            port = web if "8000" in command else runtime
            stack.enter_context(background(command.replace("8000", str(web)), env, port, tmp_path))
        done = subprocess.run(shell, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    for text in SAID[name]:
        assert text in done.stdout, done.stdout


def promised(line: str) -> str:
    """A line as a person uses it, who is slower than the services."""
    if line == "holdfast runs --workflow schedule.report":
        # The first report is due after a second.
        return f"until {line} | grep report-; do sleep 0.1; done"
    return f"until {line}; do sleep 0.1; done" if line.startswith("holdfast resume") else line


def test_every_example_has_a_page_that_the_list_names() -> None:
    folders = {it.parent.name for it in (ROOT / "examples").glob("*/*.py")}
    listed = set(re.findall(r"\[(\w+)\]\(\1/\)", (ROOT / "examples" / "README.md").read_text()))
    assert listed == folders
    assert {it.parent.name for it in (ROOT / "examples").glob("*/README.md")} >= SAID.keys()
