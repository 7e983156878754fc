"""The store's clock: wall time that never goes back and never leaps.

Owns the one answer to "what time is it" in a store process; rules get it as ``now_ms``. Leases and timers are kept in
wall milliseconds, because they survive restarts, yet a wall clock that is set a year ahead and back must not end every
lease at once (hazard 3). So the wall is read once at the start, elapsed time is added from a clock that nobody sets and
that counts a suspended machine's sleep, and a difference to the wall is made up slowly: by a tenth of the time that
passes when the wall is ahead, by a thousandth when it is behind. Proof: `tests/queue/test_clock.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

#: Part of the elapsed time by which a clock that is behind catches up: a lease is at most a tenth shorter than it says.
_SLEW_AHEAD: Final = 10

#: Part of the elapsed time by which one that is ahead is held back. Runtimes carry the store's time on by themselves
#: between two readings and must never be ahead of it, or timers fire early: ``runtime_service/worker/clock.py`` knows.
_SLEW_BACK: Final = 1_000

#: Longest sleep between two looks at the clock while something is due: the wall and the steady clock may part.
_LOOK_SECONDS_MAX: Final = 60.0


class Clock(Protocol):
    """Time as the rules see it, and waiting for it. Tests bring one that they move by hand."""

    def __call__(self) -> int:
        """Return epoch milliseconds; never less than before."""

    async def wait_until(self, at_ms: int) -> None:
        """Return once the clock reads ``at_ms`` or more."""


def _steady_ns() -> int:
    # CLOCK_BOOTTIME goes on while the machine sleeps; only Linux has it.
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class SteadyClock:
    """``Clock`` on the machine's clocks; ``wall_ns`` and ``steady_ns`` are where they are read."""

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns, steady_ns: Callable[[], int] = _steady_ns) -> None:
        self._wall_ns = wall_ns
        self._steady_ns = steady_ns
        self._now_ns = wall_ns()
        self._read_ns = steady_ns()

    def __call__(self) -> int:
        steady_ns = self._steady_ns()
        elapsed_ns = max(0, steady_ns - self._read_ns)
        self._read_ns = steady_ns
        self._now_ns += elapsed_ns
        wrong_ns = self._wall_ns() - self._now_ns
        self._now_ns += max(-(elapsed_ns // _SLEW_BACK), min(elapsed_ns // _SLEW_AHEAD, wrong_ns))
        return self._now_ns // 1_000_000

    async def wait_until(self, at_ms: int) -> None:
        while (left_ms := at_ms - self()) > 0:  # noqa: ASYNC110 - what is waited for is time itself
            await asyncio.sleep(min(left_ms / 1000, _LOOK_SECONDS_MAX))
