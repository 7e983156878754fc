"""The runtime's clock: the store's time, carried on by the monotonic clock of this machine.

A wall clock that is set a year ahead and back must not fire a timer early (hazard 3), so the wall clock of
this machine is never read: the store's `server_time` is taken when a connection is made and every 15 seconds of
silence from then on, and elapsed time is added. A thousandth less of it, for by so much may the store's clock be held
back while it follows its wall: a clock that is late by milliseconds is never early. Proof: `tests/clocks`.
"""

from __future__ import annotations

import time
from typing import Final

#: Of so much elapsed time this much is added.
_ELAPSED: Final = 1_000
_ADDED: Final = 999


class StoreClock:
    """Milliseconds of the store's clock; never goes back.

    Calling it returns epoch milliseconds. ``set`` takes a reading of the store's time.
    """

    def __init__(self) -> None:
        self._last_ms = 0
        self.set(int(time.time() * 1000))

    def __call__(self) -> int:
        elapsed_ns = time.monotonic_ns() - self._read_ns
        self._last_ms = max(self._last_ms, self._reading_ms + elapsed_ns * _ADDED // (_ELAPSED * 1_000_000))
        return self._last_ms

    def set(self, store_ms: int) -> None:
        """Take a reading of the store's clock; a reading behind ours makes ours stand still until it is reached."""
        self._reading_ms = store_ms
        self._read_ns = time.monotonic_ns()
