"""Many runs at once: throughput and what it costs, takeover after a death, memory of runs that sleep, an idle pair."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.figures import Figure
from benchmarks.workloads import Bench

_IN_FLIGHT = 64
_STEPS = 10


async def idle(bench: Bench) -> list[Figure]:
    """Memory, and statements of nothing to do; first of all, before anything warmed up."""
    await asyncio.sleep(2)
    before = await bench.services.usage()
    await asyncio.sleep(4)
    after = await bench.services.usage()
    store, runtime = bench.services.rss()
    started = bench.services.started_seconds
    return [
        Figure("SQL statements a second, idle", (after.statements - before.statements) / 4, "/s", "1 a second", 1, 1.0),
        Figure("memory of the store, idle", store / 1e6, "MB", "80 MB", 80, 1.0),
        Figure("memory of the runtime, idle", runtime / 1e6, "MB", "80 MB", 80, 1.0),
        Figure("store, start → serving", started[0], "s", "1 s", 1, 1.0),
        Figure("runtime, start → serving", started[1], "s", "1 s", 1, 1.0),
    ]


async def throughput(bench: Bench) -> list[Figure]:
    return await _throughput(bench, bench.rounds(1_000))


async def much_throughput(bench: Bench) -> list[Figure]:
    return await _throughput(bench, 10_000)


async def _throughput(bench: Bench, runs: int) -> list[Figure]:
    """Runs of ten steps, 64 in flight."""
    before, begin = await bench.services.usage(), time.perf_counter()
    await _in_flight(bench, runs, "sequential", _STEPS)
    seconds, after = time.perf_counter() - begin, await bench.services.usage()
    steps = runs * _STEPS
    name = f"{runs:,} runs × {_STEPS} steps, {_IN_FLIGHT} in flight"
    return [
        Figure(
            name,
            steps / seconds,
            "steps/s",
            "half the echoes a second" if bench.is_on_sqlite else "the same on SQLite",
            bench.sqlite_rate or bench.floors.echo_rate / 2,
            4.0 if bench.is_on_sqlite else 0.6,
            is_more_better=True,
        ),
        Figure(f"{name}: commits a step", (after.commits - before.commits) / steps, "", "0.1", 0.1, 1.0),
        Figure(f"{name}: CPU of the store a step", (after.store_cpu - before.store_cpu) / steps * 1000, "ms"),
        Figure(f"{name}: CPU of the runtime a step", (after.runtime_cpu - before.runtime_cpu) / steps * 1000, "ms"),
    ]


async def takeover(bench: Bench) -> list[Figure]:
    """Runs in the middle of their steps, a runtime killed, another one started: until every one has ended."""
    count = bench.rounds(1_000)
    runs = await asyncio.gather(*(bench.client.start("naps", 1, 0.5) for _ in range(count)))
    await bench.services.kill_runtime()
    begin = time.perf_counter()
    await bench.services.start_runtime()
    await asyncio.gather(*(run.result(timeout="2m") for run in runs))
    return [Figure(f"cold takeover of {count:,} runs, lease included", time.perf_counter() - begin, "s")]


async def sleeping(bench: Bench) -> list[Figure]:
    """What a run that sleeps for an hour leaves in the memory of both processes."""
    count = bench.rounds(2_000)
    before = sum(bench.services.rss())
    async with _asleep(bench, count):
        await asyncio.sleep(3)
        grown = (sum(bench.services.rss()) - before) / count
    return [Figure("memory of a sleeping run, both processes", grown / 1000, "KB", "4 KB", 4, 1.0)]


@asynccontextmanager
async def _asleep(bench: Bench, count: int) -> AsyncIterator[None]:
    runs = [await bench.client.start("naps", 1, 3600.0) for _ in range(count)]
    try:
        yield
    finally:
        await bench.client.cancel_many([run.id for run in runs], force=True)


async def _in_flight(bench: Bench, count: int, workflow: str, *arguments: object) -> None:
    left = iter(range(count))

    async def keep_running() -> None:
        for _ in left:
            run = await bench.client.start(workflow, *arguments)
            await run.result(timeout="2m")

    await asyncio.gather(*(keep_running() for _ in range(_IN_FLIGHT)))
