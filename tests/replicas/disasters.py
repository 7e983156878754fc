"""What happens to replicas: a table of disasters, drawn at random, several at a time.

Owns the choice of victims: of each tier one process at least is left alone, so that work can go on and a measurement
means something. A disaster runs as a task of its own until its victim is itself again. Read ``storm.py`` for the storm
that draws them.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from tests.replicas.cluster import Cluster
from tests.replicas.replica import Replica, Tier

#: Seconds that a process stays dead, that one stands still (longer than the lease), that nobody gets through.
DOWN_SECONDS: Final = (0.0, 1.0)
FROZEN_LEASES: Final = (1.2, 1.8)
UNREACHABLE_SECONDS: Final = (0.0, 0.5)


@dataclass(slots=True)
class Disasters:
    """Draws disasters. ``counts`` is what happened so far; ``before_death`` is called with a runtime that will die."""

    cluster: Cluster
    rng: random.Random
    lease_seconds: float
    before_death: Callable[[Replica], Awaitable[None]]
    counts: Counter[str] = field(default_factory=Counter)
    under_way: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def kills(self) -> int:
        return sum(count for what, count in self.counts.items() if "killed" in what)

    async def strike(self) -> None:
        """Let the next disaster begin; raises what went wrong with an earlier one."""
        (what, _, begin) = self.rng.choices(_KINDS, weights=[weight for _, weight, _ in _KINDS])[0]
        begun = await begin(self)
        if begun is not None:
            self.counts[what] += 1
            task = asyncio.create_task(_run(begun))
            self.under_way.add(task)
        for task in [it for it in self.under_way if it.done()]:
            self.under_way.discard(task)
            task.result()

    async def settle(self) -> None:
        """Wait until everybody is as before."""
        await asyncio.gather(*self.under_way)

    def victim(self, tier: Tier) -> Replica | None:
        """Choose a process that is itself now, if it is not the last of its tier."""
        steady = [it for it in self.cluster.tier(tier) if it.is_steady]
        return self.rng.choice(steady) if len(steady) > 1 else None


Begun = Awaitable[None] | None


async def _kill_runtime(disasters: Disasters) -> Begun:
    if (victim := disasters.victim("runtime")) is None:
        return None
    await disasters.before_death(victim)
    return victim.kill(disasters.rng.uniform(*DOWN_SECONDS))


async def _kill_store(disasters: Disasters) -> Begun:
    victim = disasters.victim("store")
    return None if victim is None else victim.kill(disasters.rng.uniform(*DOWN_SECONDS))


async def _stop_any(disasters: Disasters) -> Begun:
    victim = disasters.victim(disasters.rng.choice(("store", "runtime")))
    return None if victim is None else victim.leave(0.0)


def _freeze(tier: Tier) -> Callable[[Disasters], Awaitable[Begun]]:
    async def freeze(disasters: Disasters) -> Begun:
        victim = disasters.victim(tier)
        seconds = disasters.lease_seconds * disasters.rng.uniform(*FROZEN_LEASES)
        return None if victim is None else victim.pause(seconds)

    return freeze


async def _cut(disasters: Disasters) -> Begun:
    disasters.rng.choice(disasters.cluster.proxies).cut()
    return asyncio.sleep(0)


async def _unreachable(disasters: Disasters) -> Begun:
    proxy = disasters.rng.choice(disasters.cluster.proxies)

    async def hide() -> None:
        with proxy.unreachable():
            await asyncio.sleep(disasters.rng.uniform(*UNREACHABLE_SECONDS))

    return hide()


async def _run(begun: Awaitable[None]) -> None:
    await begun


#: What happens, how often beside the others, and how it begins: with the work of it, or None when there is no victim.
_KINDS: Final[tuple[tuple[str, int, Callable[[Disasters], Awaitable[Begun]]], ...]] = (
    ("runtimes killed", 8, _kill_runtime),
    ("stores killed", 8, _kill_store),
    ("processes stopped in order", 1, _stop_any),
    ("runtimes frozen", 1, _freeze("runtime")),
    ("stores frozen", 1, _freeze("store")),
    ("connections cut", 2, _cut),
    ("stores unreachable", 1, _unreachable),
)
