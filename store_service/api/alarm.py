"""An alarm: calls back once a clock reads a certain time. What lets the store sleep instead of poll.

Owns one sleeping task at most. Must never call back early; setting it again replaces the time. Used for lease ends and
due messages (``delivery.py``) and for expiries (``expiries.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from store_service.api.clock import Clock


class Alarm:
    """Calls ``ring`` on the event loop once the clock reads the time that was set. Rings once per setting."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._at_ms: int | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def at_ms(self) -> int | None:
        """When it rings, in epoch milliseconds; None when it is not set."""
        return self._at_ms

    def set(self, at_ms: int | None) -> None:
        """Ring at ``at_ms`` instead of any time set before; None for never."""
        if at_ms == self._at_ms:
            return
        self._at_ms = at_ms
        if self._task is not None:
            self._task.cancel()
        self._task = None if at_ms is None else asyncio.create_task(self._sleep(at_ms), name="store-alarm")

    def set_no_later_than(self, at_ms: int) -> None:
        """Ring at ``at_ms`` unless it is set to an earlier time."""
        self.set(at_ms if self._at_ms is None else min(at_ms, self._at_ms))

    async def _sleep(self, at_ms: int) -> None:
        await self._clock.wait_until(at_ms)
        self._at_ms = None
        self._task = None
        self._ring()
