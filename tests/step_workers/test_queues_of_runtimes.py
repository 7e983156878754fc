"""Python steps of a queue, run by the runtimes that name it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast import Client, RunCancelled
from holdfast.v1 import queue_service_pb2
from runtime_service.names import step_queue
from runtime_service.server import RunningRuntime
from tests.step_workers import outside_workflows as flows
from tests.step_workers.worker import Worker, until
from tests.support.runtime import running_runtime
from tests.support.store import Store


@asynccontextmanager
async def gpu_runtime(store: Store, **settings: Any) -> AsyncIterator[RunningRuntime]:
    options = {"linger_ms": 20, "queue": ["gpu"], "lease": "1s", **settings}
    async with running_runtime(store.address, *flows.ALL, **options) as running:
        yield running


async def test_a_step_of_a_queue_does_what_a_local_one_does(store: Store, client: Client, tmp_path: Path) -> None:
    """Attributes, streams, and a lease that is kept for as long as the step takes."""
    async with gpu_runtime(store):
        run = await client.start(flows.noting, str(tmp_path))
        await until((tmp_path / "began").exists)
        await asyncio.sleep(1.5)
        (tmp_path / "gate").touch()
        assert await run.result(timeout=10) == "attempt 1"
        assert (await run.describe()).run.attributes == {"stage": "working"}
        assert [item async for item in run.stream("progress", type=str)] == ["begun"]
        assert (tmp_path / "began").read_text() == "1 "


async def test_cancelling_the_run_cancels_the_body(store: Store, client: Client, tmp_path: Path) -> None:
    async with gpu_runtime(store) as gpu:
        run = await client.start(flows.noting, str(tmp_path))
        await until((tmp_path / "began").exists)
        await run.cancel("enough")
        with pytest.raises(RunCancelled):
            await run.result(timeout=10)
        await until((tmp_path / "cancelled").exists)
        await until(lambda: gpu.worker.slots.taken == 0)


async def test_a_drained_runtime_gives_its_steps_back_and_uses_up_no_attempt(
    store: Store, client: Client, tmp_path: Path
) -> None:
    """The step has one attempt, and two runtimes begin it."""
    async with gpu_runtime(store):
        run = await client.start(flows.noting, str(tmp_path))
        await until((tmp_path / "began").exists)
    (tmp_path / "gate").touch()
    async with gpu_runtime(store):
        assert await run.result(timeout=10) == "attempt 2"


async def test_tasks_count_as_attempts_of_the_process(store: Store, client: Client, tmp_path: Path) -> None:
    async with gpu_runtime(store, concurrency=1) as gpu:
        runs = [await client.start(flows.noting, str(tmp_path)) for _ in range(3)]
        await until((tmp_path / "began").exists)
        await asyncio.sleep(0.3)
        assert gpu.worker.slots.taken <= 2, "one that runs, and one that was asked for before it began"
        (tmp_path / "gate").touch()
        assert [await run.result(timeout=10) for run in runs] == ["attempt 1"] * 3


async def test_a_star_serves_every_queue_but_no_remote_step(store: Store, client: Client, worker: Worker) -> None:
    async with gpu_runtime(store, queue=["*"]):
        run, film = await client.start(flows.queued, "x"), await client.start(flows.film, "y")
        assert await run.result(timeout=10) == "x by attempt 1 from None"
        await worker.complete(await worker.take("outside.render"), {"path": "p", "seconds": 1})
        assert await film.result(timeout=10) == "p of 1 s"


async def test_a_task_that_was_sent_twice_is_run_once(store: Store, client: Client, worker: Worker) -> None:
    run = await client.start(flows.film, "x")
    first = await worker.take()
    queue = step_queue("node", "outside.render")
    (message,) = (
        await store.client.queue.ListMessages(queue_service_pb2.ListMessagesRequest(queue=queue, view=1))
    ).messages
    # A group of its own, so that both could be out at once.
    copy = queue_service_pb2.NewQueueMessage(queue=queue, payload=message.payload, group="another")
    await store.client.queue.Enqueue(queue_service_pb2.EnqueueRequest(message=copy))
    assert await worker.poll(wait_ms=300) is None
    await worker.complete(first, {"path": "p", "seconds": 1})
    assert await run.result(timeout=10) == "p of 1 s"


async def test_what_is_no_task_becomes_a_dead_letter_that_says_so(store: Store, worker: Worker) -> None:
    queue = step_queue("node", "outside.render")
    wrong = queue_service_pb2.NewQueueMessage(queue=queue)
    wrong.payload.text = '{"hello": 1}'
    await store.client.queue.Enqueue(queue_service_pb2.EnqueueRequest(message=wrong))
    assert await worker.poll(wait_ms=300) is None
    (dead,) = (await store.client.queue.ListMessages(queue_service_pb2.ListMessagesRequest(queue=queue))).messages
    assert dead.state == queue_service_pb2.QUEUE_MESSAGE_STATE_DEAD
    assert dead.last_reason.startswith("not a task: ")
