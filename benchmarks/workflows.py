"""The workloads: workflows that do nothing but what is measured."""

from __future__ import annotations

import asyncio
import time

from holdfast import hook, sleep, step, stream, workflow


@workflow(name="empty")
async def empty() -> None:
    return None


@step(name="nothing")
async def nothing(number: int) -> int:
    return number


@step(name="clock")
async def clock() -> float:
    return time.time()


@workflow(name="sequential")
async def sequential(steps: int) -> int:
    total = 0
    for number in range(steps):
        total += await nothing(number)
    return total


@workflow(name="fan_out")
async def fan_out(steps: int) -> int:
    return sum(await asyncio.gather(*(nothing(number) for number in range(steps))))


@workflow(name="listen")
async def listen(token: str, values: int) -> list[float]:
    """Note when the workflow's code has each value: a step's body would add a round trip of its own."""
    async with hook(float, token=token) as sent:
        lateness = []
        for _ in range(values):
            at = await sent
            lateness.append(CLOCK["read"]() - at)
        return lateness


#: The wall clock where the guard of workflow bodies does not look, on purpose: the figure is the wall clock's, and
#: the workflow decides nothing from it.
CLOCK = {"read": time.perf_counter}


@workflow(name="nap")
async def nap(seconds: float) -> None:
    await sleep(seconds)


@step(name="pour_chunks")
async def pour_chunks(chunks: int, size: int) -> float:
    """Write chunks as fast as they are taken; returns when the first was written."""
    writer, chunk = stream("bytes", type=bytes), b"x" * size
    began_at = time.perf_counter()
    for _ in range(chunks):
        await writer.write(chunk)
    await writer.close()
    return began_at


@step(name="drip_tokens")
async def drip_tokens(tokens: int, seconds: float) -> None:
    """Write the time, over and over, at a steady pace."""
    writer, begin = stream("tokens", type=float), time.perf_counter()
    for number in range(tokens):
        await asyncio.sleep(max(0.0, begin + number * seconds - time.perf_counter()))
        await writer.write(time.perf_counter())
    await writer.close()


@workflow(name="pour")
async def pour(chunks: int, size: int) -> float:
    return await pour_chunks(chunks, size)


@workflow(name="drip")
async def drip(tokens: int, seconds: float) -> None:
    await drip_tokens(tokens, seconds)
