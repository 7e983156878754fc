"""Waiting for a run at the runtime that holds it: never longer than the run takes to end."""

from __future__ import annotations

import asyncio
from typing import Any

from holdfast import Client
from holdfast.v1 import queue_service_pb2
from runtime_service.names import RUN_QUEUE
from runtime_service.server import RunningRuntime
from tests.support.store import Store
from tests.worker.test_runs import until_let_go


async def test_an_ended_run_that_is_claimed_again_is_not_waited_for(
    store: Store, runtime: RunningRuntime, client: Client
) -> None:
    """(1) the run ends; (2) a wake left over is claimed, the log not read yet; (3) a waiter comes."""
    run = await client.start("worker-three_steps")
    await run.result(timeout="10s")
    await until_let_go(runtime)
    reading, go_on = asyncio.Event(), asyncio.Event()
    real = runtime.worker.store.events_after

    async def slow_read(run_id: str, seq: int) -> Any:
        reading.set()
        await go_on.wait()
        return await real(run_id, seq)

    runtime.worker.store.events_after = slow_read  # type: ignore[method-assign]
    left_over = queue_service_pb2.NewQueueMessage(queue=RUN_QUEUE, group=run.id)
    await store.client.queue.Enqueue(queue_service_pb2.EnqueueRequest(message=left_over))
    await asyncio.wait_for(reading.wait(), 10)
    try:
        assert await asyncio.wait_for(client.run(run.id).result(timeout="20s"), 5) == ["one", "two", "three"]
    finally:
        go_on.set()
