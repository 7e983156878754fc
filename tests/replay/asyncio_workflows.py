"""Workflows that use each primitive of asyncio, with what they must return: the table of test_replay_asyncio.py.

In a module of its own so that other processes can import it (test_replay_oracle.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from holdfast import StepFailed, hook, random, set_attributes, sleep, step, uuid4, workflow
from tests.replay.rehearsal import Rehearsal, event


@step(name="double")
async def double(n: int) -> int:
    return 2 * n


@step(name="refuse")
def refuse(n: int) -> int:
    raise ValueError(f"no {n}")


@workflow(name="sequential")
async def sequential() -> int:
    total = 0
    for n in range(4):
        total += await double(n)
    return total


@workflow(name="gathering")
async def gathering() -> list[int]:
    return list(await asyncio.gather(*(double(n) for n in range(6))))


@workflow(name="gathering_errors")
async def gathering_errors() -> list[str]:
    found = await asyncio.gather(double(1), refuse(2), double(3), return_exceptions=True)
    return [type(it).__name__ if isinstance(it, BaseException) else str(it) for it in found]


@workflow(name="waiting_for_the_first")
async def waiting_for_the_first() -> int:
    tasks = {asyncio.create_task(double(n)) for n in range(5)}
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return len(done) + len(pending)


@workflow(name="waiting_with_a_timeout")
async def waiting_with_a_timeout() -> list[int]:
    fast, slow = asyncio.create_task(double(1)), asyncio.create_task(asyncio.sleep(3600))
    done, pending = await asyncio.wait({fast, slow}, timeout=60)
    for task in pending:
        task.cancel()
    return [len(done), len(pending)]


@workflow(name="as_completed_of_coroutines")
async def as_completed_of_coroutines() -> int:
    total = 0
    for soonest in asyncio.as_completed([double(n) for n in range(6)]):
        total += await double(await soonest)
    return total


@workflow(name="grouping")
async def grouping() -> int:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(double(n)) for n in range(4)]
    return sum(task.result() for task in tasks)


@workflow(name="group_that_fails")
async def group_that_fails() -> str:
    cause = "nothing"
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(refuse(1))
            for _ in range(3):
                group.create_task(asyncio.sleep(3600))
    except* StepFailed as failed:
        await double(1)
        cause = type(failed.exceptions[0].__cause__).__name__
    return cause


@workflow(name="timing_out")
async def timing_out() -> str:
    try:
        async with asyncio.timeout(5):
            await asyncio.sleep(60)
    except TimeoutError:
        await double(1)
        return "timeout"
    return "no timeout"


@workflow(name="within_the_timeout")
async def within_the_timeout() -> int:
    async with asyncio.timeout(5):
        found = await double(4)
    return found + await asyncio.wait_for(double(1), 60)


@workflow(name="wait_for_too_long")
async def wait_for_too_long() -> str:
    try:
        await asyncio.wait_for(asyncio.sleep(60), 1)
    except TimeoutError:
        return "timeout"
    return "no timeout"


@workflow(name="shielding")
async def shielding() -> int:
    inner = asyncio.create_task(double(5))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(inner), 0.001)
    return await inner


@workflow(name="sleeping")
async def sleeping() -> str:
    order: list[str] = []

    async def nap(seconds: float, name: str) -> None:
        await asyncio.sleep(seconds)
        order.append(name)

    await asyncio.gather(nap(3, "c"), nap(1, "a"), nap(2, "b"))
    await sleep("1 day")
    return "".join(order)


@workflow(name="events")
async def events() -> list[int]:
    ready, seen = asyncio.Event(), list[int]()

    async def follower(n: int) -> None:
        await ready.wait()
        seen.append(await double(n))

    async with asyncio.TaskGroup() as group:
        for n in range(3):
            group.create_task(follower(n))
        await double(9)
        ready.set()
    return sorted(seen)


@workflow(name="queueing")
async def queueing() -> int:
    queue: asyncio.Queue[int | None] = asyncio.Queue(maxsize=2)

    async def produce() -> None:
        for n in range(5):
            await queue.put(await double(n))
        await queue.put(None)

    async def consume() -> int:
        total = 0
        while (item := await queue.get()) is not None:
            total += await double(item)
        return total

    _, total = await asyncio.gather(produce(), consume())
    return total


@workflow(name="locking")
async def locking() -> list[int]:
    lock, trace = asyncio.Lock(), list[int]()

    async def critical(n: int) -> None:
        async with lock:
            trace.append(n)
            await double(n)
            trace.append(n)

    await asyncio.gather(*(critical(n) for n in range(4)))
    return trace


@workflow(name="limiting")
async def limiting() -> int:
    semaphore, most, now_running = asyncio.Semaphore(2), 0, 0

    async def limited(n: int) -> None:
        nonlocal most, now_running
        async with semaphore:
            now_running += 1
            most = max(most, now_running)
            await double(n)
            now_running -= 1

    await asyncio.gather(*(limited(n) for n in range(6)))
    return most


@workflow(name="conditions")
async def conditions() -> int:
    condition, count = asyncio.Condition(), 0

    async def add() -> None:
        nonlocal count
        await double(1)
        async with condition:
            count += 1
            condition.notify_all()

    async def until(n: int) -> int:
        async with condition:
            await condition.wait_for(lambda: count >= n)
        return await double(n)

    _, _, _, found = await asyncio.gather(add(), add(), add(), until(3))
    return found


@workflow(name="racing_a_hook")
async def racing_a_hook() -> list[Any]:
    found: list[Any] = []
    async with hook(int, token="race") as inbox:
        for _ in range(3):
            try:
                found.append(await asyncio.wait_for(inbox, 0.005))
            except TimeoutError:
                found.append(await inbox)
    return found


@workflow(name="everything_random")
async def everything_random() -> int:
    await set_attributes(lot=str(random().randint(1, 1000)), id=str(uuid4()))
    picked = random().sample(range(100), 3)
    return sum(await asyncio.gather(*(double(n) for n in picked))) - 2 * sum(picked)


def _send(value: int) -> Callable[[Rehearsal], None]:
    return lambda run: run.send("hook_#1", value)


def _attribute(run: Rehearsal) -> None:
    run.say(event("attributes_set", set={"from": "a step"}))


#: Workflow → result, and what comes from outside meanwhile.
CASES: list[tuple[Any, Any, Sequence[Callable[[Rehearsal], None]]]] = [
    (sequential, 12, ()),
    (gathering, [0, 2, 4, 6, 8, 10], ()),
    (gathering_errors, ["2", "StepFailed", "6"], ()),
    (waiting_for_the_first, 5, ()),
    (waiting_with_a_timeout, [1, 1], ()),
    (as_completed_of_coroutines, 60, ()),
    (grouping, 12, ()),
    (group_that_fails, "ValueError", ()),
    (timing_out, "timeout", ()),
    (within_the_timeout, 10, ()),
    (wait_for_too_long, "timeout", ()),
    (shielding, 10, ()),
    (sleeping, "abc", ()),
    (events, [0, 2, 4], ()),
    (queueing, 40, ()),
    (locking, [0, 0, 1, 1, 2, 2, 3, 3], ()),
    (limiting, 2, ()),
    (conditions, 6, ()),
    (racing_a_hook, [7, 8, 9], (_send(7), _send(8), _send(9))),
    (everything_random, 0, (_attribute,)),
]
