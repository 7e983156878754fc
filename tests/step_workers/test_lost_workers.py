"""Workers and runtimes that die, fall silent or come back too late: a step ends once, and attempts are counted."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

from holdfast import Client
from holdfast.v1 import event_pb2, payload_pb2, queue_service_pb2
from runtime_service.names import step_queue
from runtime_service.tasks.token import TaskToken, read_token
from tests.step_workers import outside_workflows as flows
from tests.step_workers.worker import Worker
from tests.support.refusals import refused
from tests.support.runtime import RuntimeProcess, running_runtime
from tests.support.store import Store

EXAMPLES = Path(__file__).parents[2] / "examples" / "workers"


@contextmanager
def worker_process(address: str, seconds_a_frame: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(EXAMPLES / "render_worker.py"), address, str(seconds_a_frame)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def said(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """Wait until a worker has said something."""
    assert process.stdout is not None
    async with asyncio.timeout(20):
        while True:
            line = await asyncio.to_thread(process.stdout.readline)
            assert line, "the worker ended"
            if found := re.search(pattern, line):
                return found


async def kinds(client: Client, run_id: str) -> list[str]:
    return [str(event.WhichOneof("attributes")) async for event in client.run(run_id).events()]


async def test_a_killed_workers_step_is_run_again_by_another_from_where_it_stopped(
    store: Store, tmp_path: Path
) -> None:
    """Real processes: the workflow's runtime and two workers in another program, one of them killed in mid-step."""
    runtime = RuntimeProcess(tmp_path, str(EXAMPLES / "films.py"), store=store.address)
    async with runtime, Client(runtime.address) as client:
        run = await client.start("films", "dune", 8)
        with worker_process(runtime.address, 0.05) as first:
            await said(first, "attempt 1 of dune begins at frame 0")
            await until_beaten(store, frames=3)
            first.kill()
        with worker_process(runtime.address, 0.02) as second:
            found = await said(second, r"attempt 2 of dune begins at frame (\d+)")
            assert 3 <= int(found[1]) <= 8
            assert await run.result(timeout=20) == f"/films/dune: 8 frames, {found[1]} of them by a worker that died"


async def until_beaten(store: Store, frames: int) -> None:
    """Wait until a task was worked on so far, by what its holder said."""
    request = queue_service_pb2.ListMessagesRequest(
        queue=step_queue("render", "render"), view=payload_pb2.PAYLOAD_VIEW_STORED
    )
    async with asyncio.timeout(20):
        while True:
            (message,) = (await store.client.queue.ListMessages(request)).messages
            found = re.search(r"\d+", message.progress.text)
            if found and int(found[0]) >= frames:
                return
            await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_every_runtime_may_die_while_a_task_is_out(store: Store, tmp_path: Path) -> None:
    """The one that handed it out, which is also the one of the workflow: killed, and another one takes the result."""
    runtime = RuntimeProcess(
        tmp_path, str(EXAMPLES / "films.py"), store=store.address, options=["--lease", "1s", "--http", ""]
    )
    async with runtime, Client(runtime.address) as client:
        run = await client.start("films", "dune", 30)
        with worker_process(runtime.address, 0.05) as worker:
            await said(worker, "attempt 1 of dune begins at frame 0")
            await asyncio.to_thread(runtime.restart)
            assert "30 frames" in await run.result(timeout=20)


async def test_a_silent_worker_is_fenced_and_its_late_result_refused(client: Client, worker: Worker) -> None:
    run = await client.start(flows.call, "watched", "x")
    first = await worker.take()
    await worker.beat(first, {"at": 3})
    second = await worker.take()
    assert (second.attempt, second.last_heartbeat.text) == (2, '{"at": 3}')
    for late in (worker.complete(first, "late"), worker.beat(first), worker.fail(first, "E", "late")):
        refusal = await refused(late)
        assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LEASE_LOST")
    await worker.complete(second, "second")
    assert await run.result(timeout=10) == "second"
    told = [it async for it in run.events() if it.HasField("step_retrying")]
    assert [it.step_retrying.failure.type for it in told] == ["holdfast.StepTimeout"]


async def test_a_lost_workers_progress_reaches_the_next_on_every_engine(any_store: Store) -> None:
    async with (
        running_runtime(any_store.address, *flows.ALL, linger_ms=20) as runtime,
        Client(runtime.address) as client,
        grpc.aio.insecure_channel(runtime.address) as channel,
    ):
        worker = Worker(channel)
        run = await client.start(flows.call, "watched", "x")
        first = await worker.take()
        await worker.beat(first, {"at": 5})
        second = await worker.take()
        assert (second.attempt, second.last_heartbeat.text) == (2, '{"at": 5}')
        assert (await refused(worker.complete(first, "late"))).info.reason == "LEASE_LOST"
        await worker.complete(second, "second")
        assert await run.result(timeout=10) == "second"


