"""Stores over one PostgreSQL, as many runtimes, and the network between them that can be cut.

    runtime 0, 1 ──► a list of three proxies ──► store 0, 1, 2 ──► PostgreSQL
    runtime 2    ──► a balancer of connections ──┘          (the last one)

Two ways to reach many stores: gRPC's own choice from a list of addresses, and a balancer of TCP connections that knows
nothing of gRPC. Every process has a wall of its own, minutes from the others'. Checks and senders go to the processes
directly. Read ``storm.py`` for what happens to it.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.replicas.replica import Replica, SkewedWall, Tier
from tests.storms import services
from tests.storms.store_calls import StoreCalls
from tests.support.balancer import Balancer
from tests.support.fault_proxy import FaultProxy

#: Seconds by which walls are wrong, at most.
SKEW_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """See the module."""

    stores: list[Replica]
    runtimes: list[Replica]
    proxies: list[FaultProxy]
    calls: StoreCalls

    def tier(self, tier: Tier) -> list[Replica]:
        return self.stores if tier == "store" else self.runtimes

    @property
    def replicas(self) -> list[Replica]:
        return [*self.stores, *self.runtimes]

    async def stop(self) -> None:
        """Stop everything in good order: runtimes first."""
        for replica in (*self.runtimes, *self.stores):
            await replica.stop()


@asynccontextmanager
async def cluster(folder: Path, database: str, lease: str, rng: random.Random, replicas: int) -> AsyncIterator[Cluster]:
    """Start everything, ``replicas`` of each service."""
    async with AsyncExitStack() as stack:
        stores = [
            await _started(stack, "store", number, services.store(folder, f"store{number}", database=database), rng)
            for number in range(replicas)
        ]
        addresses = [store.address for store in stores]
        proxies = [await stack.enter_async_context(FaultProxy(address)) for address in addresses]
        balancer = await stack.enter_async_context(Balancer(addresses))
        everyone = ",".join(proxy.address for proxy in proxies)
        runtimes = [
            await _started(
                stack, "runtime", number, services.runtime(folder, address, f"runtime{number}", lease=lease), rng
            )
            for number, address in enumerate([*[everyone] * (replicas - 1), balancer.address])
        ]
        calls = await stack.enter_async_context(StoreCalls(",".join(addresses)))
        yield Cluster(stores, runtimes, [*proxies, balancer], calls)


async def _started(
    stack: AsyncExitStack, tier: Tier, number: int, service: services.Service, rng: random.Random
) -> Replica:
    replica = Replica(tier, f"{tier} {number}", service, SkewedWall(rng.uniform(-SKEW_SECONDS, SKEW_SECONDS)))
    stack.push_async_callback(replica.close)
    await replica.start()
    return replica
