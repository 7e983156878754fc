"""Errors of the disk for a store that runs: strace lets system calls on its database fail, and goes away again.

Needs Debian's strace. Only calls on the database and its WAL are touched; what they were and what they answered is in
`Injection.calls`. Read ``tests/crash/faults.py`` for kills at system calls.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Every call that writes to a database.
WRITING = "pwrite64,fdatasync,fsync,ftruncate"

_ATTACH_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Injection:
    """Errors for one process; ``calls`` tells every writing call on its database since it began, one line each."""

    trace: Path

    @property
    def calls(self) -> list[str]:
        lines = self.trace.read_text().splitlines()
        return [line.split(maxsplit=1)[1] for line in lines if "(" in line]


@contextmanager
def injected(pid: int, database: Path, call: str, error: str, when: str) -> Iterator[Injection]:
    """Let the calls ``when`` (strace's words: 3, or 1+ for all) fail with ``error`` (EIO) while the block lasts."""
    injection = Injection(database.with_suffix(".trace"))
    words = ["strace", "-f", "-qq", "-o", str(injection.trace), "-P", str(database), "-P", f"{database}-wal"]
    words += ["-e", f"trace={WRITING}", "-e", f"inject={call}:error={error}:when={when}", "-p", str(pid)]
    tracer = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    status = Path(f"/proc/{pid}/status")
    deadline = time.monotonic() + _ATTACH_SECONDS
    try:
        while "TracerPid:\t0\n" in status.read_text():
            assert time.monotonic() < deadline, "strace did not attach"
            time.sleep(0.002)
        yield injection
    finally:
        tracer.terminate()
        tracer.wait()
