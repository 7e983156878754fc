"""What follows a refusal: the log is extended, the replay decides again, nothing refused is ever sent again."""

from __future__ import annotations

import asyncio

import pytest

from holdfast import Client
from holdfast.v1 import queue_service_pb2
from runtime_service.names import RUN_QUEUE
from runtime_service.server import RunningRuntime
from tests.support.runtime import running_runtime
from tests.support.store import Store
from tests.worker import workflows_for_worker as workflows
from tests.worker.interference import Request, before_writes, kinds, log_of, names, send_value


async def test_a_value_that_beats_the_recorded_deadline_wins(
    store: Store, runtime: RunningRuntime, client: Client
) -> None:
    """(1) the deadline passes here; (2) a value commits; (3) our wait_completed is refused; (4) the value is taken."""
    beaten = asyncio.Event()

    async def value_is_faster(request: Request) -> None:
        if "wait_completed" in kinds(request) and not beaten.is_set():
            beaten.set()
            await send_value(store, "t", '"the value"')

    with before_writes(runtime, value_is_faster) as sent:
        run = await client.start("worker-approval", "t", 0.3)
        assert await run.result(timeout="10s") == "got the value"

    log = await log_of(store, run.id)
    assert beaten.is_set()
    assert "wait_completed" not in names(log), "the refused decision must not be in the log"
    assert sum("wait_completed" in kinds(request) for request in sent) == 1, "a refused decision was sent again"
    assert runtime.worker.counters.refusals["OUT_OF_BAND_EVENT"] == 1
    assert runtime.worker.counters.stale_by_run(run.id) == 1


async def test_the_result_of_a_finished_step_survives_the_refusal_of_its_batch(
    store: Store, runtime: RunningRuntime, client: Client
) -> None:
    """The fact is settled alone, before anything else is decided, and the step does not run again."""

    async def value_is_faster(request: Request) -> None:
        if kinds(request)[:2] == ["step_completed", "step_created"]:
            await send_value(store, "t", '"value"')

    with before_writes(runtime, value_is_faster) as sent:
        run = await client.start("worker-step_then_value", "t")
        assert await run.result(timeout="10s") == ["value", "work", "after work"]

    refused = next(
        index for index, request in enumerate(sent) if kinds(request)[:2] == ["step_completed", "step_created"]
    )
    alone = sent[refused + 1]
    assert kinds(alone) == ["step_completed"]
    assert not alone.HasField("state_updated_at") and not alone.HasField("state_seq"), "a fact carries no guard"
    assert workflows.RUNS["work"] == 1
    log = names(await log_of(store, run.id))
    assert log.index("hook_received") < log.index("step_completed"), "the log has the order in which they came"


@pytest.mark.parametrize("rivals", [2, 3])
async def test_two_new_decisions_are_made_then_the_run_goes_back_to_the_queue(
    store: Store, runtime: RunningRuntime, client: Client, rivals: int
) -> None:
    """With two rivals the same hold succeeds; with three it queues a wake, acknowledges, and a fresh replay follows."""
    woken: list[str] = []
    real_wake = runtime.worker.store.wake

    async def wake(run_id: str, queue: str) -> str:
        woken.append(run_id)
        return await real_wake(run_id)

    runtime.worker.store.wake = wake  # type: ignore[method-assign]
    sent_values = 0

    async def value_is_faster(request: Request) -> None:
        nonlocal sent_values
        if sent_values < rivals and request.HasField("state_updated_at") and "run_started" not in kinds(request):
            sent_values += 1
            await send_value(store, "t", str(sent_values if sent_values < rivals else 0))

    with before_writes(runtime, value_is_faster):
        run = await client.start("worker-collect", "t")
        assert await run.result(timeout="10s") == [*range(1, rivals), 0]
    assert sent_values == rivals
    assert woken == ([run.id] if rivals == 3 else [])
    assert runtime.worker.counters.refusals["OUT_OF_BAND_EVENT"] == rivals


async def test_after_a_refusal_nothing_is_left_in_the_queue(
    store: Store, runtime: RunningRuntime, client: Client
) -> None:
    async def value_is_faster(request: Request) -> None:
        if "wait_completed" in kinds(request):
            await send_value(store, "t", '"value"')

    with before_writes(runtime, value_is_faster):
        run = await client.start("worker-approval", "t", 0.2)
        assert await run.result(timeout="10s") == "got value"
    await _until_empty(store)


async def test_a_run_taken_over_by_another_runtime_is_not_written_by_the_first(store: Store) -> None:
    """Two runtimes, one run: the second takes the message over; the first is fenced off in the same transaction."""
    async with running_runtime(store.address, *workflows.ALL) as first, Client(first.address) as client:
        fenced = asyncio.Event()

        async def lease_is_stolen(request: Request) -> None:
            if "wait_completed" in kinds(request) and not fenced.is_set():
                fenced.set()
                await store.client.queue.NackMessages(
                    queue_service_pb2.NackMessagesRequest(receipts=list(request.held_receipts or request.ack_receipts))
                )

        with before_writes(first, lease_is_stolen):
            run = await client.start("worker-approval", "t", 0.2)
            assert await run.result(timeout="10s") == "nothing came"
        log = names(await log_of(store, run.id))
    assert fenced.is_set()
    assert log.count("wait_completed") == 1 and log.count("run_completed") == 1


async def _until_empty(store: Store) -> None:
    request = queue_service_pb2.GetQueueRequest(queue=RUN_QUEUE)
    async with asyncio.timeout(10):
        while True:
            queue = (await store.client.queue.GetQueue(request)).queue
            if not (queue.ready_count or queue.delayed_count or queue.leased_count or queue.dead_count):
                return
            await asyncio.sleep(0.02)
