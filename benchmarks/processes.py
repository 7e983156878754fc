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


@dataclass(frozen=True, slots=True)
class StoreProcess:
    """A running store that counts."""

    process: Process
    address: str
    count_file: Path

    async def counts(self) -> tuple[int, int]:
        """Return the statements and commits that it has made since it began."""
        self.count_file.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        async with asyncio.timeout(5):
            while not (text := self._count_text()):  # noqa: ASYNC110 - another process writes the file
                await asyncio.sleep(0.01)
        statements, commits = text.split()
        return int(statements), int(commits)

    def _count_text(self) -> str:
        return self.count_file.read_text() if self.count_file.exists() else ""


@dataclass(slots=True)
class Services:
    """Two running processes. ``started_seconds``: from the start of each to its address, store first."""

    counted: StoreProcess
    runtime: Process
    runtime_address: str
    started_seconds: tuple[float, float]

    @property
    def store(self) -> Process:
        return self.counted.process

    @property
    def store_address(self) -> str:
        return self.counted.address

    async def usage(self) -> Usage:
        """Ask both processes what they have used since they began."""
        statements, commits = await self.counted.counts()
        written = psutil.Process(self.store.pid).io_counters().write_bytes
        return Usage(cpu_of(self.store), cpu_of(self.runtime), statements, commits, written)

    def rss(self) -> tuple[int, int]:
        """Return the resident bytes of store and runtime."""
        return rss_of(self.store), rss_of(self.runtime)

    async def kill_runtime(self) -> None:
        """End the runtime as a power cut would."""
        self.runtime.kill()
        await self.runtime.wait()

    async def start_runtime(self, *options: str) -> None:
        """Start a runtime again, on the address that the last one had."""
        self.runtime = await start_runtime(self.store_address, self.runtime_address, *options)
        await address_of(self.runtime)


@asynccontextmanager
async def running_store(database: str, count_file: Path) -> AsyncIterator[StoreProcess]:
    """Run a store on a database, which it creates or opens; ends it."""
    process = await _python("-m", "benchmarks.counted_store", database, str(count_file))
    try:
        yield StoreProcess(process, await address_of(process), count_file)
    finally:
        await end(process)


@asynccontextmanager
async def running_services(folder: Path, *options: str, database: str = "") -> AsyncIterator[Services]:
    """Run a store and a runtime with ``workflows.py``; ends both. ``options`` are the runtime's.

    ``database`` is a URL; by default a new SQLite file in ``folder``.
    """
    began = time.perf_counter()
    async with running_store(database or f"sqlite:///{folder / 'bench.db'}", folder / "counts") as store:
        store_seconds, began = time.perf_counter() - began, time.perf_counter()
        runtime = await start_runtime(store.address, "127.0.0.1:0", *options)
        services: Services | None = None
        try:
            runtime_address = await address_of(runtime)
            seconds = (store_seconds, time.perf_counter() - began)
            services = Services(store, runtime, runtime_address, seconds)
            yield services
        finally:
            await end(services.runtime if services else runtime)


async def end(process: Process) -> None:
    """Ask a process to end, unless it has, and wait until it did."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    await process.wait()


def rss_of(process: Process) -> int:
    """Return the resident bytes of a process."""
    return int(psutil.Process(process.pid).memory_info().rss)


def cpu_of(process: Process) -> float:
    """Return the seconds of CPU that a process has used."""
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


async def start_runtime(store_address: str, listen: str, *options: str) -> Process:
    """Start a runtime with ``workflows.py`` on a store; `address_of` waits until it serves."""
    workflows = str(ROOT / "benchmarks" / "workflows.py")
    addresses = ("--listen", listen, "--store", store_address, "--http", "")
    return await _python("-m", "runtime_service", workflows, *addresses, *options)


async def _python(*arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT, stdout=PIPE)


async def address_of(process: Process) -> str:
    """Wait until a service says where it listens, and return it. Once a process."""
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    found = re.search(r"127\.0\.0\.1:\d+", line)
    if found is None:
        raise RuntimeError(f"a service did not start: no address in {line!r}")
    return found[0]
