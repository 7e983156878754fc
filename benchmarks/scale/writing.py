"""A million events written by two services that stay up: their memory then, against that after the first tenth.

Flat means that nothing is kept of what was done. The first tenth is what caches, pools and allocators fill up in.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from benchmarks.figures import Figure
from benchmarks.processes import running_services
from holdfast import Client

_STEPS: Final = 10
#: run_created, run_started, three events a step, run_completed.
EVENTS_A_RUN: Final = 3 + 3 * _STEPS
_IN_FLIGHT: Final = 64
#: How much more than after a tenth is still flat.
_FLAT: Final = 1.1


async def measure(database: str, folder: Path, events: int, engine: str) -> list[Figure]:
    """Write ``events`` events and compare the memory of store and runtime with that after a tenth of them."""
    async with running_services(folder, database=database) as services, Client(services.runtime_address) as client:
        runs = events // EVENTS_A_RUN
        await _run(client, runs // 10)
        early = services.rss()
        await _run(client, runs - runs // 10)
        late = services.rss()
    return [
        Figure(
            f"{engine}, memory of the {name} after {events:,} events",
            now / 1e6,
            "MB",
            "that after a tenth",
            then / 1e6,
            _FLAT,
        )
        for name, then, now in zip(("store", "runtime"), early, late, strict=True)
    ]


async def _run(client: Client, count: int) -> None:
    left = iter(range(count))

    async def keep_running() -> None:
        for _ in left:
            run = await client.start("count_up", _STEPS)
            await run.result(timeout="2m")

    await asyncio.gather(*(keep_running() for _ in range(_IN_FLIGHT)))
