"""The bounds of a step hold for attempts in other programs, also when no worker is left to notice."""

from __future__ import annotations

import asyncio

import pytest

from holdfast import Client
from runtime_service.tasks.watching import Watching
from tests.step_workers import outside_workflows as flows
from tests.step_workers.worker import Worker, until
from tests.support.refusals import refused


async def test_an_attempt_times_out_although_nobody_polls(client: Client, worker: Worker) -> None:
    run = await client.start(flows.call, "once", "x")
    task = await worker.take()
    assert task.HasField("deadline")
    assert not task.HasField("heartbeat_timeout"), "its deadline is enough"
    assert await run.result(timeout=10) == "StepTimeout: an attempt took longer than its timeout after 1"
    assert (await refused(worker.complete(task, "late"))).info.reason == "LEASE_LOST"


async def test_a_heartbeat_does_not_prolong_an_attempt_beyond_its_timeout(client: Client, worker: Worker) -> None:
    run = await client.start(flows.call, "once", "x")
    task = await worker.take()
    for _ in range(4):
        beat = await worker.beat(task)
        assert beat.next_deadline.ToMilliseconds() <= task.deadline.ToMilliseconds() + 250, "but for the way there"
        await asyncio.sleep(0.05)
    assert "StepTimeout" in await run.result(timeout=10)


async def test_a_silent_attempt_is_retried_although_nobody_polled(client: Client, worker: Worker) -> None:
    run = await client.start(flows.call, "watched", "x")
    await worker.beat(await worker.take(), {"at": 9})
    async for event in run.events():
        if event.HasField("step_retrying"):
            assert event.step_retrying.failure.type == "holdfast.StepTimeout"
            assert event.step_retrying.heartbeat_details.text == '{"at": 9}'
            break
    again = await worker.take()
    assert (again.attempt, again.last_heartbeat.text) == (2, '{"at": 9}')
    await worker.complete(again, "there")
    assert await run.result(timeout=10) == "there"


async def test_all_attempts_together_are_bounded(client: Client, worker: Worker) -> None:
    run = await client.start(flows.call, "patient", "x")
    task = await worker.take()
    asked = await worker.fail(task, "Busy", "later", retry_ms=5_000)
    assert not asked.will_retry, "a retry beyond the bound is not waited for"
    assert (await run.result(timeout=5)).startswith("StepTimeout: all attempts together")


async def test_a_worker_sets_the_delay_of_the_next_attempt(client: Client, worker: Worker) -> None:
    await client.start(flows.film, "x")
    asked = await worker.fail(await worker.take(), "Busy", "later", retry_ms=400)
    assert asked.will_retry
    assert await worker.poll(wait_ms=100) is None
    task = await worker.take()
    assert task.attempt == 2
    assert asked.retry_time.ToMilliseconds() <= task.deadline.ToMilliseconds() or not task.HasField("deadline")


@pytest.mark.parametrize(
    ("fields", "attempts"), [({}, 3), ({"non_retryable": True}, 1)], ids=["by the policy", "not when it says so"]
)
async def test_a_failing_step_is_tried_as_often_as_its_policy_says(
    client: Client, worker: Worker, fields: dict[str, bool], attempts: int
) -> None:
    run = await client.start(flows.call, "watched", "x")
    for number in range(1, attempts + 1):
        task = await worker.take()
        assert task.attempt == number
        assert (await worker.fail(task, "render.OutOfMemory", "no room", **fields)).will_retry == (number < attempts)
    assert await run.result(timeout=10) == f"RemoteError: render.OutOfMemory: no room after {attempts}"


async def test_a_step_that_nobody_takes_uses_up_nothing(client: Client, worker: Worker) -> None:
    run = await client.start(flows.call, "once", "x")
    await asyncio.sleep(0.8)
    assert await run.status() == "running", "no attempt has begun, so none can time out"
    await worker.complete(await worker.take(), "in the end")
    assert await run.result(timeout=10) == "in the end"


async def test_without_the_watches_a_timeout_would_not_come(
    monkeypatch: pytest.MonkeyPatch, client: Client, worker: Worker
) -> None:
    """The guard is seen to refuse: with looks taken out, the attempt of a worker that hangs never ends."""
    looks: list[object] = []

    async def blind(self: Watching, leased: object) -> None:
        looks.append(leased)

    monkeypatch.setattr(Watching, "_look", blind)
    run = await client.start(flows.call, "once", "x")
    await worker.take()
    await until(lambda: bool(looks))
    assert await run.status() == "running"
