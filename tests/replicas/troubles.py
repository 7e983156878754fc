"""What happens to the database of replicas: its processes are killed at their work, its network is spoilt, and it
fails over.

Owns the troubles, one function each, in the order in which ``test_failing_database.py`` lets them happen while ledger
runs go on. The stores reach the primary and its standby through a `FaultProxy` each, by a URL that names both; the
weathers are those between runtimes and stores (``tests/network``).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import cast

from tests.network.lab import Lab
from tests.network.test_network_faults import WEATHERS
from tests.support.fault_proxy import FaultProxy
from tests.support.postgres import PostgresServer, Standby

NAME = "holdfast"

#: Seconds of work between two troubles, and of each weather.
CALM_SECONDS = (0.2, 0.5)
WEATHER_SECONDS = 0.35

#: How long the primary is gone before the standby is told to take over.
NOTICED_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Database:
    """A primary, its synchronous standby, and the network in front of both."""

    primary: PostgresServer
    standby: Standby
    proxies: list[FaultProxy]
    rng: random.Random

    @property
    def url(self) -> str:
        """What stores are told: both hosts."""
        return f"postgresql://postgres@{','.join(proxy.address for proxy in self.proxies)}/{NAME}"

    def any_proxy(self) -> FaultProxy:
        return self.proxies[0]

    async def pause(self, least: float, most: float) -> None:
        await asyncio.sleep(self.rng.uniform(least, most))


@contextlib.contextmanager
def primary_and_standby() -> Iterator[tuple[PostgresServer, Standby]]:
    """Start two servers; a commit of the first is answered when both have it."""
    with contextlib.ExitStack() as stack:
        primary = PostgresServer()
        stack.callback(primary.close)
        primary.execute(f"CREATE DATABASE {NAME}")
        standby = Standby(primary)
        stack.callback(standby.close)
        standby.follow_surely()
        yield primary, standby


async def kill_sessions(database: Database) -> None:
    """SIGKILL a session at its work, twice: the server ends all others, and recovers."""
    for _ in range(2):
        with contextlib.suppress(Exception):
            database.primary.kill_backend(database.primary.url(NAME))
        await database.pause(*CALM_SECONDS)


async def kill_the_server(database: Database) -> None:
    """SIGKILL all of its processes and start it again."""
    database.primary.vanish()
    database.primary.start()
    await database.pause(*CALM_SECONDS)


async def spoil_the_network(database: Database) -> None:
    """One weather after the other."""
    for weather in WEATHERS:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WEATHER_SECONDS):
                await weather(cast(Lab, database))
        database.proxies[0].clear()


async def fail_over(database: Database) -> None:
    """Kill the primary for good and promote the standby."""
    database.primary.vanish()
    await asyncio.sleep(NOTICED_SECONDS)
    await asyncio.to_thread(database.standby.promote)
    await database.pause(*CALM_SECONDS)
    await database.pause(*CALM_SECONDS)


#: What can happen again and again.
RECURRING: tuple[Callable[[Database], Awaitable[None]], ...] = (kill_sessions, kill_the_server, spoil_the_network)
