"""AwaitRun and WatchRun: a wait that is over is an answer, and a watch can be resumed without a gap."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from holdfast.v1 import entity_pb2, event_pb2
from holdfast.v1.payload_pb2 import Payload
from holdfast.v1.runtime_service_pb2 import (
    AwaitRunRequest,
    CancelRunRequest,
    StartRunRequest,
    WatchRunRequest,
)
from runtime_service.server import RunningRuntime
from tests.support.refusals import fields, refused
from tests.support.store import Store, eventually, take_apart


async def started(stub: Any, workflow: str, text: str | None = None) -> str:
    request = StartRunRequest(workflow_name=workflow, input=Payload(text=text) if text is not None else None)
    return str((await stub.StartRun(request)).run.run_id)


async def watched(stub: Any, request: WatchRunRequest) -> list[Any]:
    return [message async for message in stub.WatchRun(request)]


async def test_a_wait_that_is_over_is_an_answer_and_no_error(stub: Any) -> None:
    run_id = await started(stub, "forever")
    answer = await stub.AwaitRun(AwaitRunRequest(run_id=run_id, timeout=Duration(nanos=50_000_000)))
    assert not answer.done
    assert answer.run.run_id == run_id


async def test_a_wait_ends_with_the_run(stub: Any) -> None:
    run_id = await started(stub, "forever")
    waiting = asyncio.ensure_future(stub.AwaitRun(AwaitRunRequest(run_id=run_id)))
    await stub.CancelRun(CancelRunRequest(run_id=run_id, reason="enough"))
    answer = await waiting
    assert answer.done
    assert answer.run.status == entity_pb2.RUN_STATUS_CANCELLED
    assert answer.run.cancel_reason == "enough"


async def test_a_failed_run_tells_its_failure(stub: Any) -> None:
    run_id = await started(stub, "broken")
    answer = await stub.AwaitRun(AwaitRunRequest(run_id=run_id))
    assert answer.run.status == entity_pb2.RUN_STATUS_FAILED
    assert (answer.run.failure.type, answer.run.failure.message) == ("ValueError", "broken by design")


@pytest.mark.parametrize("seconds", [-1, 61])
async def test_a_wait_outside_the_limits_is_refused(stub: Any, seconds: int) -> None:
    refusal = await refused(stub.AwaitRun(AwaitRunRequest(run_id="r", timeout=Duration(seconds=seconds))))
    assert fields(refusal) == ("timeout",)


async def test_waiting_for_a_run_that_does_not_exist_is_refused(stub: Any) -> None:
    assert (await refused(stub.AwaitRun(AwaitRunRequest(run_id="run_none")))).info.reason == "RUN_NOT_FOUND"


async def test_draining_answers_a_wait_at_once(stub: Any, runtime: RunningRuntime) -> None:
    run_id = await started(stub, "forever")
    waiting = asyncio.ensure_future(stub.AwaitRun(AwaitRunRequest(run_id=run_id)))
    await eventually(lambda: _is_followed(runtime, run_id))
    runtime.front.draining.set()
    async with asyncio.timeout(10):
        assert not (await waiting).done


async def _is_followed(runtime: RunningRuntime, run_id: str) -> bool:
    """Whether the call has arrived: the hold follows its run as well."""
    return len(runtime.worker.feed._followers.get(run_id, ())) == 2


async def test_a_watch_tells_every_event_once_and_ends_with_the_run(stub: Any) -> None:
    run_id = await started(stub, "checkout", '{"id":"o1"}')
    messages = await watched(stub, WatchRunRequest(run_id=run_id))
    events = [message.event for message in messages if message.HasField("event")]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].type == event_pb2.EVENT_TYPE_RUN_COMPLETED
    assert messages[-1].ended.status == entity_pb2.RUN_STATUS_COMPLETED
    assert any(message.progress.caught_up for message in messages)


async def test_a_watch_resumed_at_any_message_misses_nothing_and_repeats_nothing(stub: Any) -> None:
    run_id = await started(stub, "checkout", '{"id":"o1"}')
    whole = await watched(stub, WatchRunRequest(run_id=run_id))
    count = len([message for message in whole if message.HasField("event")])
    for seen in (message for message in whole if message.HasField("event")):
        rest = await watched(stub, WatchRunRequest(run_id=run_id, cursor=seen.cursor))
        seqs = [message.event.seq for message in rest if message.HasField("event")]
        assert seqs == list(range(seen.event.seq + 1, count + 1))


async def test_a_watch_of_some_types_still_ends_with_the_run(stub: Any) -> None:
    run_id = await started(stub, "checkout", '{"id":"o1"}')
    kinds = [event_pb2.EVENT_TYPE_STEP_COMPLETED]
    messages = await watched(stub, WatchRunRequest(run_id=run_id, types=kinds))
    assert [message.event.type for message in messages if message.HasField("event")] == kinds
    assert messages[-1].HasField("ended")


async def test_a_silent_watch_gives_signs_of_life(stub: Any, store: Store) -> None:
    store.is_audited = False  # A workflow that waits for nothing is stuck, as the audit says.
    run_id = await started(stub, "forever")
    request = WatchRunRequest(run_id=run_id, progress_interval=Duration(seconds=1))
    beats = 0
    call = stub.WatchRun(request)
    async for message in call:
        beats += message.progress.status == entity_pb2.RUN_STATUS_RUNNING and message.progress.caught_up
        if beats == 2:
            break
    call.cancel()


async def test_draining_ends_a_watch_so_that_it_can_be_resumed_elsewhere(stub: Any, runtime: RunningRuntime) -> None:
    run_id = await started(stub, "forever")
    with pytest.raises(grpc.RpcError) as caught:
        async for message in stub.WatchRun(WatchRunRequest(run_id=run_id)):
            if message.progress.caught_up:
                runtime.front.draining.set()
    assert take_apart(caught.value).info.reason == "NOT_READY"


BAD = {
    "run_id": WatchRunRequest(run_id=""),
    "types[0]": WatchRunRequest(run_id="r", types=[999]),  # type: ignore[list-item]
    "progress_interval": WatchRunRequest(run_id="r", progress_interval=Duration(seconds=61)),
    "view": WatchRunRequest(run_id="r", view=9),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("field", BAD)
async def test_a_malformed_watch_is_refused(stub: Any, field: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        await watched(stub, BAD[field])
    assert fields(take_apart(caught.value)) == (field,)


async def test_a_cursor_of_something_else_is_refused(stub: Any) -> None:
    run_id = await started(stub, "forever")
    with pytest.raises(grpc.RpcError) as caught:
        await watched(stub, WatchRunRequest(run_id=run_id, cursor="made up"))
    assert take_apart(caught.value).info.reason == "INVALID_CURSOR"
