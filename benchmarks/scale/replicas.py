"""Stores and runtimes side by side over one PostgreSQL: steps a second, and what a step takes.

Every process is a real one. Runtimes are spread over the stores, runs over the runtimes. On a machine of two cores more
processes cannot be faster than the cores are; the figures say what coming together in one database costs.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from benchmarks.figures import Figure, of_samples
from benchmarks.processes import address_of, cpu_of, end, running_store, start_runtime
from holdfast import Client

#: (stores, runtimes).
SHAPES: Final = ((1, 1), (1, 2), (2, 1), (2, 2))
_IN_FLIGHT: Final = 64
_STEPS: Final = 10
_ALONE_STEPS: Final = 200


async def measure(database: str, folder: Path, shape: tuple[int, int], runs: int, engine: str) -> list[Figure]:
    """Run ``runs`` runs of ten steps, 64 in flight, and one run alone, on stores and runtimes of a shape."""
    stores, runtimes = shape
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(running_store(database, folder / f"counts-{stores}{runtimes}-{number}"))
            for number in range(stores)
        ]
        clients, processes = [], []
        for number in range(runtimes):
            process = await start_runtime(opened[number % stores].address, "127.0.0.1:0")
            stack.push_async_callback(end, process)
            processes.append(process)
            clients.append(await stack.enter_async_context(Client(await address_of(process))))
        alone = await _gaps(clients[0], min(_ALONE_STEPS, runs))
        await _in_flight(clients, max(_IN_FLIGHT, runs // 10))
        cpu, begin = sum(map(cpu_of, [*processes, *(it.process for it in opened)])), time.perf_counter()
        gaps = await _in_flight(clients, runs)
        seconds = time.perf_counter() - begin
        cpu = sum(map(cpu_of, [*processes, *(it.process for it in opened)])) - cpu
    steps = runs * _STEPS
    named = f"{engine}, {stores} store{'s' * (stores > 1)} × {runtimes} runtime{'s' * (runtimes > 1)}"
    return [
        of_samples(f"{named}: a step, one run alone", alone[10:]),
        Figure(f"{named}: steps a second, {_IN_FLIGHT} runs in flight", steps / seconds, "/s", is_more_better=True),
        of_samples(f"{named}: a step, {_IN_FLIGHT} runs in flight", gaps),
        Figure(f"{named}: CPU of all services a step", cpu / steps * 1000, "ms"),
    ]


async def _gaps(client: Client, steps: int) -> list[float]:
    run = await client.start("sequential", steps)
    times = await run.result(timeout="2m")
    return [(later - earlier) * 1000 for earlier, later in itertools.pairwise(times)]


async def _in_flight(clients: list[Client], count: int) -> list[float]:
    """Return the ms between the results of neighbouring steps, of all runs."""
    left, gaps = iter(range(count)), []

    async def keep_running() -> None:
        for number in left:
            gaps.extend(await _gaps(clients[number % len(clients)], _STEPS))

    await asyncio.gather(*(keep_running() for _ in range(_IN_FLIGHT)))
    return gaps
