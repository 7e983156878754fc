"""CancelRun, WakeRun and ResumeHook: what comes too late changes nothing, and a retry happens once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast.v1 import entity_pb2, event_pb2
from holdfast.v1.payload_pb2 import Payload
from holdfast.v1.runtime_service_pb2 import (
    AwaitRunRequest,
    CancelRunRequest,
    DescribeRunRequest,
    ResumeHookRequest,
    StartRunRequest,
    WakeRunRequest,
    WatchRunRequest,
)
from tests.support.refusals import fields, refused

YES = Payload(text='{"approved":true,"by":"ada"}')


async def started(stub: Any, workflow: str, text: str | None = None) -> str:
    request = StartRunRequest(workflow_name=workflow, input=Payload(text=text) if text is not None else None)
    return str((await stub.StartRun(request)).run.run_id)


async def ended(stub: Any, run_id: str) -> entity_pb2.Run:
    answer = await stub.AwaitRun(AwaitRunRequest(run_id=run_id))
    assert answer.done
    return answer.run


async def seen(stub: Any, run_id: str, kind: int, count: int = 1) -> None:
    """Wait until the log has so many events of a kind."""
    call = stub.WatchRun(WatchRunRequest(run_id=run_id, types=[kind]))
    async with asyncio.timeout(10):
        async for message in call:
            count -= message.HasField("event")
            if not count:
                break
    call.cancel()


async def waiting_for_approval(stub: Any, token: str) -> str:
    run_id = await started(stub, "approval", f'"{token}"')
    await seen(stub, run_id, event_pb2.EVENT_TYPE_HOOK_CREATED)
    return run_id


async def count_of(stub: Any, run_id: str, kind: int) -> int:
    return len(
        [
            1
            async for message in stub.WatchRun(WatchRunRequest(run_id=run_id, types=[kind]))
            if message.HasField("event")
        ]
    )


async def test_a_cancelled_run_ends_as_cancelled_with_the_reason(stub: Any) -> None:
    run_id = await started(stub, "forever")
    assert (await stub.CancelRun(CancelRunRequest(run_id=run_id, reason="why"))).cancelled
    run = await ended(stub, run_id)
    assert (run.status, run.cancel_reason) == (entity_pb2.RUN_STATUS_CANCELLED, "why")


async def test_a_forced_cancel_ends_the_run_at_once(stub: Any) -> None:
    run_id = await started(stub, "forever")
    answer = await stub.CancelRun(CancelRunRequest(run_id=run_id, force=True))
    assert answer.cancelled
    assert answer.run.status == entity_pb2.RUN_STATUS_CANCELLED


async def test_cancelling_twice_asks_once(stub: Any) -> None:
    run_id = await waiting_for_approval(stub, "twice")
    request = CancelRunRequest(run_id=run_id)
    assert (await stub.CancelRun(request)).cancelled
    await stub.CancelRun(request)
    await ended(stub, run_id)
    assert await count_of(stub, run_id, event_pb2.EVENT_TYPE_RUN_CANCEL_REQUESTED) == 1


async def test_cancelling_a_run_that_has_ended_succeeds_and_changes_nothing(stub: Any) -> None:
    run_id = await started(stub, "echo")
    before = await ended(stub, run_id)
    for force in (False, True):
        answer = await stub.CancelRun(CancelRunRequest(run_id=run_id, force=force))
        assert not answer.cancelled
        assert answer.run.guard.head_seq == before.guard.head_seq


async def test_waking_with_skipped_waits_fires_every_sleep(stub: Any) -> None:
    run_id = await started(stub, "sleeper", "3")
    await seen(stub, run_id, event_pb2.EVENT_TYPE_WAIT_CREATED, count=3)
    answer = await stub.WakeRun(WakeRunRequest(run_id=run_id, skip_waits=True))
    assert (answer.fired_count, answer.message_id) == (3, "")
    assert (await ended(stub, run_id)).output.text == '"awake"'


async def test_waking_without_skipped_waits_leaves_them_alone(stub: Any) -> None:
    run_id = await started(stub, "sleeper", "1")
    await seen(stub, run_id, event_pb2.EVENT_TYPE_WAIT_CREATED)
    answer = await stub.WakeRun(WakeRunRequest(run_id=run_id))
    assert answer.message_id.startswith("msg_")
    assert len((await stub.DescribeRun(DescribeRunRequest(run_id=run_id))).open_waits) == 1


async def test_waking_a_run_that_has_ended_is_refused(stub: Any) -> None:
    run_id = await started(stub, "echo")
    await ended(stub, run_id)
    refusal = await refused(stub.WakeRun(WakeRunRequest(run_id=run_id)))
    assert (refusal.code.name, refusal.info.reason) == ("FAILED_PRECONDITION", "RUN_TERMINAL")


async def test_a_value_reaches_the_hook_by_token_or_by_id(stub: Any) -> None:
    by_token = await waiting_for_approval(stub, "order:1")
    answer = await stub.ResumeHook(ResumeHookRequest(token="order:1", payload=YES))
    assert answer.event.type == event_pb2.EVENT_TYPE_HOOK_RECEIVED
    assert answer.hook.received_count == 1
    assert (await ended(stub, by_token)).output.text == '"by ada"'
    by_id = await waiting_for_approval(stub, "order:2")
    hook = (await stub.DescribeRun(DescribeRunRequest(run_id=by_id))).open_hooks[0]
    await stub.ResumeHook(ResumeHookRequest(hook_id=hook.hook_id, run_id=by_id, payload=YES))
    assert (await ended(stub, by_id)).output.text == '"by ada"'


@pytest.mark.parametrize(
    "payload",
    [
        Payload(text='{"approved":"perhaps","by":"ada"}'),
        Payload(text='{"approved":true}'),
        Payload(text="{"),
        Payload(),
        Payload(content_type="image/png", data=b"x"),
    ],
)
async def test_a_value_that_does_not_fit_the_hook_is_refused_to_its_sender(stub: Any, payload: Payload) -> None:
    run_id = await waiting_for_approval(stub, "order:1")
    refusal = await refused(stub.ResumeHook(ResumeHookRequest(token="order:1", payload=payload)))
    assert fields(refusal) == ("payload",)
    hook = (await stub.DescribeRun(DescribeRunRequest(run_id=run_id))).open_hooks[0]
    assert hook.received_count == 0


async def test_a_token_that_nobody_listens_to_is_not_found(stub: Any) -> None:
    refusal = await refused(stub.ResumeHook(ResumeHookRequest(token="nobody", payload=YES)))
    assert (refusal.code.name, refusal.info.reason) == ("NOT_FOUND", "ENTITY_NOT_FOUND")
    assert refusal.info.metadata["token"] == "nobody"


async def test_a_closed_hook_and_an_ended_run_are_not_found(stub: Any) -> None:
    run_id = await waiting_for_approval(stub, "order:1")
    hook = (await stub.DescribeRun(DescribeRunRequest(run_id=run_id))).open_hooks[0]
    await stub.ResumeHook(ResumeHookRequest(token="order:1", payload=YES))
    await ended(stub, run_id)
    for late in (
        ResumeHookRequest(token="order:1", payload=YES),
        ResumeHookRequest(hook_id=hook.hook_id, run_id=run_id, payload=YES),
    ):
        assert (await refused(stub.ResumeHook(late))).info.reason == "ENTITY_NOT_FOUND"
    assert await count_of(stub, run_id, event_pb2.EVENT_TYPE_HOOK_RECEIVED) == 1


async def test_a_resume_that_is_sent_again_is_one_value_even_after_the_hook_closed(stub: Any) -> None:
    run_id = await waiting_for_approval(stub, "order:1")
    request = ResumeHookRequest(token="order:1", payload=YES, request_id="once")
    first = await stub.ResumeHook(request)
    await ended(stub, run_id)
    second = await stub.ResumeHook(request)
    assert second.deduplicated and not first.deduplicated
    assert second.event.seq == first.event.seq
    assert await count_of(stub, run_id, event_pb2.EVENT_TYPE_HOOK_RECEIVED) == 1


async def test_a_request_id_used_for_another_value_is_refused(stub: Any) -> None:
    await waiting_for_approval(stub, "order:1")
    await stub.ResumeHook(ResumeHookRequest(token="order:1", payload=YES, request_id="once"))
    other = Payload(text='{"approved":false,"by":"eve"}')
    refusal = await refused(stub.ResumeHook(ResumeHookRequest(token="order:1", payload=other, request_id="once")))
    assert refusal.info.reason == "REQUEST_ID_REUSED"


BAD = {
    "target": ("ResumeHook", ResumeHookRequest(payload=YES)),
    "token": ("ResumeHook", ResumeHookRequest(token="x" * 513, payload=YES)),
    "hook_id": ("ResumeHook", ResumeHookRequest(hook_id="no spaces", run_id="r", payload=YES)),
    "run_id": ("ResumeHook", ResumeHookRequest(hook_id="hook_#1", payload=YES)),
    "request_id": ("ResumeHook", ResumeHookRequest(token="t", payload=YES, request_id="x" * 129)),
    "reason": ("CancelRun", CancelRunRequest(run_id="r", reason="x" * 513)),
}


@pytest.mark.parametrize("field", BAD)
async def test_a_malformed_field_is_named(stub: Any, field: str) -> None:
    method, request = BAD[field]
    refusal = await refused(getattr(stub, method)(request))
    assert fields(refusal) == (field,)


@pytest.mark.parametrize("request_", [CancelRunRequest(run_id="run_none"), WakeRunRequest(run_id="run_none")])
async def test_a_run_that_does_not_exist_is_not_found(stub: Any, request_: Any) -> None:
    method = stub.CancelRun if isinstance(request_, CancelRunRequest) else stub.WakeRun
    assert (await refused(method(request_))).info.reason == "RUN_NOT_FOUND"
