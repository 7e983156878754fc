"""Virtual time: a clock that stands still until somebody moves it.

Owns the present and who waits for a later one. It is the store's clock and the runtime's at once, so the two can never
part. Must never move by itself: who may move it, and how far, is ``timekeeper.py``.
"""

from __future__ import annotations

import asyncio
import heapq
from itertools import count


class VirtualClock:
    """Epoch milliseconds that only ``move_to`` changes, and never back."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()

    def __call__(self) -> int:
        return self._now_ms

    def set(self, store_ms: int) -> None:
        """Take a reading of the store's clock, which is this very one."""

    def move_to(self, at_ms: int) -> None:
        """Make it ``at_ms``, unless it is later already, and wake whoever waited for a time that has come."""
        self._now_ms = max(self._now_ms, at_ms)
        while self._waiting and self._waiting[0][0] <= self._now_ms:
            _, _, reached = heapq.heappop(self._waiting)
            if not reached.done():
                reached.set_result(None)

    async def wait_until(self, at_ms: int) -> None:
        """Return once the clock reads ``at_ms`` or more."""
        if at_ms <= self._now_ms:
            return
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (at_ms, next(self._numbers), reached))
        await reached
