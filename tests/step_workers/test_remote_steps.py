"""Steps in other programs, called from workflows like local ones: the plain way, from the call to the result."""

from __future__ import annotations

import grpc.aio
import pytest

from holdfast import Client, WrongContext, remote_step
from holdfast.testing import Environment
from holdfast.v1 import queue_service_pb2
from runtime_service.names import step_queue
from runtime_service.server import RunningRuntime
from tests.step_workers import outside_workflows as flows
from tests.step_workers.worker import Worker, until, value_of
from tests.support.runtime import running_runtime
from tests.support.store import Store


async def test_a_remote_step_is_awaited_like_a_local_one(client: Client, worker: Worker) -> None:
    run = await client.start(flows.film, "dune")
    task = await worker.take()
    assert (task.step_name, task.workflow_name, task.attempt) == ("outside.render", "outside.film", 1)
    assert value_of(task) == {"name": "dune", "frames": 24}, "the value itself, for readers in any language"
    assert task.heartbeat_timeout.ToSeconds() == 60, "a step without any bound still has to give a sign of life"
    await worker.complete(task, {"path": "/films/dune", "seconds": 1})
    assert await run.result(timeout=10) == "/films/dune of 1 s"


async def test_a_result_settles_its_task_in_the_same_transaction(store: Store, client: Client, worker: Worker) -> None:
    run = await client.start(flows.film, "dune")
    task = await worker.take()
    watching = store.client.queue.GetQueue(
        queue_service_pb2.GetQueueRequest(queue=step_queue("node", "outside.render"))
    )
    assert (await watching).queue.leased_count == 1
    await worker.complete(task, {"path": "p", "seconds": 1})
    after = store.client.queue.GetQueue(queue_service_pb2.GetQueueRequest(queue=step_queue("node", "outside.render")))
    assert (await after).queue == queue_service_pb2.Queue(name=step_queue("node", "outside.render"))
    assert await run.result(timeout=10) == "p of 1 s"


async def test_a_run_that_is_looked_at_meanwhile_leaves_its_task_alone(
    client: Client, worker: Worker, runtime: RunningRuntime
) -> None:
    """An attempt that runs by the log but not here is a lost one only when it was to run here."""
    run = await client.start(flows.call, "watched", "x")
    for _ in range(2):
        await worker.release(await worker.take())
    task = await worker.take()
    assert task.attempt == 3, "by its number the last one that the policy allows"
    await until(lambda: not runtime.worker.active_replays)
    claims = runtime.worker.counters.claims
    await run.wake()
    await until(lambda: runtime.worker.counters.claims > claims and not runtime.worker.active_replays)
    await worker.complete(task, "not lost")
    assert await run.result(timeout=10) == "not lost"


async def test_the_holder_of_a_run_hears_at_once_of_a_result_that_another_runtime_recorded(store: Store) -> None:
    async with (
        running_runtime(store.address, *flows.ALL, linger_ms=30_000) as holder,
        running_runtime(store.address) as other,
        Client(holder.address) as client,
        grpc.aio.insecure_channel(other.address) as channel,
    ):
        run = await client.start(flows.film, "dune")
        await Worker(channel).complete(await Worker(channel).take(), {"path": "p", "seconds": 1})
        assert await run.result(timeout=3) == "p of 1 s"


async def test_several_remote_steps_of_a_run_are_out_at_once(client: Client, worker: Worker) -> None:
    run = await client.start(flows.both, "two")
    tasks = [await worker.take(), await worker.take()]
    for task in reversed(tasks):
        await worker.complete(task, {"path": value_of(task)["name"], "seconds": 1})
    assert await run.result(timeout=10) == "two: a b"


async def test_a_result_that_does_not_fit_the_declaration_is_told_to_the_workflow(
    client: Client, worker: Worker
) -> None:
    run = await client.start(flows.film, "dune")
    await worker.complete(await worker.take(), {"path": "/films/dune"})
    with pytest.raises(Exception, match=r"outside\.render.*seconds"):
        await run.result(timeout=10)


async def test_a_worker_gets_the_steps_it_can_run_and_no_others(client: Client, worker: Worker) -> None:
    run = await client.start(flows.film, "dune")
    assert await worker.poll("outside.once", wait_ms=300) is None
    worker.queue = "other"
    assert await worker.poll("outside.render", wait_ms=300) is None
    worker.queue = "node"
    await worker.complete(await worker.take("outside.once", "outside.render"), {"path": "p", "seconds": 2})
    assert await run.result(timeout=10) == "p of 2 s"


async def test_a_task_needs_no_runtime_to_stay_the_same(store: Store, client: Client, runtime: RunningRuntime) -> None:
    """Taken from one runtime, reported to another, while no runtime holds the run."""
    async with (
        running_runtime(store.address, *flows.ALL, linger_ms=20) as other,
        grpc.aio.insecure_channel(other.address) as there,
        grpc.aio.insecure_channel(runtime.address) as here,
    ):
        run = await client.start(flows.film, "dune")
        task = await Worker(there).take()
        await until(lambda: not (runtime.worker.active_replays or other.worker.active_replays))
        await other.server.drain(other.front.draining.set, 0)
        assert not (await Worker(here).beat(task)).cancel_requested
        await Worker(here).complete(task, {"path": "p", "seconds": 3})
        assert await run.result(timeout=10) == "p of 3 s"


async def test_a_python_step_of_a_queue_runs_only_where_the_queue_is_served(store: Store, client: Client) -> None:
    run = await client.start(flows.queued, "again")
    async with running_runtime(store.address, *flows.ALL, queue=["gpu"]) as gpu:
        assert await run.result(timeout=10) == "again by attempt 2 from {'frame': 7}"
        started = [event async for event in run.events() if event.HasField("step_started")]
        assert {event.step_started.worker_id for event in started} == {gpu.front.runtime_id}
        assert len(started) == 2


async def test_in_a_test_environment_a_remote_step_is_stubbed() -> None:
    async with Environment() as env:
        env.stub(flows.render, calling=lambda scene: {"path": scene.name, "seconds": scene.frames})
        assert await env.run(flows.film, "dune") == "dune of 24 s"
        assert await env.run(flows.queued, "here") == "here by attempt 1 from None"


async def test_outside_a_workflow_a_remote_step_says_where_it_is() -> None:
    with pytest.raises(WrongContext, match=r"outside\.render is remote"):
        flows.render(flows.Scene(name="x", frames=1))


@pytest.mark.parametrize("queue", ["", "default", "Not A Queue"])
def test_a_remote_step_needs_a_queue_of_its_own(queue: str) -> None:
    with pytest.raises(ValueError, match="queue"):
        remote_step("outside.nowhere", queue=queue)
