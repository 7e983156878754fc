"""A clock that tests move by hand; see ``store_service.api.clock.Clock``."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

#: A round moment in 2033: far from every real clock, so that a mix-up shows.
EPOCH_MS = 2_000_000_000_000


@dataclass
class ManualClock:
    """Stands still until it is moved. It may be set back too: what that does is then the matter of the test."""

    now_ms: int = EPOCH_MS
    _waiters: list[tuple[int, asyncio.Future[None]]] = field(default_factory=list)

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, ms: int) -> None:
        """Move the clock and wake whoever waited for a time that has now come."""
        self.now_ms += ms
        due = [waiter for waiter in self._waiters if waiter[0] <= self.now_ms]
        self._waiters = [waiter for waiter in self._waiters if waiter[0] > self.now_ms]
        for _, future in due:
            if not future.done():
                future.set_result(None)

    async def wait_until(self, at_ms: int) -> None:
        """Return once the clock was moved to ``at_ms`` or beyond."""
        if at_ms <= self.now_ms:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((at_ms, future))
        await future