async def test_a_worker_that_beats_keeps_its_step(client: Client, worker: Worker) -> None:
    run = await client.start(flows.call, "watched", "x")
    task = await worker.take()
    for _ in range(8):
        assert await worker.poll(wait_ms=200) is None, "nobody else gets it"
        assert not (await worker.beat(task)).cancel_requested
    await worker.complete(task, "kept")
    assert await run.result(timeout=10) == "kept"
    assert (await kinds(client, run.id)).count("step_started") == 1


async def test_a_repeated_report_gets_the_first_answer(client: Client, worker: Worker) -> None:
    run = await client.start(flows.call, "watched", "x")
    task = await worker.take()
    first = await worker.fail(task, "Flaky", "once")
    assert first.will_retry
    assert await worker.fail(task, "Flaky", "once") == first
    assert (await refused(worker.fail(task, "Flaky", "other"))).info.reason == "LEASE_LOST"
    task = await worker.take()
    await worker.complete(task, "done")
    await worker.complete(task, "done")
    assert (await refused(worker.complete(task, "other"))).info.reason == "LEASE_LOST"
    assert await run.result(timeout=10) == "done"


async def test_a_receipt_opens_no_other_step(client: Client, worker: Worker) -> None:
    """A worker that writes the name of another step into its token is refused: it holds a lease, but not that one."""
    own = await client.start(flows.call, "watched", "own")
    other = await client.start(flows.call, "watched", "other")
    tasks = {task.run_id: task for task in [await worker.take(), await worker.take()]}
    mine, theirs = read_token(tasks[own.id].task_token), read_token(tasks[other.id].task_token)
    forged = TaskToken(mine.receipt, *(getattr(theirs, name) for name in TaskToken.__slots__[1:]))
    task = tasks[own.id]
    honest = task.task_token
    task.task_token = forged.written()
    assert (await refused(worker.complete(task, "forged"))).info.reason == "LEASE_LOST"
    assert (await refused(worker.fail(task, "E", "forged"))).info.reason == "LEASE_LOST"
    task.task_token = honest
    await worker.complete(task, "mine")
    await worker.complete(tasks[other.id], "theirs")
    assert (await own.result(timeout=10), await other.result(timeout=10)) == ("mine", "theirs")


async def test_a_task_that_is_given_back_uses_up_no_attempt(client: Client, worker: Worker) -> None:
    run = await client.start(flows.call, "once", "x")
    for number in (1, 2, 3):
        task = await worker.take()
        assert task.attempt == number
        await worker.release(task)
    assert (await worker.fail(await worker.take(), "ValueError", "no")).will_retry is False
    assert "after 4" in await run.result(timeout=10)


async def test_a_worker_that_goes_away_while_it_polls_loses_no_task(client: Client, worker: Worker) -> None:
    polling = asyncio.ensure_future(worker.poll())
    await asyncio.sleep(0.1)
    polling.cancel()
    run = await client.start(flows.call, "once", "x")
    task = await worker.take()
    await worker.complete(task, "got it")
    assert await run.result(timeout=5) == "got it"


@pytest.mark.slow
async def test_a_killed_runtime_of_a_queue_is_replaced(store: Store, client: Client, tmp_path: Path) -> None:
    """The Python step of a queue, in a runtime that is killed while it runs it: another one runs it again."""
    module = Path(__file__).with_name("slow_steps.py")
    options = ["--queue", "slow", "--lease", "1s"]
    first = RuntimeProcess(tmp_path, str(module), store=store.address, options=options)
    second = RuntimeProcess(tmp_path, str(module), store=store.address, options=options)
    async with first, second, Client(first.address) as here, Client(second.address) as there:
        run = await here.start("outside.slowly", str(tmp_path))
        async with asyncio.timeout(20):
            while not (tmp_path / "began-1").exists():  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.02)
        started = [event async for event in _so_far(there, run.id)]
        holder = next(e.step_started.worker_id for e in started if e.HasField("step_started"))
        killed = first if f":{first.pid}:" in holder else second
        await asyncio.to_thread(killed.kill)
        client = there if killed is first else here
        assert await client.run(run.id).result(timeout=20) == "by attempt 2"


async def _so_far(client: Client, run_id: str) -> AsyncIterator[event_pb2.Event]:
    async for event in client.run(run_id).events():
        yield event
        if event.HasField("step_started"):
            return
