"""What the processes of a soak use while it lasts: memory and descriptors, a series for each life of each process.

A process that was started again begins a new series, for its use says nothing about the one before. Owns no verdict;
read ``trends.py``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from tests.soak.cluster import Cluster

MEBIBYTE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: at (monotonic seconds), resident bytes, open descriptors, threads, seconds of CPU so far."""

    at: float
    rss: int
    fds: int
    threads: int
    cpu: float


@dataclass(slots=True)
class Life:
    """One life of a process."""

    name: str
    pid: int
    samples: list[Sample] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.samples[-1].at - self.samples[0].at if self.samples else 0.0


class Sampler:
    """Looks at every process of a cluster, again and again; ``sizes`` are (at, bytes) of a SQLite database."""

    def __init__(self, cluster: Cluster, every_seconds: float) -> None:
        self.lives: list[Life] = []
        self.sizes: list[tuple[float, int]] = []
        self._cluster = cluster
        self._every_seconds = every_seconds

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            for name, service in self._cluster.services():
                if not service.died.is_set():
                    with suppress(psutil.Error):
                        self._life(name, service.pid).samples.append(_look(service.pid))
            self._note_size()
            await asyncio.sleep(self._every_seconds)

    def longest(self) -> Iterator[Life]:
        """Yield the longest life of each process."""
        for name in sorted({it.name for it in self.lives}):
            yield max((it for it in self.lives if it.name == name), key=lambda it: it.seconds)

    def now(self) -> str:
        """Return the newest sample of each process in words."""
        newest = {it.name: it.samples[-1] for it in self.lives if it.samples}
        return ", ".join(f"{name} {it.rss / MEBIBYTE:.1f} MiB {it.fds} fds" for name, it in newest.items())

    def _life(self, name: str, pid: int) -> Life:
        found = next((it for it in self.lives if (it.name, it.pid) == (name, pid)), None)
        if found is None:
            self.lives.append(found := Life(name, pid))
        return found

    def _note_size(self) -> None:
        path = Path(self._cluster.url.removeprefix("sqlite:///"))
        if path.exists():
            self.sizes.append((time.monotonic(), path.stat().st_size))


def _look(pid: int) -> Sample:
    process = psutil.Process(pid)
    with process.oneshot():
        times = process.cpu_times()
        fds, threads = process.num_fds(), process.num_threads()
        return Sample(time.monotonic(), process.memory_info().rss, fds, threads, times.user + times.system)
