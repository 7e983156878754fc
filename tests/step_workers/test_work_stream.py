"""WorkSteps: the same as the unary calls over one stream, with credit, pushed cancellation and a drain handshake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from holdfast import Client
from holdfast.v1 import payload_pb2
from holdfast.v1 import step_worker_service_pb2 as pb
from runtime_service.api import step_worker_stream
from runtime_service.server import RunningRuntime
from runtime_service.tasks import reporting
from tests.step_workers import outside_workflows as flows
from tests.step_workers.worker import ALL_STEPS, Worker, payload
from tests.support.refusals import refused


class Stream:
    """One stream of a worker. ``say`` sends a command, ``hear`` waits for the next message of a kind."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._number = 0

    async def say(self, **command: Any) -> int:
        self._number += 1
        await self._call.write(pb.WorkStepsRequest(command_id=self._number, **command))
        return self._number

    async def hear(self, kind: str) -> Any:
        """Return the next message, which must be of this kind; signs of life are passed over."""
        async with asyncio.timeout(10):
            while True:
                message = await self._call.read()
                assert isinstance(message, pb.WorkStepsResponse), "the stream has ended"
                found = message.WhichOneof("kind")
                if found == kind:
                    return getattr(message, kind)
                assert found == "heartbeat", message

    async def result(self, command_id: int) -> pb.WorkStepsResult:
        result = await self.hear("result")
        assert result.command_id == command_id
        return result

    async def close(self) -> None:
        """End the worker's side and wait for the end of the other."""
        await self._call.done_writing()
        async with asyncio.timeout(10):
            while await self._call.read():
                pass

    def break_off(self) -> None:
        self._call.cancel()


@asynccontextmanager
async def stream(worker: Worker, credit: int = 1, **fields: Any) -> AsyncIterator[Stream]:
    call = worker.stub.WorkSteps()
    opening = pb.WorkStepsOpen(
        worker_id=worker.name, filter=pb.StepFilter(step_names=ALL_STEPS, queue="node"), initial_credit=credit, **fields
    )
    await call.write(pb.WorkStepsRequest(open=opening))
    opened = Stream(call)
    await opened.hear("opened")
    try:
        yield opened
    finally:
        opened.break_off()


def beat(task: pb.StepTask) -> dict[str, Any]:
    return {"heartbeat": pb.HeartbeatStepRequest(task_token=task.task_token, details=payload({"at": 1}))}


def done(task: pb.StepTask, value: Any) -> dict[str, Any]:
    return {"complete": pb.CompleteStepRequest(task_token=task.task_token, output=payload(value))}


async def test_tasks_come_as_far_as_the_credit_goes(client: Client, worker: Worker) -> None:
    runs = [await client.start(flows.call, "watched", str(n)) for n in range(3)]
    async with stream(worker, credit=1) as told:
        first = await told.hear("task")
        sign = await told.result(await told.say(**beat(first)))
        assert not sign.reason
        assert not sign.heartbeat.cancel_requested, "no second task came in between: the credit is used up"
        await told.result(await told.say(credit=pb.WorkStepsCredit(tasks=2)))
        tasks = [first, await told.hear("task"), await told.hear("task")]
        for task in tasks:
            assert not (await told.result(await told.say(**done(task, task.input.text)))).reason
        assert sorted([await run.result(timeout=10) for run in runs]) == ['"0"', '"1"', '"2"']
        await told.close()


async def test_a_cancellation_is_pushed(client: Client, worker: Worker) -> None:
    async with stream(worker) as told:
        run = await client.start(flows.race, "pushed")
        task = await told.hear("task")
        await client.resume("pushed", "first")
        cancel = await told.hear("cancel")
        assert (cancel.task_token, cancel.reason) == (task.task_token, "the workflow no longer waits for it")
        late = await told.result(await told.say(**done(task, "late")))
        assert late.reason == "LEASE_LOST"
        await client.resume("pushed:end", "done")
        assert await run.result(timeout=10) == "first done"


async def test_the_end_of_a_run_is_pushed(client: Client, worker: Worker) -> None:
    async with stream(worker) as told:
        run = await client.start(flows.film, "x")
        task = await told.hear("task")
        await run.cancel("now", force=True)
        cancel = await told.hear("cancel")
        assert (cancel.task_token, cancel.reason) == (task.task_token, "its run has ended")


async def test_a_failure_is_answered_like_the_unary_call(client: Client, worker: Worker) -> None:
    async with stream(worker, credit=2) as told:
        run = await client.start(flows.call, "watched", "x")
        task = await told.hear("task")
        failure = payload_pb2.Failure(type="Flaky", message="once")
        answer = await told.result(await told.say(fail=pb.FailStepRequest(task_token=task.task_token, failure=failure)))
        assert answer.fail.will_retry
        again = await told.hear("task")
        assert again.attempt == 2
        await told.say(**done(again, "yes"))
        assert await run.result(timeout=10) == "yes"


