"""A timeout or a cancellation around the await of a step reaches its body while it runs, on real services."""

from __future__ import annotations

import asyncio
import time

import pytest

from holdfast import Client, RunCancelled, cancelled, sleep, step, workflow
from tests.support.runtime import running_runtime
from tests.support.store import eventually

STOPPED: list[str] = []


@step(name="stopping.patient")
async def patient() -> None:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError as error:
        STOPPED.append(f"async: {error}")
        raise


@step(name="stopping.plain")
def plain() -> None:
    until = time.monotonic() + 60
    while not cancelled() and time.monotonic() < until:
        time.sleep(0.005)
    STOPPED.append(f"plain: {cancelled()}")


@workflow(name="stopping.timeouts")
async def timeouts() -> list[str]:
    told = []
    for call in (patient, plain):
        try:
            async with asyncio.timeout(0.3):
                await call()
        except TimeoutError:
            told.append("TimeoutError")
    return told


@workflow(name="stopping.reasons")
async def reasons() -> list[str]:
    task = asyncio.create_task(patient())
    await sleep(0.3)
    task.cancel("because")
    try:
        await task
    except asyncio.CancelledError as error:
        return [str(it) for it in error.args]
    return []


@workflow(name="stopping.alone")
async def alone() -> None:
    await patient()


async def stopped(count: int) -> list[str]:
    """Wait until so many bodies have been stopped."""
    await eventually(lambda: len(STOPPED) >= count)
    return STOPPED


async def test_a_timeout_stops_the_running_body_of_a_step(store_address: str) -> None:
    STOPPED.clear()
    async with running_runtime(store_address, timeouts, patient, plain) as runtime, Client(runtime.address) as client:
        assert await (await client.start(timeouts)).result("20s") == ["TimeoutError", "TimeoutError"]
        assert await stopped(2) == ["async: the workflow no longer waits for it", "plain: True"]


async def test_a_cancelled_task_stops_its_step_and_the_step_hears_why(store_address: str) -> None:
    STOPPED.clear()
    async with running_runtime(store_address, reasons, patient) as runtime, Client(runtime.address) as client:
        assert await (await client.start(reasons)).result("20s") == ["because"]
        assert await stopped(1) == ["async: because"]


async def test_a_step_of_a_cancelled_run_hears_why(store_address: str) -> None:
    STOPPED.clear()
    async with running_runtime(store_address, alone, patient) as runtime, Client(runtime.address) as client:
        run = await client.start(alone)
        async for event in run.events():
            if event.HasField("step_started"):
                await run.cancel("the customer left")
        with pytest.raises(RunCancelled, match="the customer left"):
            await run.result()
        assert await stopped(1) == ["async: the customer left"]
