"""`holdfast dev` restarts the runtime when a file changes, keeps the store, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import psutil

FLOW = """
from holdfast import workflow

@workflow(name="answering")
async def answering() -> int:
    return {answer}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Dev:
    """A running `holdfast dev` and what it says."""

    def __init__(self, process: subprocess.Popen[str], runtime: str) -> None:
        self.process = process
        self.runtime = runtime
        self._lines: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def until(self, text: str) -> None:
        """Read on until a line with ``text``."""
        while text not in self._lines.get(timeout=40):
            continue

    def answer(self) -> str:
        """The result of a new run."""
        command = [sys.executable, "-m", "holdfast.cli", "start", "answering", "--wait", "--runtime", self.runtime]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)


@contextmanager
def developing(folder: Path) -> Iterator[Dev]:
    runtime = f"127.0.0.1:{free_port()}"
    words = ["dev", "flow.py", "--store-listen", "127.0.0.1:0", "--runtime-listen", runtime]
    command = [sys.executable, "-m", "holdfast.cli", *words]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Dev(process, runtime)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(40)


def test_a_change_restarts_the_runtime_and_a_broken_file_is_tried_again_when_it_changes(tmp_path: Path) -> None:
    flow = tmp_path / "flow.py"
    flow.write_text(FLOW.format(answer=1))
    with developing(tmp_path) as dev:
        dev.until("runtime  ")
        assert dev.answer() == "1"
        flow.write_text("this is not Python!")
        dev.until("did not start")
        flow.write_text(FLOW.format(answer=2))
        dev.until("runtime  ")
        assert dev.answer() == "2"


def test_both_services_end_with_it(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW.format(answer=1))
    with developing(tmp_path) as dev:
        dev.until("runtime  ")
        children = psutil.Process(dev.process.pid).children(recursive=True)
        assert len(children) == 2
    assert dev.process.returncode == 0
    assert [child for child in children if child.is_running()] == []
    assert (tmp_path / ".holdfast/holdfast.db").exists()


def test_both_services_end_with_it_when_nobody_reads_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW.format(answer=1))
    words = ["dev", "flow.py", "--store-listen", "127.0.0.1:0", "--runtime-listen", "127.0.0.1:0"]
    command = [sys.executable, "-m", "holdfast.cli", *words]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        process.wait(40)
        left = [other for other in psutil.process_iter(["pid"]) if _group_of(other) == process.pid]
    assert left == []


def _group_of(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None
