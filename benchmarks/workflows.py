"""The workloads: workflows that do nothing but what is measured."""

from __future__ import annotations

import asyncio
import time

from holdfast import Client, hook, sleep, step, step_info, stream, workflow


@workflow(name="empty")
async def empty() -> None:
    return None


@step(name="nothing")
async def nothing(number: int) -> int:
    return number


@step(name="clock")
async def clock() -> float:
    return time.perf_counter()


@step(name="text")
async def text(value: str) -> str:
    return value


@step(name="make_text")
async def make_text(size: int) -> str:
    return "x" * size


@workflow(name="sequential")
async def sequential(steps: int) -> list[float]:
    """Note when the workflow's code has each result."""
    times = []
    for number in range(steps):
        await nothing(number)
        times.append(CLOCK["read"]())
    return times


@workflow(name="count_up")
async def count_up(steps: int) -> int:
    """The same without a look at the clock, so that it can be replayed."""
    total = 0
    for number in range(steps):
        total += await nothing(number)
    return total


@workflow(name="fan_out")
async def fan_out(steps: int) -> int:
    return sum(await asyncio.gather(*(nothing(number) for number in range(steps))))


@workflow(name="race")
async def race(steps: int) -> int:
    tasks = [asyncio.create_task(nothing(number)) for number in range(steps)]
    done, late = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in late:
        task.cancel()
    return len(done)


@workflow(name="texts_in_turn")
async def texts_in_turn(steps: int, size: int) -> list[float]:
    """Pass a text through steps, one after the other."""
    value, times = "x" * size, []
    for _ in range(steps):
        value = await text(value)
        times.append(CLOCK["read"]())
    return times


@workflow(name="texts_at_once")
async def texts_at_once(steps: int, size: int) -> int:
    return sum(map(len, await asyncio.gather(*(text("x" * size) for _ in range(steps)))))


@workflow(name="megabytes")
async def megabytes(count: int) -> int:
    """Fan out over steps that each return a megabyte, and fan in."""
    return sum(map(len, await asyncio.gather(*(make_text(1_000_000) for _ in range(count)))))


@workflow(name="first_step")
async def first_step() -> float:
    return await clock()


@workflow(name="listen")
async def listen(token: str, values: int) -> list[float]:
    """Note when the workflow's code has each value: a step's body would add a round trip of its own."""
    async with hook(float, token=token) as sent:
        lateness = []
        for _ in range(values):
            at = await sent
            lateness.append(CLOCK["read"]() - at)
        return lateness


@workflow(name="naps")
async def naps(count: int, seconds: float) -> list[float]:
    """Note how much longer than asked for each sleep was, by the workflow's code."""
    lateness = []
    for _ in range(count):
        begin = CLOCK["read"]()
        await sleep(seconds)
        lateness.append(CLOCK["read"]() - begin - seconds)
    return lateness


@workflow(name="doze")
async def doze(seconds: float) -> None:
    await sleep(seconds)


#: The wall clock where the guard of workflow bodies does not look, on purpose: the figure is the wall clock's, and
#: the workflow decides nothing from it.
CLOCK = {"read": getattr(time.perf_counter, "__wrapped__", time.perf_counter)}


@step(name="drip_tokens")
async def drip_tokens(tokens: int, seconds: float) -> None:
    """Write the time, over and over, at a steady pace."""
    writer, begin = stream("tokens", type=float), time.perf_counter()
    for number in range(tokens):
        await asyncio.sleep(max(0.0, begin + number * seconds - time.perf_counter()))
        await writer.write(time.perf_counter())
    await writer.close()


@workflow(name="drip")
async def drip(tokens: int, seconds: float) -> None:
    await drip_tokens(tokens, seconds)


@step(name="pour_on")
async def pour_on(chunks: int, size: int, source: int, target: int) -> None:
    """Write chunks to a stream of its own."""
    writer, chunk = stream(f"hop-{target}", type=bytes), bytes([source % 256]) * size
    for _ in range(chunks):
        await writer.write(bytes(chunk[::-1]))
    await writer.close()


@workflow(name="hops")
async def hops(chunks: int, size: int, count: int) -> None:
    """A stream written by each of some steps, one after the other."""
    for number in range(count):
        await pour_on(chunks, size, number, number + 1)


@step(name="turn_round")
async def turn_round(address: str, source: int, target: int) -> None:
    """Read one stream of the run and write what was read, changed, to another, chunk by chunk as it comes."""
    writer = stream(f"hop-{target}", type=bytes)
    async with Client(address) as client:
        async for chunk in client.run(step_info().run_id).stream(f"hop-{source}", type=bytes):
            await writer.write(chunk[::-1])
    await writer.close()


@workflow(name="pipeline")
async def pipeline(address: str, chunks: int, size: int, count: int) -> None:
    """A stream that passes through steps which all run at once, each reading the one before it."""
    turning = (turn_round(address, number, number + 1) for number in range(count))
    await asyncio.gather(pour_on(chunks, size, 0, 0), *turning)


@workflow(name="hops_at_once")
async def hops_at_once(chunks: int, size: int, count: int) -> None:
    await asyncio.gather(*(pour_on(chunks, size, number, number + 1) for number in range(count)))
