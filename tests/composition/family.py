"""Workflows that start and await others; a runtime process loads this file, and the tests import it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import Any

from holdfast import (
    RetryPolicy,
    RunCancelled,
    RunExists,
    RunFailed,
    Saga,
    StepFailed,
    cancelled,
    hook,
    run_info,
    set_attributes,
    sleep,
    start,
    step,
    workflow,
)

#: What steps in this process did, in order.
DONE: list[str] = []


class Declined(Exception):
    pass


@step(name="family.note")
async def note(word: str) -> str:
    DONE.append(word)
    if path := os.environ.get("FAMILY_NOTES"):
        with Path(path).open("a") as notes:  # noqa: ASYNC230 - one line, and the test kills the process around it
            notes.write(f"{word}\n")
    return word


@step(name="family.decline", retry=RetryPolicy(max_attempts=1))
async def decline(why: str) -> None:
    raise Declined(why)


@workflow(name="family.fib")
async def fib(n: int) -> int:
    if n < 2:
        return n
    one, two = await start(fib, n - 1), await start(fib, n - 2)
    return await one.result() + await two.result()


@workflow(name="family.info")
async def info() -> list[str | None]:
    me = run_info()
    return [me.run_id, me.parent_run_id, me.root_run_id]


@workflow(name="family.parent")
async def parent(attributes: dict[str, str]) -> list[list[str | None]]:
    child = await start(info, id=f"{run_info().run_id}.child", attributes=attributes)
    middle = await start(between)
    return [await child.result(), *await middle.result()]


@workflow(name="family.between")
async def between() -> list[list[str | None]]:
    return [await (await start(info)).result()]


@workflow(name="family.inline")
async def inline(n: int) -> int:
    return await added(n) + await added(n)


@workflow(name="family.added")
async def added(n: int) -> int:
    await note(f"added {n}")
    return n + 1


@workflow(name="family.generation")
async def generation(n: int) -> int:
    await note(str(n))
    if n:
        await start(generation, n - 1, id=f"generation-{n - 1}")
    return n


@workflow(name="family.failing")
async def failing(why: str) -> None:
    await decline(why)


@workflow(name="family.catches")
async def catches() -> list[Any]:
    child = await start(failing, "no money")
    try:
        await child.result()
    except RunFailed as error:
        assert isinstance(error.__cause__, StepFailed)
        return [error.run_id == child.id, error.failure.type, type(error.__cause__.__cause__).__name__]
    return []


@workflow(name="family.passes_on")
async def passes_on() -> None:
    await (await start(failing, "no money")).result()


@workflow(name="family.waits")
async def waits(token: str) -> str:
    async with hook(str, token=token) as values:
        return await values


@workflow(name="family.steers")
async def steers(token: str) -> list[str | bool]:
    child = await start(waits, token, id=f"child-{token}")
    before = await child.status()
    with contextlib.suppress(TimeoutError):
        await child.result(timeout="50ms")
    told = await child.cancel("not needed")
    try:
        await child.result()
    except RunCancelled as error:
        return [before in ("pending", "running"), told, error.cancel_reason, await child.status(), await child.cancel()]
    return []


@workflow(name="family.twins")
async def twins(conflict: str) -> str:
    first = await start(waits, conflict, id=f"twin-{conflict}")
    try:
        second = await start("family.waits", conflict, id=first.id, on_conflict=conflict)
    except RunExists as error:
        return f"exists {error.run_id}"
    return f"same {second.id == first.id}"


@workflow(name="family.unknown")
async def unknown() -> None:
    await start("family.nobody")


@workflow(name="family.nest")
async def nest(depth: int) -> None:
    if depth:
        await (await start(nest, depth - 1, id=f"nest-{depth - 1}")).result()
    else:
        await sleep("1 day")


@workflow(name="family.both")
async def both(tokens: list[str]) -> list[str]:
    children = [await start(waits, token) for token in tokens]
    return list(await asyncio.gather(*(child.result() for child in children)))


@workflow(name="family.first")
async def first(tokens: list[str]) -> str:
    children = [await start(waits, token, id=f"racer-{token}") for token in tokens]
    tasks = [asyncio.ensure_future(child.result()) for child in children]
    done, late = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in late:
        task.cancel()
    return done.pop().result()


@step(name="family.start_in_step", retry=RetryPolicy(max_attempts=1))
async def start_in_step() -> None:
    await start(info)


@workflow(name="family.misplaced")
async def misplaced() -> None:
    await start_in_step()


@step(name="family.slow_undo")
async def slow_undo(word: str, folder: str) -> None:
    """Undo in two halves: the test kills the process between them, once."""
    await note(f"undoing {word}")
    gate = Path(folder) / f"gate-{word}"
    while not gate.exists():  # noqa: ASYNC110 - the gate is opened by another process
        await asyncio.sleep(0.01)


@workflow(name="family.trip")
async def trip(how: str, folder: str = "") -> str:
    async with Saga() as saga:
        saga.add(lambda: DONE.append("undo plainly"))
        for word in ("flight", "hotel", "car"):
            await note(word)
            if folder:
                saga.add(slow_undo, word, folder)
            else:
                saga.add(note, f"undo {word}")
        if how == "waits":
            await sleep("1 day")
        if how == "undo fails":
            saga.add(decline, "cannot undo")
        if how != "goes well":
            await decline("no money")
    return "went"


@step(name="family.poll", timeout="200ms", retry=RetryPolicy(max_attempts=1))
def poll() -> None:
    while not cancelled():
        time.sleep(0.005)
    DONE.append("saw it")


@workflow(name="family.polls")
async def polls() -> None:
    await poll()


@workflow(name="family.reserves")
async def reserves(token: str, keep: str | None, dispose: bool = False) -> str:
    reserved = hook(str, token=token, min_retention=keep)
    holder = await reserved.conflict()
    if holder is not None:
        return f"taken by {holder}"
    if dispose:
        await reserved.dispose()
        again = hook(str, token=token, min_retention=keep)
        return "again" if await again.conflict() is None else "taken"
    return await reserved


@workflow(name="family.labelled")
async def labelled(word: str) -> str:
    await set_attributes(stage="done", seed=None)
    return word


ALL = (
    *(note, decline, fib, info, parent, between, inline, added, generation, failing, catches, passes_on, waits),
    *(steers, twins, unknown, nest, both, first, start_in_step, misplaced, slow_undo, trip, poll, polls),
    *(reserves, labelled),
)
