"""A client lives through restarts of both services, killed as they are."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast import Client
from tests.client import shop
from tests.support.runtime import RuntimeProcess
from tests.support.store import StoreProcess


@pytest.fixture
def runtime_process(tmp_path: Path, store_process: StoreProcess) -> Iterator[RuntimeProcess]:
    shutil.copy(shop.__file__, tmp_path / "shop.py")
    with RuntimeProcess(tmp_path, "shop.py", store=store_process.address, options=("--lease", "2s")) as process:
        yield process


async def test_result_and_events_survive_a_restart_of_the_runtime_and_of_the_store(
    store_process: StoreProcess, runtime_process: RuntimeProcess
) -> None:
    async with Client(runtime_process.address) as client:
        run = await client.start(shop.approve, shop.Order(id="survivor"))
        result = asyncio.ensure_future(run.result("60s"))
        seen: list[int] = []
        async for event in run.events():
            seen.append(event.seq)
            if event.HasField("hook_created"):
                await asyncio.to_thread(runtime_process.restart)
                await client.resume("approve:survivor", shop.Approval(approved=True))
            if event.HasField("hook_received") and len(seen) == 4:
                await asyncio.to_thread(store_process.kill)
                await asyncio.to_thread(store_process.start)
                await client.resume("approve:survivor", shop.Approval(approved=False))
        assert await result == [True, False]
        assert seen == list(range(1, len(seen) + 1))


async def test_a_call_made_while_the_runtime_is_away_waits_for_it(runtime_process: RuntimeProcess) -> None:
    async with Client(runtime_process.address) as client:
        await client.start(shop.rest)
        runtime_process.kill()
        waiting = asyncio.ensure_future(client.start(shop.checkout, shop.Order(id="late"), id="late"))
        await asyncio.to_thread(runtime_process.start)
        run = await waiting
        assert (await run.result("60s")).id == "charged late"
