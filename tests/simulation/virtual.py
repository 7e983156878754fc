"""An event loop whose time jumps: when nothing can run, it is at once as late as the next thing that is due.

Owns virtual time for code that uses ``loop.time``, ``call_later`` and ``asyncio.sleep``. There are no sockets and no
threads in it, so that the order of everything follows from the order in which it was asked for: the same program runs
the same way, always. Read ``held.py`` for who runs in it.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.simulation.desk import BEGIN_MS

T = TypeVar("T")


class NothingWillHappen(Exception):
    """Everybody waits for something that nobody will do."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that never waits. ``now_ms`` is its time as epoch milliseconds, from ``BEGIN_MS`` on."""

    def __init__(self) -> None:
        self._seconds = 0.0
        super().__init__(_Jumping(self))
        # A year has more seconds than a float has room for beside a nanosecond, and time does not go on by itself here.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._seconds

    def jump(self, seconds: float) -> None:
        """Let time pass."""
        self._seconds += seconds

    @property
    def now_ms(self) -> int:
        return BEGIN_MS + round(self._seconds * 1000)


class _Jumping(selectors.SelectSelector):
    """Waits for no file: it makes it later instead."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._virtual = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingWillHappen
        if timeout > 0:
            self._virtual.jump(timeout)
        return []


class VirtualClock:
    """The clock of store and runtimes: that of the loop. ``set`` changes nothing, for there is only one."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def __call__(self) -> int:
        return self._loop.now_ms

    def set(self, store_ms: int) -> None:
        """Take a reading of the store's clock, which is this very one."""

    async def wait_until(self, at_ms: int) -> None:
        while (left_ms := at_ms - self()) > 0:  # noqa: ASYNC110 - what is waited for is time itself
            await asyncio.sleep(left_ms / 1000)


def run(main: Coroutine[Any, Any, T], loop: VirtualLoop) -> T:
    """Run a coroutine to its end; what it leaves behind is cancelled."""
    try:
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()
