"""Leases are renewed over a connection of their own, and not for ever over the same one when it hangs."""

from __future__ import annotations

import asyncio

import pytest

from holdfast import Client, step, workflow
from tests.support.fault_proxy import FaultProxy
from tests.support.runtime import running_runtime
from tests.support.store import Store, eventually

#: Seconds of the step: several leases, and less than keepalive needs to notice that a connection hangs.
STEP_SECONDS = 2.5
LEASE = "900ms"


@step(name="network.long")
async def long_step() -> str:
    await asyncio.sleep(STEP_SECONDS)
    return "done"


@workflow(name="network.one_long_step")
async def one_long_step() -> str:
    return await long_step()


@pytest.mark.slow
async def test_a_connection_that_hangs_loses_no_lease(store: Store) -> None:
    async with (
        FaultProxy(store.address) as proxy,
        running_runtime(proxy.address, one_long_step, long_step, lease=LEASE) as holder,
        running_runtime(store.address, one_long_step, long_step, lease=LEASE) as rival,
        Client(holder.address) as client,
    ):
        run = await client.start("network.one_long_step")
        await eventually(lambda: holder.worker.active_steps + rival.worker.active_steps == 1)
        assert holder.worker.active_steps == 1  # it takes up itself what it starts
        await eventually(lambda: proxy.connections == 2)  # that of the calls, and that of the leases
        proxy.strand_newest()
        assert await run.result(timeout="20s") == "done"
        events = [event async for event in run.events()]
    assert sum(event.HasField("step_started") for event in events) == 1
    assert sum(event.HasField("step_completed") for event in events) == 1
