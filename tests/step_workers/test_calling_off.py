"""A step in another program that nobody waits for any more: its worker is told, and its result is not taken."""

from __future__ import annotations

import asyncio

import pytest

from holdfast import Client, RunCancelled
from holdfast.v1 import entity_pb2, payload_pb2
from tests.step_workers import outside_workflows as flows
from tests.step_workers.worker import Worker
from tests.support.refusals import refused


async def until_called_off(client: Client, run_id: str) -> None:
    async with asyncio.timeout(10):
        async for event in client.run(run_id).events():
            if event.HasField("step_failed"):
                assert event.step_failed.failure.category == payload_pb2.FAILURE_CATEGORY_CANCELLED
                return


async def test_a_worker_hears_with_its_heartbeat_that_the_await_was_cancelled(client: Client, worker: Worker) -> None:
    run = await client.start(flows.race, "race-1")
    task = await worker.take()
    assert not (await worker.beat(task)).cancel_requested
    await client.resume("race-1", "first")
    await until_called_off(client, run.id)
    assert (await worker.beat(task)).cancel_requested
    assert (await refused(worker.complete(task, "late"))).info.reason == "LEASE_LOST"
    await client.resume("race-1:end", "done")
    assert await run.result(timeout=10) == "first done"


async def test_a_step_called_off_before_anybody_took_it_is_never_handed_out(client: Client, worker: Worker) -> None:
    run = await client.start(flows.race, "race-2")
    async for event in run.events():
        if event.HasField("hook_created"):
            break
    await client.resume("race-2", "first")
    await until_called_off(client, run.id)
    assert await worker.poll(wait_ms=300) is None
    await client.resume("race-2:end", "done")
    assert await run.result(timeout=10) == "first done"


async def test_a_step_that_wins_its_race_is_taken(client: Client, worker: Worker) -> None:
    run = await client.start(flows.race, "race-3")
    await worker.complete(await worker.take(), "w")
    assert await run.result(timeout=10) == "worked: w"


async def test_a_cancelled_run_calls_its_steps_off(client: Client, worker: Worker) -> None:
    run = await client.start(flows.film, "x")
    task = await worker.take()
    await run.cancel("enough")
    with pytest.raises(RunCancelled):
        await run.result(timeout=10)
    assert (await worker.beat(task)).cancel_requested
    assert (await refused(worker.complete(task, {"path": "p", "seconds": 1}))).info.reason == "LEASE_LOST"
    described = await run.describe()
    assert described.run.status == entity_pb2.RUN_STATUS_CANCELLED


async def test_a_run_that_was_ended_by_force_leaves_no_task_behind(client: Client, worker: Worker) -> None:
    run = await client.start(flows.film, "x")
    await run.cancel("now", force=True)
    assert await worker.poll(wait_ms=300) is None
