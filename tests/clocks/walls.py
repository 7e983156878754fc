"""A wall clock of its own for one process: set, stopped, made faster or slower while the process runs.

Given to the two clocks of the services; that hardly anything else reads a wall is tested too. It can stop and drift,
needs nothing installed, and says of each process what its wall is. Whole processes under libfaketime:
``test_faketime.py``.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any


@dataclass(frozen=True, slots=True)
class Wall:
    """The reading of a wall clock, kept in a file. As a fault of a process (``services.Fault``) it becomes its wall."""

    file: Path

    def set(self, seconds_ahead: float, rate: float = 1.0) -> None:
        """Set it this far ahead of the real wall (negative: behind), from where it goes on at ``rate``; 0 stops it."""
        real_ns = time.time_ns()
        following = self.file.with_suffix(".next")
        following.write_text(json.dumps([real_ns, real_ns + int(seconds_ahead * 1e9), rate]))
        following.replace(self.file)

    def now_ns(self) -> int:
        """Read it."""
        set_ns, wall_ns, rate = json.loads(self.file.read_text())
        return int(wall_ns + (time.time_ns() - set_ns) * rate)

    def __call__(self) -> Any:
        """Hang it up in this process; returns the clock of a store that lives by it."""
        from runtime_service.worker import clock
        from store_service.api.clock import SteadyClock

        readings = SimpleNamespace(time=lambda: self.now_ns() / 1e9, monotonic_ns=time.monotonic_ns)
        clock.time = readings  # type: ignore[assignment]
        return SteadyClock(wall_ns=self.now_ns)
