"""Workflows of the hazards, and the marks that their steps leave in a folder which the test shares with them.

A step that waits for a ``go`` file is at a known place for as long as the test wants; what it wrote to ``marks`` tells
how often it really ran, and in which process, whatever the log says.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from holdfast import HookConflict, RetryPolicy, StepFailed, hook, now, sleep, step, step_info, workflow

_SOON = RetryPolicy(max_attempts=10, initial_interval=0.01, backoff=1, jitter=0)
_ONCE = RetryPolicy(max_attempts=1)
_THREE = RetryPolicy(max_attempts=3, initial_interval=0.01, backoff=1, jitter=0)

_LOOK_SECONDS = 0.01


def mark(folder: str, what: str) -> None:
    """Append one line; a single write, so that lines of several processes do not mix."""
    with (Path(folder) / "marks").open("a") as file:
        file.write(f"{what}\n")


def marks(folder: Path) -> list[str]:
    """Return what steps marked so far, in order."""
    path = folder / "marks"
    return path.read_text().splitlines() if path.exists() else []


async def _until(path: Path) -> None:
    while not path.exists():  # noqa: ASYNC110, ASYNC240 - the test is another process
        await asyncio.sleep(_LOOK_SECONDS)


@step(name="hazard.gated", retry=_SOON)
async def gated(folder: str, name: str = "gated") -> int:
    """Waits for ``go-<attempt>`` or ``go``; returns the attempt."""
    attempt = step_info().attempt
    mark(folder, f"{name} {attempt} {os.getpid()}")
    paths = [Path(folder) / f"go-{attempt}", Path(folder) / "go"]
    await asyncio.wait([asyncio.create_task(_until(path)) for path in paths], return_when=asyncio.FIRST_COMPLETED)
    return attempt


@step(name="hazard.gated_once", retry=_ONCE)
async def gated_once(folder: str) -> int:
    """The same with a single attempt: whatever is counted beside a start fails it."""
    mark(folder, f"once {step_info().attempt}")
    await _until(Path(folder) / "go")
    return step_info().attempt


@step(name="hazard.note", retry=_SOON)
async def note(folder: str, what: str) -> str:
    """Marks and returns at once."""
    mark(folder, what)
    return what


@step(name="hazard.block", retry=_SOON)
async def block(folder: str, seconds: float) -> int:
    """Blocks the event loop of its process, as careless code does."""
    mark(folder, "block")
    time.sleep(seconds)  # noqa: ASYNC251 - that is the hazard
    return step_info().attempt


@step(name="hazard.kill", retry=_THREE)
async def kill(folder: str) -> None:
    """Takes its process down on every attempt."""
    mark(folder, f"kill {step_info().attempt}")
    os.kill(os.getpid(), signal.SIGKILL)


@workflow(name="hazard.one_step")
async def one_step(folder: str) -> int:
    return await gated(folder)


@workflow(name="hazard.step_and_hook")
async def step_and_hook(folder: str, token: str) -> list[object]:
    """A long step beside a hook; what comes through the hook is worked on meanwhile."""
    async with hook(str, token=token) as values:
        long = asyncio.create_task(gated(folder))
        seen = await note(folder, await values)
        return [seen, await long]


@workflow(name="hazard.blocking")
async def blocking(folder: str, seconds: float) -> int:
    return await block(folder, seconds)


@workflow(name="hazard.killing")
async def killing(folder: str) -> list[object]:
    try:
        await kill(folder)
    except StepFailed as failed:
        return [failed.step_name, failed.attempts]
    return []


@workflow(name="hazard.after_hook")
async def after_hook(folder: str, token: str) -> int:
    """Waits for a value, then runs a step that has a single attempt."""
    async with hook(str, token=token) as values:
        await values
    return await gated_once(folder)


@workflow(name="hazard.claim")
async def claim(token: str, seconds: float) -> str:
    """Claims a token, keeps it for a while, and tells who had it otherwise."""
    try:
        async with hook(str, token=token) as values:
            if holder := await values.conflict():
                return f"taken by {holder}"
            await sleep(seconds)
            return "mine"
    except HookConflict as conflict:
        return f"taken by {conflict.run_id}"


@workflow(name="hazard.naps")
async def naps(count: int, seconds: float) -> int:
    """Sleeps again and again, each time with nothing else to do."""
    for _ in range(count):
        await sleep(seconds)
    return count


@workflow(name="hazard.past")
async def past() -> str:
    """Sleeps until a moment that is over."""
    await sleep(now().replace(year=2001))
    return "at once"


@workflow(name="hazard.races")
async def races(folder: str, token: str) -> list[object]:
    """A long step against a timer, then against a hook."""
    async with hook(str, token=token) as values:
        long = asyncio.create_task(gated(folder))
        first, _ = await asyncio.wait([long, asyncio.create_task(sleep(0.2))], return_when=asyncio.FIRST_COMPLETED)
        won = ["step" if long in first else "timer"]
        value = asyncio.ensure_future(_next(values))
        second, _ = await asyncio.wait([long, value], return_when=asyncio.FIRST_COMPLETED)
        won.append("step" if long in second else await note(folder, value.result()))
        return [*won, await long]


async def _next(values: object) -> str:
    return await values  # type: ignore[misc]


@workflow(name="hazard.short_hook")
async def short_hook(token: str, seconds: float) -> list[str]:
    """Takes what comes within a time that is too short for all of it."""
    taken: list[str] = []
    async with hook(str, token=token) as values:
        try:
            async with asyncio.timeout(seconds):
                async for value in values:
                    taken.append(value)
        except TimeoutError:
            return taken
    return taken


@workflow(name="hazard.first_value")
async def first_value(token: str) -> str:
    """Ends with the first value."""
    async with hook(str, token=token) as values:
        return await values
