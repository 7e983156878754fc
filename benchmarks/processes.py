"""Starts a store and a runtime as two processes for the benchmarks, and says what they used up.

Owns the processes and their counters: CPU and memory from the system, statements and commits from the store itself
(``counted_store.py``). A process can be killed and started again on the same address, for takeovers.
"""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

ROOT: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Usage:
    """What the services have used so far: seconds of CPU, statements, commits, bytes written to the disk."""

    store_cpu: float
    runtime_cpu: float
    statements: int
    commits: int
    bytes_written: int


@dataclass(slots=True)
class Services:
    """Two running processes. ``started_seconds``: from the start of each to its address, store first."""

    store: Process
    runtime: Process
    store_address: str
    runtime_address: str
    count_file: Path
    started_seconds: tuple[float, float]

    async def usage(self) -> Usage:
        """Ask both processes what they have used since they began."""
        statements, commits = await self._counts()
        written = psutil.Process(self.store.pid).io_counters().write_bytes
        return Usage(_cpu(self.store), _cpu(self.runtime), statements, commits, written)

    def rss(self) -> tuple[int, int]:
        """Return the resident bytes of store and runtime."""
        return psutil.Process(self.store.pid).memory_info().rss, psutil.Process(self.runtime.pid).memory_info().rss

    async def kill_runtime(self) -> None:
        """End the runtime as a power cut would."""
        self.runtime.kill()
        await self.runtime.wait()

    async def start_runtime(self, *options: str) -> None:
        """Start a runtime again, on the address that the last one had."""
        self.runtime = await _runtime(self.store_address, self.runtime_address, *options)
        await _address(self.runtime)

    async def _counts(self) -> tuple[int, int]:
        self.count_file.unlink(missing_ok=True)
        self.store.send_signal(signal.SIGUSR1)
        async with asyncio.timeout(5):
            while not (text := self._count_text()):  # noqa: ASYNC110 - another process writes the file
                await asyncio.sleep(0.01)
        statements, commits = text.split()
        return int(statements), int(commits)

    def _count_text(self) -> str:
        return self.count_file.read_text() if self.count_file.exists() else ""


@asynccontextmanager
async def running_services(folder: Path, *options: str) -> AsyncIterator[Services]:
    """Run a store on a new SQLite file in ``folder`` and a runtime with ``workflows.py``; ends both.

    ``options`` are the runtime's.
    """
    count_file = folder / "counts"
    began = time.perf_counter()
    store = await _python("-m", "benchmarks.counted_store", f"sqlite:///{folder / 'bench.db'}", str(count_file))
    services: Services | None = None
    try:
        store_address = await _address(store)
        store_seconds, began = time.perf_counter() - began, time.perf_counter()
        runtime = await _runtime(store_address, "127.0.0.1:0", *options)
        runtime_address = await _address(runtime)
        seconds = (store_seconds, time.perf_counter() - began)
        services = Services(store, runtime, store_address, runtime_address, count_file, seconds)
        yield services
    finally:
        for process in (services.runtime, store) if services else (store,):
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await process.wait()


def _cpu(process: Process) -> float:
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


async def _runtime(store_address: str, listen: str, *options: str) -> Process:
    workflows = str(ROOT / "benchmarks" / "workflows.py")
    addresses = ("--listen", listen, "--store", store_address, "--http", "")
    return await _python("-m", "runtime_service", workflows, *addresses, *options)


async def _python(*arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT, stdout=PIPE)


async def _address(process: Process) -> str:
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    found = re.search(r"127\.0\.0\.1:\d+", line)
    if found is None:
        raise RuntimeError(f"a service did not start: no address in {line!r}")
    return found[0]
