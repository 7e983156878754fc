"""One process of an installation of replicas: killed, frozen and started again, and when.

Owns the history of a process as others have to know it: at which moments it was not itself, so that a measurement says
whether it was disturbed, and that it never ends by itself. Times are of the monotonic clock. Read ``cluster.py`` for
what it is one of.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, Literal

from tests.storms.services import Fault, Service

Tier = Literal["store", "runtime"]

#: A lasting disturbance has no end yet.
_NOT_YET = float("inf")


@dataclass(frozen=True, slots=True)
class SkewedWall:
    """Sets the wall of a process ahead (negative: behind), wherever our code reads it; as a `Fault`.

    Not for gRPC, which makes deadlines of it: on a machine whose clock is wrong they are wrong on both sides.
    """

    seconds: float

    def __call__(self) -> None:
        from runtime_service.worker import clock
        from store_service.engines import postgres
        from store_service.engines.postgres import queue_transaction

        def wall_ns() -> int:
            return time.time_ns() + int(self.seconds * 1e9)

        wall = SimpleNamespace(time=lambda: wall_ns() / 1e9, time_ns=wall_ns, monotonic_ns=time.monotonic_ns)
        clock.time = queue_transaction.time = wall  # type: ignore[assignment]
        options: Any = postgres.Options
        postgres.Options = partial(options, local_ns=wall_ns)  # type: ignore[misc,assignment]


@dataclass(slots=True)
class Disturbance:
    """A time in which a process was not itself. ``pid`` is of the process that suffered it."""

    what: str
    pid: int
    begin: float
    end: float = _NOT_YET


class Replica:
    """A process that is started again after everything that is done to it."""

    def __init__(self, tier: Tier, name: str, service: Service, fault: Fault) -> None:
        self.tier = tier
        self.name = name
        self.disturbances: list[Disturbance] = []
        self._service = service
        self._fault = fault

    async def start(self) -> None:
        await self._service.start(self._fault)

    @property
    def address(self) -> str:
        return self._service.address

    @property
    def log(self) -> str:
        return self._service.log

    @property
    def is_steady(self) -> bool:
        """Whether nothing is done to it now."""
        return not self.disturbances or self.disturbances[-1].end != _NOT_YET

    def was_steady(self, begin: float, end: float) -> bool:
        """Whether nothing was done to it from ``begin`` to ``end``."""
        return all(it.end < begin or it.begin > end for it in self.disturbances)

    def next_disturbance(self, after: float) -> float:
        """When it was disturbed for the first time after that moment."""
        return min((it.begin for it in self.disturbances if it.begin > after), default=_NOT_YET)

    async def kill(self, down_seconds: float) -> None:
        """SIGKILL it; start it again after some time."""
        disturbance = self._begin("killed")
        await self._service.kill()
        await asyncio.sleep(down_seconds)
        await self._come_back(disturbance)

    async def leave(self, down_seconds: float) -> None:
        """SIGTERM: let it drain and end; start it again after some time."""
        disturbance = self._begin("stopped")
        await self._service.stop()
        await asyncio.sleep(down_seconds)
        await self._come_back(disturbance)

    async def pause(self, seconds: float) -> None:
        """SIGSTOP it for some time."""
        disturbance = self._begin("frozen")
        self._service.freeze()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._service.thaw()
        disturbance.end = time.monotonic()

    async def stop(self) -> None:
        """Stop it for good, in good order."""
        await self._service.stop()

    async def close(self) -> None:
        """End it, whatever state it is in."""
        await self._service.kill()

    def _begin(self, what: str) -> Disturbance:
        assert not self._service.died.is_set(), f"{self.name} ended by itself: {self.log[-4000:]}"
        self.disturbances.append(Disturbance(what, self._service.pid, time.monotonic()))
        return self.disturbances[-1]

    async def _come_back(self, disturbance: Disturbance) -> None:
        await self.start()
        assert not self._service.died.is_set(), f"{self.name} did not come back: {self.log[-4000:]}"
        disturbance.end = time.monotonic()
