"""Runs from their start to their end, with the real store: results, failures, cancellation, size, modes."""

from __future__ import annotations

import asyncio

import pytest

from holdfast import Client, HookNotFound, RunCancelled, RunFailed, StepFailed
from holdfast.v1 import queue_service_pb2
from runtime_service.names import RUN_QUEUE
from runtime_service.server import RunningRuntime
from tests.support.runtime import running_runtime
from tests.support.store import Store
from tests.worker import workflows_for_worker as workflows
from tests.worker.interference import Request, before_writes, kinds, log_of, losing_replies, names, send_value

EVERYTHING = ["f", "a", "b", 3, 0, "timed out"]


async def run_everything(store: Store, client: Client, token: str = "numbers") -> str:
    """Run the workflow that uses every primitive; returns its run id."""
    run = await client.start("worker-everything", token)
    await until_open(client, token)
    await client.resume(token, 3)
    await send_value(store, token, "0")
    assert await run.result(timeout="20s") == EVERYTHING
    return run.id


async def until_open(client: Client, token: str) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await client.hook(token)
                return
            except HookNotFound:
                await asyncio.sleep(0.01)


async def until_let_go(runtime: RunningRuntime) -> None:
    async with asyncio.timeout(10):
        while runtime.worker.active_replays:  # noqa: ASYNC110 - the worker has no event for it, and needs none
            await asyncio.sleep(0.02)


async def test_every_primitive_ends_in_the_expected_result(store: Store, client: Client) -> None:
    run_id = await run_everything(store, client)
    log = await log_of(store, run_id)
    assert [event.seq for event in log] == list(range(1, len(log) + 1))
    assert names(log).count("step_retrying") == 2
    assert workflows.RUNS["f"] == 3
    assert workflows.RUNS["slow was cancelled"] == 1


async def test_a_live_instance_is_only_an_optimisation(store: Store) -> None:
    """The same run with a replay from the start at every turn gives the same result and the same kinds of events."""
    logs = []
    for mode in (False, True):
        workflows.RUNS.clear()
        served = running_runtime(store.address, *workflows.ALL, replay_always=mode)
        async with served as runtime, Client(runtime.address) as client:
            run_id = await run_everything(store, client, f"mode {mode}")
        logs.append(sorted(names(await log_of(store, run_id))))
    assert logs[0] == logs[1]


async def test_a_suspension_of_a_sequential_step_is_one_batch(
    store: Store, runtime: RunningRuntime, client: Client
) -> None:
    async def nothing(request: Request) -> None: ...

    with before_writes(runtime, nothing) as sent:
        run = await client.start("worker-three_steps")
        assert await run.result(timeout="10s") == ["one", "two", "three"]
    assert [kinds(request) for request in sent] == [
        ["run_started", "step_created", "step_started"],
        ["step_completed", "step_created", "step_started"],
        ["step_completed", "step_created", "step_started"],
        ["step_completed", "run_completed"],
    ]


async def test_more_branches_than_one_batch_takes_are_all_run(client: Client) -> None:
    run = await client.start("worker-wide", 1_300)
    assert await run.result(timeout="60s") == 1_300


async def test_a_failed_step_fails_its_run_with_both_causes(client: Client) -> None:
    run = await client.start("worker-fails")
    with pytest.raises(RunFailed) as failed:
        await run.result(timeout="10s")
    step_failed = failed.value.__cause__
    assert isinstance(step_failed, StepFailed) and step_failed.attempts == 2
    assert isinstance(step_failed.__cause__, KeyError)


async def test_a_cancel_reaches_the_step_and_lets_the_workflow_clean_up(store: Store, client: Client) -> None:
    run = await client.start("worker-cleans_up")
    async with asyncio.timeout(10):
        async for event in run.events():
            if event.HasField("step_started"):
                break
    await run.cancel("enough")
    with pytest.raises(RunCancelled, match="enough"):
        await run.result(timeout="10s")
    log = names(await log_of(store, run.id))
    assert workflows.RUNS == {"slow was cancelled": 1, "cleaned up": 1}
    assert log.index("run_cancel_requested") < log.index("step_completed") < log.index("run_cancelled") == len(log) - 1


async def test_a_forced_cancel_ends_the_run_at_once(store: Store, client: Client) -> None:
    run = await client.start("worker-cleans_up")
    async with asyncio.timeout(10):
        async for event in run.events():
            if event.HasField("step_started"):
                break
    await run.cancel("now", force=True)
    with pytest.raises(RunCancelled):
        await run.result(timeout="10s")
    assert names(await log_of(store, run.id))[-1] == "run_cancelled"
    assert "cleaned up" not in workflows.RUNS


async def test_a_lost_reply_writes_nothing_twice(store: Store, runtime: RunningRuntime, client: Client) -> None:
    """Every write is executed and its first answer lost; the repeat has the same request id."""
    with losing_replies(runtime, lambda request: True) as lost:
        run_id = await run_everything(store, client)
    log = await log_of(store, run_id)
    ended = [event.correlation_id for event in log if event.HasField("step_completed")]
    assert len(lost) > 5
    assert len(ended) == len(set(ended))


async def test_an_idle_store_with_a_sleeping_run_executes_no_statement(
    store: Store, runtime: RunningRuntime, client: Client
) -> None:
    await client.start("worker-approval", "idle", 3600)
    await until_open(client, "idle")
    await until_let_go(runtime)
    await asyncio.sleep(2.5)  # one look at the queue is due when the lease of 2 s would have ended
    before = store.engine.statements
    await asyncio.sleep(2)
    assert store.engine.statements == before


async def test_a_run_that_waits_holds_no_lease_and_one_delayed_message(
    store: Store, runtime: RunningRuntime, client: Client
) -> None:
    await client.start("worker-approval", "waiting", 3600)
    await until_open(client, "waiting")
    await until_let_go(runtime)
    answer = await store.client.queue.GetQueue(queue_service_pb2.GetQueueRequest(queue=RUN_QUEUE))
    queue = answer.queue
    assert (queue.ready_count, queue.delayed_count, queue.leased_count) == (0, 1, 0)
