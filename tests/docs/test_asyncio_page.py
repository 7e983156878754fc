"""The table of asyncio constructs is true, row by row, and complete."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from holdfast import NotDeterministic, step, workflow
from holdfast.testing import Environment

PAGE: Final = Path(__file__).parents[2] / "docs" / "authoring" / "asyncio.md"
ROWS: Final = dict(re.findall(r"^\| (`.*?) \| (\w+)", PAGE.read_text(), re.MULTILINE))

#: What the sentence under the table is about.
_PARTS_OF_LOOPS: Final = re.compile(r"Loop|Watcher|Policy|_policy|_watcher|Protocol|Transport|Sendfile|_event_loop$")
_HELPERS: Final = frozenset(("wrap_future",))


def first_name(row: str) -> str:
    return row.split("`")[1].rpartition(".")[2]


@step(name="asyncio_page.double")
async def double(n: int) -> int:
    return 2 * n


async def _raise() -> None:
    raise ValueError("on purpose")


async def sleeps() -> bool:
    before = asyncio.get_running_loop().time()
    await asyncio.sleep(60)
    return asyncio.get_running_loop().time() - before >= 60


async def gathers() -> bool:
    return await asyncio.gather(double(1), double(2)) == [2, 4]


async def waits() -> bool:
    done, pending = await asyncio.wait(
        [asyncio.create_task(asyncio.sleep(1, "first")), asyncio.create_task(asyncio.sleep(60))],
        return_when=asyncio.FIRST_COMPLETED,
    )
    [left.cancel() for left in pending]
    return [it.result() for it in done] == ["first"]


async def waits_for() -> bool:
    assert await asyncio.wait_for(double(1), 60) == 2
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.sleep(60), 1)
    return True


async def takes_as_completed() -> bool:
    late_first = [asyncio.sleep(2, "late"), asyncio.sleep(1, "early")]
    return [await it for it in asyncio.as_completed(late_first)] == ["early", "late"]


async def groups() -> bool:
    with pytest.raises(ExceptionGroup) as told:
        async with asyncio.TaskGroup() as group:
            other = group.create_task(asyncio.sleep(60))
            group.create_task(_raise())
    return other.cancelled() and isinstance(told.value.exceptions[0], ValueError)


async def times_out() -> bool:
    with pytest.raises(asyncio.TimeoutError):
        async with asyncio.timeout(1) as limit:
            await asyncio.sleep(60)
    return limit.expired()


async def times_out_at() -> bool:
    with pytest.raises(asyncio.TimeoutError):
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + 1):
            await asyncio.sleep(60)
    return True


async def shields() -> bool:
    inner = asyncio.create_task(asyncio.sleep(1, "done"))
    outer = asyncio.ensure_future(asyncio.shield(inner))
    outer.cancel()
    return await inner == "done" and outer.cancelled()


async def makes_tasks() -> bool:
    task: asyncio.Task[None] = asyncio.create_task(asyncio.sleep(60), name="sleeper")
    await asyncio.sleep(0)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError):
        await task
    return task.cancelled() and task.cancelling() == 1


async def makes_futures_of_coroutines() -> bool:
    future = asyncio.ensure_future(double(1))
    assert asyncio.isfuture(future) and asyncio.iscoroutinefunction(_raise)
    return await future == 2


async def knows_its_tasks() -> bool:
    task = asyncio.create_task(asyncio.sleep(1))
    assert asyncio.current_task() in asyncio.all_tasks()
    return task in asyncio.all_tasks()


async def fulfils_futures() -> bool:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(1)
    with pytest.raises(asyncio.InvalidStateError):
        future.set_result(2)
    return await future == 1


async def calls_later() -> bool:
    loop, called = asyncio.get_running_loop(), asyncio.Queue[str]()
    assert asyncio.get_event_loop() is loop
    loop.call_later(2, called.put_nowait, "later")
    loop.call_at(loop.time() + 1, called.put_nowait, "at")
    loop.call_soon(called.put_nowait, "soon")
    loop.call_soon(called.put_nowait, "never").cancel()
    return [await called.get() for _ in range(3)] == ["soon", "at", "later"]


async def signals_events() -> bool:
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(1, event.set)
    return await event.wait()


async def locks() -> bool:
    lock, order = asyncio.Lock(), list[str]()

    async def work(name: str) -> None:
        async with lock:
            order.append(f"{name} in")
            await asyncio.sleep(1)
            order.append(f"{name} out")

    await asyncio.gather(work("a"), work("b"))
    return order == ["a in", "a out", "b in", "b out"]


async def notifies_conditions() -> bool:
    condition = asyncio.Condition()

    async def wait() -> bool:
        async with condition:
            return await condition.wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(1)
    async with condition:
        condition.notify()
    return await waiting


async def counts_with_semaphores() -> bool:
    semaphore = asyncio.BoundedSemaphore(1)
    async with semaphore:
        assert semaphore.locked()
    with pytest.raises(ValueError):
        semaphore.release()
    return not semaphore.locked()


async def meets_at_barriers() -> bool:
    barrier = asyncio.Barrier(2)
    assert sorted(await asyncio.gather(barrier.wait(), barrier.wait())) == [0, 1]
    await barrier.abort()
    with pytest.raises(asyncio.BrokenBarrierError):
        await barrier.wait()
    return True


async def queues() -> bool:
    queue = asyncio.PriorityQueue[int](2)
    queue.put_nowait(2)
    queue.put_nowait(1)
    with pytest.raises(asyncio.QueueFull):
        queue.put_nowait(3)
    return [await queue.get(), await queue.get()] == [1, 2]


WORKS: Final[dict[str, Callable[[], Awaitable[bool]]]] = {
    "sleep": sleeps,
    "gather": gathers,
    "wait": waits,
    "wait_for": waits_for,
    "as_completed": takes_as_completed,
    "TaskGroup": groups,
    "timeout": times_out,
    "timeout_at": times_out_at,
    "shield": shields,
    "create_task": makes_tasks,
    "ensure_future": makes_futures_of_coroutines,
    "current_task": knows_its_tasks,
    "Future": fulfils_futures,
    "get_running_loop": calls_later,
    "Event": signals_events,
    "Lock": locks,
    "Condition": notifies_conditions,
    "Semaphore": counts_with_semaphores,
    "Barrier": meets_at_barriers,
    "Queue": queues,
}


def _run_threadsafe(loop: asyncio.AbstractEventLoop) -> Any:
    work = _raise()
    try:
        return asyncio.run_coroutine_threadsafe(work, loop)
    finally:
        work.close()


REFUSED: Final[dict[str, Callable[[asyncio.AbstractEventLoop], Any]]] = {
    "to_thread": lambda loop: asyncio.to_thread(print),
    "run_in_executor": lambda loop: loop.run_in_executor(None, print),
    "run_coroutine_threadsafe": _run_threadsafe,
    "open_connection": lambda loop: asyncio.open_connection("localhost", 1),
    "open_unix_connection": lambda loop: asyncio.open_unix_connection("nowhere"),
    "start_server": lambda loop: asyncio.start_server(print, "localhost", 0),
    "start_unix_server": lambda loop: asyncio.start_unix_server(print, "nowhere"),
    "create_subprocess_exec": lambda loop: asyncio.create_subprocess_exec("true"),
    "create_subprocess_shell": lambda loop: asyncio.create_subprocess_shell("true"),
    "add_signal_handler": lambda loop: loop.add_signal_handler(2, print),
    "add_reader": lambda loop: loop.add_reader(0, print),
}


@workflow(name="asyncio_page.working")
async def working(construct: str) -> bool:
    return await WORKS[construct]()


@workflow(name="asyncio_page.refusing")
async def refusing(construct: str) -> str:
    with pytest.raises(NotDeterministic) as told:
        await REFUSED[construct](asyncio.get_running_loop())
    return str(told.value)


@workflow(name="asyncio_page.nesting")
async def nesting() -> str:
    with pytest.raises(RuntimeError) as told:
        asyncio.run(inner := asyncio.sleep(0))
    inner.close()
    return str(told.value)


def rows(verdict: str) -> set[str]:
    return {first_name(row) for row, found in ROWS.items() if found == verdict}


def test_every_row_has_its_test() -> None:
    assert rows("works") == WORKS.keys()
    assert rows("refused") == REFUSED.keys()
    assert rows("RuntimeError") == {"run"}


def test_no_public_name_of_asyncio_is_left_out() -> None:
    told = {name.rpartition(".")[2] for row in ROWS for name in re.findall(r"`(.*?)`", row)}
    public = {name for name in asyncio.__all__ if not name.startswith("_") and name not in _HELPERS}
    untold = {name for name in public - told if not _PARTS_OF_LOOPS.search(name)}
    # What a newer Python brings is told when that Python becomes the one of the rows.
    assert untold <= {"QueueShutDown", "EventLoop"}


@pytest.mark.parametrize("construct", WORKS)
async def test_what_works_works_under_replay_at_every_turn(construct: str) -> None:
    async with Environment(replay="always") as env:
        assert await env.run(working, construct) is True


@pytest.mark.parametrize("construct", REFUSED)
async def test_what_is_refused_names_the_line_and_a_step(construct: str) -> None:
    async with Environment(replay="always") as env:
        assert re.search(r"\.py:\d+: .* step", await env.run(refusing, construct))


async def test_a_loop_in_the_loop_is_refused_by_asyncio() -> None:
    async with Environment(replay="always") as env:
        assert "running event loop" in await env.run(nesting)
