"""Several stores over one database, on real ports: it does not matter which one a client talks to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from holdfast import Client, HookNotFound, hook, step, workflow
from holdfast.v1 import queue_service_pb2, store_service_pb2
from store_service.engines.postgres import Options, open_postgres
from tests.support.runtime import running_runtime
from tests.support.store import (
    DEADLINE_SECONDS,
    Store,
    add,
    create_run,
    eventually,
    hook_created,
    hook_received,
    running_store,
)


@step(name="many_stores.double")
async def double(number: int) -> int:
    return 2 * number


@workflow(name="many_stores.relay")
async def relay(number: int) -> int:
    async with hook(int, token=f"relay:{number}") as values:
        return await double(await values) + await double(number)


@pytest.fixture(params=["hints", "no hints"])
async def stores(request: pytest.FixtureRequest, postgres_url: str, tmp_path: Path) -> AsyncIterator[list[Store]]:
    """Three stores; the second row of tests hears of nothing and looks every 0.3 s."""
    options = Options(writers=2, readers=1, poll_s=300.0)
    if request.param == "no hints":
        options = Options(writers=2, readers=1, poll_s=0.3, hears_hints=False)
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                running_store(tmp_path / "unused", engine=await open_postgres(postgres_url, options))
            )
            for _ in range(3)
        ]


async def test_a_watch_on_one_store_sees_what_is_written_through_another(stores: list[Store]) -> None:
    await create_run(stores[0].client, "run_1")
    request = store_service_pb2.WatchEventsRequest(run_id="run_1")
    watch = stores[1].client.events.WatchEvents(request, timeout=DEADLINE_SECONDS)
    seen: list[int] = []

    async def follow() -> None:
        async for message in watch:
            seen.extend(event.seq for event in message.batch.events)
            if len(seen) == 4:
                return

    following = asyncio.create_task(follow())
    await add(stores[2].client, "run_1", hook_created(token="t"))
    await add(stores[0].client, "run_1", hook_received())
    await asyncio.wait_for(following, DEADLINE_SECONDS)
    assert seen == [1, 2, 3, 4]
    watch.cancel()


async def test_who_waits_at_one_store_gets_what_is_sent_through_another(stores: list[Store]) -> None:
    request = queue_service_pb2.ReceiveMessagesRequest(queues=["mail"], max_messages=1)
    request.wait.FromMilliseconds(15_000)
    receiving: Any = asyncio.ensure_future(stores[1].client.queue.ReceiveMessages(request, timeout=DEADLINE_SECONDS))
    await eventually(lambda: stores[1].running.parts.delivery.waiting)
    message = queue_service_pb2.NewQueueMessage(queue="mail")
    await stores[0].client.queue.Enqueue(queue_service_pb2.EnqueueRequest(message=message))
    assert len((await receiving).messages) == 1


async def is_open(client: Client, token: str) -> bool:
    try:
        await client.hook(token)
    except HookNotFound:
        return False
    return True


async def test_workflows_run_over_any_of_the_stores(stores: list[Store]) -> None:
    async with (
        running_runtime(stores[0].address, relay, double) as first,
        running_runtime(stores[1].address, relay, double) as second,
        Client(first.address) as one,
        Client(second.address) as other,
    ):
        runs = [await (one, other)[number % 2].start(relay, number) for number in range(6)]
        for number in range(6):
            # Through the other runtime, hence another store than the one that started it.
            client = (other, one)[number % 2]
            await eventually(lambda client=client, token=f"relay:{number}": is_open(client, token))
            await client.resume(f"relay:{number}", 10)
        results = [await one.run(run.id).result(timeout=DEADLINE_SECONDS) for run in runs]
    assert results == [20 + 2 * number for number in range(6)]
