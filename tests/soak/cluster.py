"""The processes of a soak, and the network between them that faults can spoil.

    client ──► `to_runtimes[n]` ──► runtime n ──► `to_stores[n]` ──► a store

On SQLite there is one store, on PostgreSQL one for each runtime. Number 0 of runtimes and of PostgreSQL's stores is
never killed, so that one life of each lasts as long as the soak: a leak shows in a long life only. Read ``faults.py``
for what is done to them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast import Client
from tests.storms import services
from tests.storms.services import Service
from tests.storms.store_calls import StoreCalls
from tests.support.fault_proxy import FaultProxy

RUNTIMES: Final = 2

#: Short beside the time between two faults, so that what a dead runtime held is taken up well before the next one.
LEASE: Final = "5s"

#: A small queue of writes, so that a burst of starts fills it and is told to come again.
PENDING_WRITES_MAX: Final = 64

#: Seconds that a client goes on trying: beyond any fault.
PATIENCE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Cluster:
    """See the module. ``calls`` reach the store that is never killed by itself, without a proxy."""

    url: str
    stores: list[Service]
    runtimes: list[Service]
    to_stores: list[FaultProxy]
    to_runtimes: list[FaultProxy]
    clients: list[Client]
    calls: StoreCalls

    @property
    def has_replicas(self) -> bool:
        return len(self.stores) > 1

    @property
    def proxies(self) -> list[FaultProxy]:
        return [*self.to_stores, *self.to_runtimes]

    def services(self) -> Iterator[tuple[str, Service]]:
        """Yield every process with its name."""
        yield from ((f"store {number}", it) for number, it in enumerate(self.stores))
        yield from ((f"runtime {number}", it) for number, it in enumerate(self.runtimes))

    async def stop(self) -> None:
        """End everything in good order, runtimes first."""
        for service in (*self.runtimes, *self.stores):
            await service.stop()


@asynccontextmanager
async def running_cluster(folder: Path, url: str) -> AsyncIterator[Cluster]:
    """Start everything on a database; processes that still run at the end are killed."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        options = {"database": url, "pending_writes_max": PENDING_WRITES_MAX}
        count = RUNTIMES if url.startswith("postgres") else 1
        stores = [await enter(services.store(folder, f"store{it}", **options)) for it in range(count)]
        to_stores = [await enter(FaultProxy(stores[it % count].address)) for it in range(RUNTIMES)]
        runtimes = [
            await enter(_runtime(folder, f"runtime{number}", proxy.address)) for number, proxy in enumerate(to_stores)
        ]
        to_runtimes = [await enter(FaultProxy(it.address)) for it in runtimes]
        clients = [await enter(Client(it.address, patience=PATIENCE_SECONDS)) for it in to_runtimes]
        calls = await enter(StoreCalls(stores[0].address))
        yield Cluster(url, stores, runtimes, to_stores, to_runtimes, clients, calls)


def _runtime(folder: Path, name: str, store: str) -> Service:
    return services.runtime(folder, store, name, module="tests.soak.workflows", lease=LEASE, http="")
