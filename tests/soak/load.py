"""The load of a soak: runs started at a steady pace, whatever becomes of those before, each seen to its right end.

An open loop: a run that is late holds up no other, so that what a fault costs is measured and not hidden. `capacity`
is the other way round, as many runs as a number of lanes gets done. What was started, what ended when, and what was
wrong is kept; which runs may be deleted is asked of ``finished``.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast import Client
from holdfast.errors import HoldfastError
from tests.soak.workflows import MIX, Kind

#: Lanes of `capacity`: enough that runs which sleep do not keep the services idle.
_LANES: Final = 128


@dataclass(frozen=True, slots=True)
class Ended:
    """A run with the right result: when it was started (monotonic), and how long it took beyond its own sleeps."""

    workflow: str
    began: float
    ended: float
    seconds: float


class Load:
    """Starts runs of the mix over the clients in turn. ``wrong`` is what did not come out as it should."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self.ended: list[Ended] = []
        self.wrong: list[str] = []
        #: Runs whose results are known here, so that nobody asks for them any more.
        self.finished: set[str] = set()
        self._clients = itertools.cycle(clients)
        self._numbers = itertools.count(1)
        self._open: dict[asyncio.Task[None], str] = {}

    @property
    def started(self) -> int:
        """How many runs were started, or are about to."""
        return len(self.ended) + len(self.wrong) + len(self._open)

    @property
    def open(self) -> list[str]:
        """The ids of runs that were started and whose results have not come."""
        return list(self._open.values())

    async def run(self, until: float, per_second: float) -> None:
        """Start runs at this pace until a moment (monotonic)."""
        due = time.monotonic()
        while due < until:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.start_many(1)
            due += 1 / per_second

    def start_many(self, count: int) -> None:
        """Start runs at once."""
        for number in itertools.islice(self._numbers, count):
            run_id = f"soak_{number}"
            task = asyncio.create_task(self._see_to_its_end(number, run_id))
            self._open[task] = run_id
            task.add_done_callback(self._open.pop)

    async def finish(self, seconds: float) -> list[str]:
        """Wait for what is open; returns the ids of runs that did not end in time."""
        if self._open:
            await asyncio.wait(list(self._open), timeout=seconds)
        late = self.open
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        return late

    async def capacity(self, seconds: float) -> float:
        """Return how many runs a second come to their end when there is always one waiting."""
        until = time.monotonic() + seconds
        before = len(self.ended)

        async def lane() -> None:
            while time.monotonic() < until:
                number = next(self._numbers)
                await self._see_to_its_end(number, f"soak_{number}")

        await asyncio.gather(*(lane() for _ in range(_LANES)))
        return sum(it.ended < until for it in self.ended[before:]) / seconds

    async def _see_to_its_end(self, number: int, run_id: str) -> None:
        kind, client, began = MIX[number % len(MIX)], next(self._clients), time.monotonic()
        try:
            found = await _result(kind, client, run_id, number)
        except (HoldfastError, AssertionError) as error:
            self.wrong.append(f"{run_id} ({kind.workflow}): {error!r}")
            return
        self.finished.add(run_id)
        if found != kind.result(number):
            self.wrong.append(f"{run_id} ({kind.workflow}) returned {found}, right is {kind.result(number)}")
            return
        ended = time.monotonic()
        self.ended.append(Ended(kind.workflow, began, ended, ended - began - kind.idle_seconds))


async def _result(kind: Kind, client: Client, run_id: str, number: int) -> object:
    run = await client.start(kind.workflow, number, id=run_id, on_conflict="use_existing")
    if kind.company is not None:
        await kind.company(client, run, number)
    return await run.result()
