"""What happens to the processes of a soak while it lasts: one fault after the other, each at its time.

`FAULTS` is the table. A fault does something, waits as long as it lasts, and undoes it; what is left of it (leases of
the dead, connections that open again) is over `SETTLE_SECONDS` later, and only runs that met neither count for
latencies. Which comes when is drawn like cards: all of them before one comes again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tests.soak.cluster import Cluster
from tests.soak.load import Load
from tests.storms.services import Service

SETTLE_SECONDS: Final = 8.0

#: Runs that a burst starts at once: three times what the store's queue of writes takes.
BURST: Final = 200

#: Share of the time of a soak in which a store that has no replica may be killed: its last life has to be a long one.
_SINGLE_STORE_DIES_UNTIL: Final = 0.2

_DOWN_SECONDS: Final = 1.0
_FROZEN_SECONDS: Final = 6.0
_STALLED_SECONDS: Final = 2.0
_HANGING_SECONDS: Final = 15.0
_CUTS: Final = 5
_CUT_AFTER_BYTES: Final = (1, 400)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault acts on."""

    cluster: Cluster
    load: Load
    rng: random.Random


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of the table. ``kills_a_store``: not done late to a store without a replica."""

    name: str
    act: Callable[[Scene], Awaitable[None]]
    kills_a_store: bool = False


@dataclass(frozen=True, slots=True)
class Happened:
    """A fault that was there, from and to (monotonic seconds)."""

    name: str
    began: float
    ended: float


async def kill_a_runtime(scene: Scene) -> None:
    await _killed(scene.cluster.runtimes[-1])


async def kill_a_store(scene: Scene) -> None:
    await _killed(scene.cluster.stores[-1])


async def _killed(service: Service) -> None:
    await service.kill()
    await asyncio.sleep(_DOWN_SECONDS)
    await service.start()


async def stop_a_runtime(scene: Scene) -> None:
    """In good order, as a deployment does."""
    runtime = scene.cluster.runtimes[-1]
    await runtime.stop()
    await runtime.start()


async def freeze_a_runtime(scene: Scene) -> None:
    await _frozen(scene.rng.choice(scene.cluster.runtimes))


async def freeze_a_store(scene: Scene) -> None:
    await _frozen(scene.rng.choice(scene.cluster.stores))


async def _frozen(service: Service) -> None:
    service.freeze()
    try:
        await asyncio.sleep(_FROZEN_SECONDS)
    finally:
        service.thaw()


async def cut_everything(scene: Scene) -> None:
    for proxy in scene.cluster.proxies:
        proxy.cut()


async def cut_inside_frames(scene: Scene) -> None:
    for _ in range(_CUTS):
        proxy = scene.rng.choice(scene.cluster.proxies)
        scene.rng.choice((proxy.up, proxy.down)).cut_after = scene.rng.randint(*_CUT_AFTER_BYTES)
        await asyncio.sleep(scene.rng.uniform(0.1, 0.4))
    for proxy in scene.cluster.proxies:
        proxy.clear()


async def deafen(scene: Scene) -> None:
    """Requests get through and answers do not."""
    proxy = scene.rng.choice(scene.cluster.proxies)
    with proxy.stalled(proxy.down):
        await asyncio.sleep(_STALLED_SECONDS)


async def part(scene: Scene) -> None:
    """Nobody gets through to one of the stores or runtimes."""
    with scene.rng.choice(scene.cluster.proxies).unreachable():
        await asyncio.sleep(_STALLED_SECONDS)


async def strand(scene: Scene) -> None:
    """Connections hang until pings find out."""
    scene.rng.choice(scene.cluster.to_stores).strand()
    await asyncio.sleep(_HANGING_SECONDS)


async def burst(scene: Scene) -> None:
    """More starts at once than the store's queue of writes takes."""
    scene.load.start_many(BURST)


FAULTS: Final[tuple[Fault, ...]] = (
    Fault("runtime killed", kill_a_runtime),
    Fault("runtime stopped", stop_a_runtime),
    Fault("runtime stands still", freeze_a_runtime),
    Fault("store killed", kill_a_store, kills_a_store=True),
    Fault("store stands still", freeze_a_store),
    Fault("connections cut", cut_everything),
    Fault("connections cut inside frames", cut_inside_frames),
    Fault("answers held back", deafen),
    Fault("nobody gets through", part),
    Fault("connections hang", strand),
    Fault("burst of starts", burst),
)


async def strike(scene: Scene, until: float, every_seconds: float) -> list[Happened]:
    """Do a fault every so many seconds as long as one has time to be over; returns what happened."""
    began, happened = time.monotonic(), list[Happened]()
    single_until = began + _SINGLE_STORE_DIES_UNTIL * (until - began)
    cards = _drawn(scene.rng)
    due = began + every_seconds / 2
    while due + every_seconds / 2 < until:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        fault = next(cards)
        while fault.kills_a_store and not scene.cluster.has_replicas and time.monotonic() > single_until:
            fault = next(cards)
        at = time.monotonic()
        await fault.act(scene)
        happened.append(Happened(fault.name, at, time.monotonic()))
        due = max(due + every_seconds, time.monotonic())
    return happened


def _drawn(rng: random.Random) -> Iterator[Fault]:
    while True:
        yield from rng.sample(FAULTS, len(FAULTS))
