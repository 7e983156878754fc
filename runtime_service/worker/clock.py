"""The runtime's clock: the store's time, carried on by the monotonic clock of this machine.

A wall clock that is set a year ahead and back must not fire a timer early (hazard 3), so the wall clock of
this machine is never read: the store's `server_time` is taken when a connection is made, and elapsed time is added.
"""

from __future__ import annotations

import time


class StoreClock:
    """Milliseconds of the store's clock; never goes back.

    Calling it returns epoch milliseconds. ``set`` takes a reading of the store's time.
    """

    def __init__(self) -> None:
        self._offset_ms = int(time.time() * 1000) - time.monotonic_ns() // 1_000_000
        self._last_ms = 0

    def __call__(self) -> int:
        self._last_ms = max(self._last_ms, time.monotonic_ns() // 1_000_000 + self._offset_ms)
        return self._last_ms

    def set(self, store_ms: int) -> None:
        """Take a reading of the store's clock; a reading behind ours makes ours stand still until it is reached."""
        self._offset_ms = store_ms - time.monotonic_ns() // 1_000_000
