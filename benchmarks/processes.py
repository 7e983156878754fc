"""Starts a store and a runtime as two processes for the benchmarks, and asks the store for its statement count."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Services:
    """Two running processes."""

    store: Process
    runtime: Process
    runtime_address: str
    count_file: Path

    async def statements(self) -> int:
        """Return how many SQL statements the store has executed since it began."""
        self.count_file.unlink(missing_ok=True)
        self.store.send_signal(signal.SIGUSR1)
        async with asyncio.timeout(5):
            while not (text := self._count_text()):  # noqa: ASYNC110 - another process writes the file
                await asyncio.sleep(0.01)
        return int(text)

    def _count_text(self) -> str:
        return self.count_file.read_text() if self.count_file.exists() else ""


@asynccontextmanager
async def running_services(folder: Path) -> AsyncIterator[Services]:
    """Run a store on a new SQLite file in ``folder`` and a runtime with ``workflows.py``; ends both."""
    count_file = folder / "statements"
    store = await _python("-m", "benchmarks.counted_store", f"sqlite:///{folder / 'bench.db'}", str(count_file))
    store_address = await _address(store)
    workflows = str(ROOT / "benchmarks" / "workflows.py")
    listen = ("--listen", "127.0.0.1:0", "--store", store_address)
    runtime = await _python("-m", "runtime_service", workflows, *listen)
    try:
        yield Services(store, runtime, await _address(runtime), count_file)
    finally:
        for process in (runtime, store):
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def _python(*arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT, stdout=PIPE)


async def _address(process: Process) -> str:
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    found = re.search(r"127\.0\.0\.1:\d+", line)
    assert found, f"no address in {line!r}"
    return found[0]