async def test_a_command_that_is_wrong_is_answered_and_the_stream_goes_on(client: Client, worker: Worker) -> None:
    async with stream(worker) as told:
        wrong = await told.result(await told.say(complete=pb.CompleteStepRequest(task_token="nonsense")))
        assert (wrong.reason, wrong.message) == ("INVALID_FIELD", "task_token: is no token of a task")
        too_much = await told.result(await told.say(credit=pb.WorkStepsCredit(tasks=1_000_000)))
        assert too_much.reason == "INVALID_FIELD"
        run = await client.start(flows.call, "watched", "x")
        await told.say(**done(await told.hear("task"), "still here"))
        assert await run.result(timeout=10) == "still here"


async def test_a_draining_worker_gets_no_more_tasks_and_finishes_what_it_has(client: Client, worker: Worker) -> None:
    async with stream(worker, credit=10) as told:
        run = await client.start(flows.call, "watched", "x")
        task = await told.hear("task")
        await told.result(await told.say(drain=pb.WorkStepsDrain()))
        other = await client.start(flows.call, "watched", "y")
        elsewhere = await worker.take()
        assert elsewhere.run_id == other.id
        await told.result(await told.say(**done(task, "finished")))
        await told.close()
        await worker.complete(elsewhere, "elsewhere")
        assert (await run.result(timeout=10), await other.result(timeout=10)) == ("finished", "elsewhere")


async def test_a_draining_runtime_says_goodbye_and_takes_results_until_the_worker_closes(
    client: Client, worker: Worker, runtime: RunningRuntime
) -> None:
    async with stream(worker, credit=10) as told:
        await client.start(flows.call, "watched", "x")
        task = await told.hear("task")
        draining = asyncio.create_task(runtime.server.drain(runtime.front.draining.set, 10))
        assert (await told.hear("draining")).HasField("deadline")
        assert not (await told.result(await told.say(**done(task, "in time")))).reason
        await told.close()
        await draining


async def test_a_worker_that_dies_with_its_stream_is_noticed_soon(
    monkeypatch: pytest.MonkeyPatch, client: Client, worker: Worker
) -> None:
    monkeypatch.setattr(reporting, "RECONNECT_MS", 200)
    run = await client.start(flows.film, "x")
    async with stream(worker) as told:
        task = await told.hear("task")
        assert task.heartbeat_timeout.ToSeconds() == 60
    again = await worker.take()
    assert again.attempt == 2
    await worker.complete(again, {"path": "p", "seconds": 1})
    assert await run.result(timeout=10) == "p of 1 s"


async def test_a_worker_that_lost_only_its_stream_keeps_its_task_with_a_heartbeat(
    monkeypatch: pytest.MonkeyPatch, client: Client, worker: Worker
) -> None:
    monkeypatch.setattr(reporting, "RECONNECT_MS", 500)
    run = await client.start(flows.film, "x")
    async with stream(worker) as told:
        task = await told.hear("task")
    async with stream(worker, credit=0) as back:
        assert not (await back.result(await back.say(**beat(task)))).reason
        assert await worker.poll(wait_ms=900) is None
        await back.result(await back.say(**done(task, {"path": "p", "seconds": 1})))
        await back.close()
    assert await run.result(timeout=10) == "p of 1 s"


async def test_silence_is_filled_with_signs_of_life(worker: Worker) -> None:
    async with stream(worker, heartbeat_interval=Duration(seconds=1)) as told:
        assert (await told.hear("heartbeat")).HasField("server_time")


async def test_the_first_message_must_introduce_the_worker(worker: Worker) -> None:
    call = worker.stub.WorkSteps()
    await call.write(pb.WorkStepsRequest(credit=pb.WorkStepsCredit(tasks=1)))
    refusal = await refused(call.read())
    assert refusal.info.reason == "INVALID_FIELD"
    assert "open" in refusal.message


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"worker_id": ""}, "worker_id"),
        ({"filter": pb.StepFilter(queue="node")}, "filter.step_names"),
        ({"filter": pb.StepFilter(step_names=["a"])}, "filter.queue"),
        ({"filter": pb.StepFilter(step_names=["a"], queue="default")}, "filter.queue"),
        ({"filter": pb.StepFilter(step_names=["a"], queue="Not One")}, "filter.queue"),
        ({"wait": Duration(seconds=61)}, "wait"),
    ],
)
async def test_a_poll_with_a_bad_field_is_refused_with_its_name(
    worker: Worker, change: dict[str, Any], field: str
) -> None:
    good = {"worker_id": "w", "filter": pb.StepFilter(step_names=["a"], queue="node")}
    refusal = await refused(worker.stub.PollStep(pb.PollStepRequest(**{**good, **change})))
    assert refusal.info.reason == "INVALID_FIELD"
    assert refusal.message.startswith(field)


def test_every_command_has_its_answer() -> None:
    commands = {field.name for field in pb.WorkStepsRequest.DESCRIPTOR.oneofs_by_name["command"].fields}
    assert set(step_worker_stream._COMMANDS) == commands - {"open"}
