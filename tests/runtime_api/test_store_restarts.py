"""Waits and watches at the runtime outlive a restart of its store, without a gap and without a repeat."""

from __future__ import annotations

import asyncio
from typing import Any

from holdfast.v1 import event_pb2
from holdfast.v1.payload_pb2 import Payload
from holdfast.v1.runtime_service_pb2 import AwaitRunRequest, ResumeHookRequest, StartRunRequest, WatchRunRequest
from tests.runtime_api.definitions_for_tests import approve
from tests.support.runtime import running_runtime, runtime_stub
from tests.support.store import StoreProcess


async def test_a_watch_and_a_wait_outlive_a_restart_of_the_store(store_process: StoreProcess) -> None:
    async with running_runtime(store_process.address, approve) as runtime, runtime_stub(runtime.address) as stub:
        request = StartRunRequest(workflow_name="approval", input=Payload(text='"t"'))
        run_id = (await stub.StartRun(request)).run.run_id
        opened = asyncio.Event()
        watching = asyncio.ensure_future(_events(stub, run_id, opened))
        waiting = asyncio.ensure_future(stub.AwaitRun(AwaitRunRequest(run_id=run_id)))
        async with asyncio.timeout(60):
            await opened.wait()
            await asyncio.to_thread(store_process.restart)
            await stub.ResumeHook(ResumeHookRequest(token="t", payload=Payload(text='{"approved":true,"by":"ada"}')))
            assert (await waiting).done
            events = await watching
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].type == event_pb2.EVENT_TYPE_RUN_COMPLETED


async def _events(stub: Any, run_id: str, opened: asyncio.Event) -> list[event_pb2.Event]:
    events = []
    async for message in stub.WatchRun(WatchRunRequest(run_id=run_id)):
        if message.HasField("event"):
            events.append(message.event)
        if message.event.type == event_pb2.EVENT_TYPE_HOOK_CREATED:
            opened.set()
    return events
