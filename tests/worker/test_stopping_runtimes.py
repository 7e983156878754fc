"""A runtime that stops while its store does not answer says nothing of blocked runs, and blocks none."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from holdfast import Client, step, workflow
from holdfast.v1 import queue_service_pb2
from runtime_service.names import BLOCKED_PREFIX
from tests.support.fault_proxy import FaultProxy
from tests.support.runtime import running_runtime
from tests.support.store import Store, eventually

BEGUN = asyncio.Event()
MAY_END = asyncio.Event()


@step(name="stopping.waits")
async def waits() -> str:
    BEGUN.set()
    await MAY_END.wait()
    return "done"


@workflow(name="stopping.one_step")
async def one_step() -> str:
    return await waits()


async def test_a_stop_in_the_middle_of_a_write_is_silent_and_blocks_no_run(store: Store) -> None:
    """(1) a write is on its way; (2) the store is silent; (3) the runtime stops and closes its channel; (4) the write,
    which got no answer, must not be tried again on the closed channel and taken for an unexpected error.
    """
    with capture_logs() as logged:
        async with FaultProxy(store.address) as proxy:
            async with (
                running_runtime(proxy.address, one_step, waits, lease="1s") as runtime,
                Client(runtime.address) as client,
            ):
                run = await client.start("stopping.one_step")
                await BEGUN.wait()
                proxy.up.flows.clear()
                MAY_END.set()
                await eventually(lambda: runtime.worker.active_steps == 0)
            assert [task for task in asyncio.all_tasks() if task.get_name().startswith("hold:")] == []
    assert [entry for entry in logged if "blocked" in entry["event"]] == []
    request = queue_service_pb2.ListMessagesRequest(queue="runs", group=run.id)
    (message,) = (await store.client.queue.ListMessages(request)).messages
    assert not message.last_reason.startswith(BLOCKED_PREFIX)
    async with running_runtime(store.address, one_step, waits) as runtime, Client(runtime.address) as client:
        assert await client.run(run.id).result(timeout="10s") == "done"
