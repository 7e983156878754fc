"""What is measured, by area. A workload takes a `Bench` and returns figures; it leaves nothing behind that runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.figures import Figure
from benchmarks.floors import Floors
from benchmarks.processes import Services
from holdfast import Client


@dataclass(frozen=True, slots=True)
class Bench:
    """What a workload works with. ``is_quick``: fewer rounds, for a look in under a minute."""

    client: Client
    services: Services
    floors: Floors
    is_quick: bool
    #: Steps a second that the same workload gives on SQLite; 0 when the services are on SQLite.
    sqlite_rate: float = 0.0

    @property
    def is_on_sqlite(self) -> bool:
        return not self.sqlite_rate

    def rounds(self, full: int) -> int:
        """Return how often to repeat what is repeated ``full`` times in a full run."""
        return max(3, full // 5) if self.is_quick else full


Workload = Callable[[Bench], Awaitable[list[Figure]]]
