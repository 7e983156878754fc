"""`python -m benchmarks.testing`: what a test of a workflow costs, environment and all.

A run that does a step and sleeps for thirty days, in a fresh `Environment` each time: the milliseconds of CPU, which
other work on the machine does not change, and those of the wall. The promise is ten.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

from holdfast import sleep, step, workflow
from holdfast.testing import Environment

_TIMES = 100
_MS_MAX = 10.0


@step(name="bench.note")
async def note() -> str:
    return "noted"


@workflow(name="bench.month")
async def month() -> str:
    noted = await note()
    await sleep("30d")
    return noted


async def once() -> tuple[float, float]:
    """Return the milliseconds of CPU and of the wall that one test takes."""
    begun, begun_wall = time.process_time(), time.perf_counter()
    async with Environment() as env:
        await env.run(month)
    return (time.process_time() - begun) * 1000, (time.perf_counter() - begun_wall) * 1000


async def main() -> int:
    await once()
    taken = [await once() for _ in range(_TIMES)]
    cpu, wall = (statistics.median(times) for times in zip(*taken, strict=True))
    print(f"a month of waiting: {cpu:.1f} ms of CPU (at most {_MS_MAX:g}), {wall:.1f} ms of the wall")
    return int(cpu > _MS_MAX)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
