"""Store and runtime killed at random places, one to three times a run.

Each process that starts carries a fault at a random commit or batch, as long as the run has crashes left; whoever
dies is started again. The seed decides the places; what is between them is the scheduler's.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack
from pathlib import Path

from tests.crash import client
from tests.crash.outcome import Outcome, Tally
from tests.crash.schedules import audited, judged
from tests.storms import services
from tests.storms.faults import KilledAtAppend, KilledAtCommit
from tests.storms.services import Fault, Service
from tests.storms.store_calls import StoreCalls

CRASHES_MAX = 3

#: About as many as an undisturbed run of ``everything`` has.
APPENDS = 20
COMMITS = 40


async def crash_both(folder: Path, lanes: int, runs: int, seed: int) -> Tally:
    """Let ``runs`` runs live through one to three crashes each."""
    tally = Tally("both killed at random, 1 to 3 times a run")
    began = time.monotonic()
    paths = [folder / f"lane{lane}" for lane in range(lanes)]
    await asyncio.gather(*(_lane(path, runs // lanes, f"{seed}:{path.name}", tally) for path in paths))
    tally.seconds = time.monotonic() - began
    return tally


async def _lane(path: Path, runs: int, seed: str, tally: Tally) -> None:
    rng = random.Random(seed)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(services.store(path.parent, path.name))
        calls = await stack.enter_async_context(StoreCalls(store.address))
        runtime = await stack.enter_async_context(services.runtime(path.parent, store.address, f"{path.name}-rt"))
        for number in range(runs):
            storm = _Storm(rng, store, runtime)
            tally.outcomes.append(await storm.over_one_run(calls, f"run_{number}", f"seed {seed}, run {number}"))
            tally.crashes += storm.crashes
    tally.outcomes.append(await audited(f"sqlite:///{path.with_suffix('.db')}", runs))


class _Storm:
    """The crashes of one run."""

    def __init__(self, rng: random.Random, store: Service, runtime: Service) -> None:
        self.crashes = 0
        self._rng = rng
        self._store = store
        self._runtime = runtime
        self._wanted = rng.randint(1, CRASHES_MAX)
        self._died_at: float | None = None

    async def over_one_run(self, calls: StoreCalls, run_id: str, where: str) -> Outcome:
        keepers: list[asyncio.Task[None]] = []
        try:
            for service in (self._store, self._runtime):
                await service.kill()
                await service.start(self._fault(service))
                # At once: a runtime does not come up while its store is dead.
                keepers.append(asyncio.create_task(self._keep(service)))
            run = asyncio.create_task(client.run_everything(calls, run_id))
            await asyncio.wait({run})
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
        return await judged(where, run, client.wrong_with_everything, self._died_at)

    async def _keep(self, service: Service) -> None:
        """Start a process again whenever it dies."""
        while True:
            await service.died.wait()
            self.crashes += 1
            self._died_at = time.time()
            await service.start(self._fault(service))

    def _fault(self, service: Service) -> Fault | None:
        if self.crashes >= self._wanted:
            return None
        when = self._rng.choice(("before", "after"))
        if service is self._store:
            return KilledAtCommit(self._rng.randint(1, COMMITS), when)
        return KilledAtAppend(self._rng.randint(1, APPENDS), when)
