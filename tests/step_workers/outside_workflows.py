"""Workflows whose steps run outside their runtime: remote ones, and Python ones with a queue."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from holdfast import (
    RetryPolicy,
    StepFailed,
    heartbeat,
    hook,
    last_heartbeat,
    remote_step,
    set_attributes,
    step,
    step_info,
    stream,
    workflow,
)

QUICK = RetryPolicy(max_attempts=3, initial_interval=0.05, backoff=1, jitter=0)


class Scene(BaseModel):
    name: str
    frames: int


class Film(BaseModel):
    path: str
    seconds: float


render = remote_step("outside.render", queue="node", input=Scene, output=Film, retry=QUICK)
watched = remote_step(
    "outside.watched", queue="node", input=str, output=str, retry=QUICK, timeout="20s", heartbeat_timeout=0.5
)
once = remote_step("outside.once", queue="node", input=str, output=str, retry=RetryPolicy(max_attempts=1), timeout=0.6)
patient = remote_step("outside.patient", queue="node", input=str, output=str, retry=QUICK, total_timeout=1)


@workflow(name="outside.film")
async def film(name: str) -> str:
    made = await render(Scene(name=name, frames=24))
    return f"{made.path} of {made.seconds:g} s"


@workflow(name="outside.call")
async def call(kind: str, value: str) -> str:
    """Await one remote step by name and tell how it went."""
    steps: dict[str, Any] = {"watched": watched, "once": once, "patient": patient}
    try:
        return str(await steps[kind](value))
    except StepFailed as failed:
        cause = failed.__cause__
        return f"{type(cause).__name__}: {cause} after {failed.attempts}"


@workflow(name="outside.both")
async def both(name: str) -> str:
    """Two remote steps at once."""
    first, second = await asyncio.gather(render(Scene(name="a", frames=1)), render(Scene(name="b", frames=2)))
    return f"{name}: {first.path} {second.path}"


@workflow(name="outside.race")
async def race(token: str) -> str:
    """A remote step against a value: the step is called off when the value comes first."""
    async with hook(str, token=token) as values:
        working = asyncio.ensure_future(watched("raced"))
        value = asyncio.ensure_future(values)
        await asyncio.wait({working, value}, return_when=asyncio.FIRST_COMPLETED)
        if not value.done():
            return f"worked: {working.result()}"
        working.cancel()
        told = value.result()
    # The run goes on, so that the step is called off by its await and not by the end of the run.
    async with hook(str, token=f"{token}:end") as end:
        return f"{told} {await end}"


@step(name="outside.local", queue="gpu", retry=QUICK, heartbeat_timeout="5s")
async def local(value: str) -> str:
    """A Python step of a queue; the first attempt leaves a heartbeat and fails."""
    info = step_info()
    if info.attempt == 1 and value == "again":
        heartbeat({"frame": 7})
        raise RuntimeError("not yet")
    return f"{value} by attempt {info.attempt} from {last_heartbeat()}"


@workflow(name="outside.queued")
async def queued(value: str) -> str:
    return await local(value)


@step(name="outside.noted", queue="gpu", retry=RetryPolicy(max_attempts=1))
async def noted(folder: str) -> str:
    """Leave an attribute, a streamed item and a file; wait for another file, or for the end."""
    await set_attributes(stage="working")
    await stream("progress", type=str).write("begun")
    began, gate = Path(folder, "began"), Path(folder, "gate")
    with began.open("a") as file:  # noqa: ASYNC230
        file.write(f"{step_info().attempt} ")
    try:
        while not gate.exists():  # noqa: ASYNC110, ASYNC240 - the gate is opened by the test
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        Path(folder, "cancelled").touch()  # noqa: ASYNC240
        raise
    return f"attempt {step_info().attempt}"


@workflow(name="outside.noting")
async def noting(folder: str) -> str:
    return await noted(folder)


ALL = (noting, noted, film, call, both, race, queued, render, watched, once, patient, local)
