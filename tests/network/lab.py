"""A store, two runtimes and a client, each a process of its own or this one, with a network that can be spoilt between.

    runtimes ──► `to_store` ──► store           client ──► `to_runtimes[n]` ──► runtime n

Every arrow is a `FaultProxy`; with ``doubling`` the calls of the runtimes also pass an `RpcProxy`. The checks go to the
store directly. ``run_through`` is the whole experiment: runs start, the weather blows until they have ended or its time
is over, and then everything has to be as if there had been none: results, one end for each step, values as their
senders were told, a log that keeps every law, an empty queue.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from holdfast import Client
from tests.checkers.log_audit import audit_file
from tests.storms import services
from tests.storms.senders import Senders, Told
from tests.storms.store_calls import PATIENCE_SECONDS, StoreCalls
from tests.storms.test_ledger_storm import BRANCHES, ROUND_SECONDS, ROUNDS, balance
from tests.storms.workflows import EVERYTHING
from tests.support.fault_proxy import FaultProxy
from tests.support.rpc_proxy import CallFault, RpcProxy, passing
from tests.support.session_faults import Flows, Passing

#: Ledgers, and as many runs of everything, for each fault; `make storm` raises it.
RUNS = int(os.environ.get("HOLDFAST_NETWORK_RUNS", "1"))
SEED = int(os.environ.get("HOLDFAST_STORM_SEED", "20240229"))

#: Seconds after which weather that still blows is stopped, and seconds that runs may take from then on.
WEATHER_SECONDS = 1.0 + 0.5 * RUNS
RUN_SECONDS = 20.0 + 6 * float(os.environ.get("HOLDFAST_PAUSE_SECONDS", "0"))

Weather = Callable[["Lab"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Lab:
    """See the module. ``told`` is what senders of values heard."""

    folder: Path
    store: services.Service
    calls: StoreCalls
    runtimes: list[services.Service]
    to_store: FaultProxy
    to_runtimes: list[FaultProxy]
    rng: random.Random

    @property
    def proxies(self) -> list[FaultProxy]:
        return [self.to_store, *self.to_runtimes]

    def clear(self) -> None:
        """Let every proxy pass everything on."""
        for proxy in self.proxies:
            proxy.clear()

    def any_proxy(self) -> FaultProxy:
        return self.rng.choice([self.to_store, self.to_store, *self.to_runtimes])

    async def pause(self, least: float, most: float) -> None:
        await asyncio.sleep(self.rng.uniform(least, most))

    async def run_through(self, weather: Weather, seconds: float = WEATHER_SECONDS) -> None:
        """Do the whole experiment, see the module."""
        senders = Senders(self.calls, [it.address for it in self.to_runtimes], self.rng, ROUND_SECONDS)
        sending = asyncio.create_task(senders.run())
        blowing = asyncio.create_task(_blow(weather, self, seconds))
        names = [f"run_{number}" for number in range(RUNS)]
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(Client(it.address, patience=PATIENCE_SECONDS))
                for it in self.to_runtimes
            ]
            try:
                results = await asyncio.gather(
                    *(_everything(self.rng.choice(clients), f"{name}_everything") for name in names),
                    *(_ledger(self.rng.choice(clients), f"{name}_ledger") for name in names),
                )
                await blowing
            finally:
                for task in (sending, blowing):
                    task.cancel()
            await asyncio.gather(sending, blowing, return_exceptions=True)
            await senders.finish()
        assert results[:RUNS] == [EVERYTHING] * RUNS
        await self._check(names, senders.told)

    async def _check(self, names: list[str], told: Told) -> None:
        logs = {}
        for run_id in [f"{name}_{kind}" for name in names for kind in ("everything", "ledger")]:
            logs[run_id] = await self.calls.ended(run_id, RUN_SECONDS)
            await self.calls.emptied(run_id, RUN_SECONDS)
        for run_id, log in logs.items():
            ends = Counter(event.correlation_id for event in log if event.HasField("step_completed"))
            assert set(ends.values()) <= {1}, f"{run_id}: {ends}"
            if run_id.endswith("ledger"):
                assert list(balance(run_id, log, told)) == []
        await self.stop()
        for runtime in self.runtimes:
            assert "run blocked" not in runtime.log, runtime.log[-4000:]
        audit = await audit_file(self.folder / "store.db")
        assert audit.findings == []
        assert audit.messages == []

    async def stop(self) -> None:
        for service in (*self.runtimes, self.store):
            assert not service.died.is_set(), service.log[-4000:]
            await service.stop()


@asynccontextmanager
async def laboratory(
    folder: Path, fault: CallFault | None = None, flows: Flows | None = None, **runtime: str
) -> AsyncIterator[Lab]:
    """Start everything, with clear weather.

    With a ``fault`` the runtimes' unary calls suffer it all the time, with ``flows`` their sessions.
    """
    rng = random.Random(SEED)
    print(f"{2 * RUNS} runs, seed {SEED} (HOLDFAST_NETWORK_RUNS, HOLDFAST_STORM_SEED)")
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        store = await enter(services.store(folder))
        target = store.address
        if fault or flows:
            proxy = RpcProxy(store.address, fault or passing, flows or (lambda method: Passing()))
            target = (await enter(proxy)).address
        to_store = await enter(FaultProxy(target))
        runtimes = [services.runtime(folder, to_store.address, f"runtime{number}", **runtime) for number in range(2)]
        for service in runtimes:
            await enter(service)
        to_runtimes = [await enter(FaultProxy(service.address)) for service in runtimes]
        yield Lab(folder, store, await enter(StoreCalls(store.address)), runtimes, to_store, to_runtimes, rng)


async def _blow(weather: Weather, lab: Lab, seconds: float) -> None:
    """Let it blow for some seconds; afterwards it is clear."""
    try:
        async with asyncio.timeout(seconds):
            await weather(lab)
    except TimeoutError:
        pass
    lab.clear()


async def _everything(client: Client, run_id: str) -> object:
    run = await client.start("storm.everything", id=run_id)
    return await run.result(timeout=RUN_SECONDS)


async def _ledger(client: Client, run_id: str) -> object:
    run = await client.start("storm.ledger", BRANCHES, ROUNDS, ROUND_SECONDS, id=run_id)
    return await run.result(timeout=RUN_SECONDS)
