"""The workflows that the worker's tests run."""

from __future__ import annotations

import asyncio
from typing import Any

from holdfast import RetryPolicy, hook, set_attributes, sleep, step, workflow

#: How often each step body ran, by its argument; the tests clear it.
RUNS: dict[str, int] = {}

#: How many attempts of ``weight`` run, and how many are to end together.
HEAVY: dict[str, int] = {}


@step(name="worker-count")
async def count(name: str) -> str:
    RUNS[name] = RUNS.get(name, 0) + 1
    return name


@step(name="worker-flaky", retry=RetryPolicy(max_attempts=3, initial_interval=0.01, jitter=0))
def flaky(name: str) -> str:
    RUNS[name] = RUNS.get(name, 0) + 1
    if RUNS[name] < 3:
        raise ValueError(f"attempt {RUNS[name]}")
    return name


@step(name="worker-stubborn", retry=RetryPolicy(max_attempts=2, initial_interval=0.01, jitter=0))
async def stubborn() -> None:
    raise KeyError("never")


@step(name="worker-slow")
async def slow(seconds: float) -> str:
    try:
        await asyncio.sleep(seconds)
        return "slept"
    except asyncio.CancelledError:
        RUNS["slow was cancelled"] = 1
        raise


@workflow(name="worker-approval")
async def approval(token: str, seconds: float) -> str:
    """Wait for a value, but not for ever."""
    async with hook(str, token=token) as answers:
        try:
            async with asyncio.timeout(seconds):
                return "got " + await answers
        except TimeoutError:
            return "nothing came"


@workflow(name="worker-step_then_value")
async def step_then_value(token: str) -> list[str]:
    """A step's result and a hook's value race."""
    seen: list[str] = []

    async def work() -> None:
        seen.append(await count("work"))
        seen.append(await count("after work"))

    async with hook(str, token=token) as answers, asyncio.TaskGroup() as group:
        group.create_task(work())
        seen.append(await answers)
    return seen


@workflow(name="worker-everything")
async def everything(token: str) -> list[Any]:
    """Every primitive once."""
    results: list[Any] = [await flaky("f"), *await asyncio.gather(count("a"), count("b"))]
    await sleep("50ms")
    await set_attributes(stage="waiting")
    async with hook(int, token=token) as numbers:
        async for number in numbers:
            results.append(number)
            if number == 0:
                break
    try:
        async with asyncio.timeout(0.05):
            await slow(30)
    except TimeoutError:
        results.append("timed out")
    return results


@workflow(name="worker-wide")
async def wide(width: int) -> int:
    return len(await asyncio.gather(*(count(f"w{number}") for number in range(width))))


@workflow(name="worker-three_steps")
async def three_steps() -> list[str]:
    return [await count("one"), await count("two"), await count("three")]


@workflow(name="worker-fails")
async def fails() -> None:
    await stubborn()


@workflow(name="worker-cleans_up")
async def cleans_up() -> None:
    try:
        await slow(30)
    finally:
        await count("cleaned up")


@workflow(name="worker-collect")
async def collect(token: str) -> list[int]:
    """Take numbers until 0, under a deadline that is always about to pass."""
    taken: list[int] = []
    async with hook(int, token=token) as numbers:
        while not taken or taken[-1]:
            try:
                async with asyncio.timeout(0.1):
                    taken.append(await numbers)
            except TimeoutError:
                continue
    return taken


@step(name="worker-weight")
async def weight(size: int) -> str:
    HEAVY["waiting"] = HEAVY.get("waiting", 0) + 1
    while HEAVY["waiting"] < HEAVY["expected"]:  # noqa: ASYNC110 - they end in the same turn of the loop
        await asyncio.sleep(0)
    return "x" * size


@workflow(name="worker-heavy")
async def heavy(count: int, size: int) -> int:
    HEAVY.update(expected=count, waiting=0)
    return sum(len(text) for text in await asyncio.gather(*(weight(size) for _ in range(count))))


@workflow(name="worker-many_naps")
async def many_naps(count: int) -> int:
    naps = [asyncio.create_task(sleep(0.2)) for _ in range(count)]
    await asyncio.gather(*naps)
    return len(naps)


@workflow(name="worker-listens")
async def listens(token: str) -> str:
    async with hook(str, token=token) as answers:
        return "got " + await answers


ALL = (
    *(count, flaky, stubborn, slow, weight, heavy, many_naps),
    *(approval, listens, collect, three_steps, step_then_value, everything, wide, fails, cleans_up),
)
