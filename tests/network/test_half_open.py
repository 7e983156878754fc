"""A connection that hangs is noticed within 15 seconds, at whichever end, and everything goes on.

Nobody is told when a switch forgets a connection or a host loses its power: only silence, and pings that nobody
answers. Noticing takes real seconds, so all ends are tested side by side, in the time of one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from holdfast import Client, hook, workflow
from holdfast.cli.connection import connected
from holdfast.v1 import queue_service_pb2, runtime_service_pb2, store_service_pb2
from tests.support.fault_proxy import FaultProxy
from tests.support.queue_bench import QUEUE, new_message
from tests.support.runtime import running_runtime, runtime_stub
from tests.support.store import Store, StoreClient, add, create_run, eventually, hook_received, running_store

#: Seconds that the promise allows, and what this machine may add when it is busy.
NOTICE_SECONDS = 15.0
LATE_SECONDS = 10.0


@workflow(name="network.one_value")
async def one_value(token: str) -> str:
    async with hook(str, token=token) as values:
        return await values


async def noticed(what: str, happening: Any) -> None:
    """Wait for something that a noticed connection lets happen."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(NOTICE_SECONDS + LATE_SECONDS):
            await happening
    except TimeoutError:
        raise AssertionError(f"{what} after {NOTICE_SECONDS:.0f} s of silence") from None
    print(f"{what.replace('does not', 'did')}: {time.monotonic() - began:.1f} s")


@asynccontextmanager
async def held_run(store: Store, name: str) -> AsyncIterator[tuple[FaultProxy, FaultProxy, Client, Any]]:
    """Yield proxies before store and runtime, and a client and a handle, of a run held by a runtime."""
    async with (
        FaultProxy(store.address) as to_store,
        running_runtime(to_store.address, one_value, lease="60s", linger_ms=60_000) as runtime,
        FaultProxy(runtime.address) as to_runtime,
        Client(to_runtime.address) as client,
    ):
        run = await client.start("network.one_value", name, id=name)
        await eventually(lambda: _has_hook(store, name))
        yield to_store, to_runtime, client, run


async def _has_hook(store: Store, token: str) -> bool:
    request = store_service_pb2.ListHooksRequest(run_id=token)
    return bool((await store.client.events.ListHooks(request)).hooks)


async def a_runtime_hears_of_facts(store: Store) -> None:
    async with held_run(store, "facts") as (to_store, _, _, run):
        to_store.strand()
        (held,) = (await store.client.events.ListHooks(store_service_pb2.ListHooksRequest(run_id=run.id))).hooks
        await add(store.client, run.id, hook_received(held.hook_id, '"value"'))
        await noticed("the runtime does not hear of a fact", run.result())


async def a_client_gets_results_and_events(store: Store) -> None:
    async with held_run(store, "client") as (_, to_runtime, _, run):
        result = asyncio.create_task(run.result())
        followed: list[str] = []
        following = asyncio.create_task(_follow(run, followed))
        await eventually(lambda: len(followed) >= 2)
        await asyncio.sleep(0.2)  # the wait for the result is on its way to the runtime, nothing tells when it is there
        to_runtime.strand()
        (held,) = (await store.client.events.ListHooks(store_service_pb2.ListHooksRequest(run_id=run.id))).hooks
        await add(store.client, run.id, hook_received(held.hook_id, '"value"'))
        await asyncio.gather(
            noticed("the client does not get the result", result),
            noticed("the client does not get the events", following),
        )
        assert followed[-1] == "run_completed"


async def _follow(run: Any, followed: list[str]) -> None:
    async for event in run.events():
        followed.append(event.WhichOneof("attributes"))


async def a_store_takes_back_what_a_consumer_held(store: Store) -> None:
    async with FaultProxy(store.address) as proxy, StoreClient(proxy.address) as client:
        await store.client.queue.Enqueue(queue_service_pb2.EnqueueRequest(message=new_message("held")))
        opening = queue_service_pb2.ConsumeOpen(queues=[QUEUE], initial_credit=1)
        opening.lease_duration.FromSeconds(600)
        call = client.queue.ConsumeMessages()
        await call.write(queue_service_pb2.ConsumeMessagesRequest(open=opening))
        await call.read()
        assert (await call.read()).HasField("delivery")
        proxy.strand()
        await noticed("the store does not take back the message", _is_ready(store))


async def _is_ready(store: Store) -> None:
    request = queue_service_pb2.GetQueueRequest(queue=QUEUE)
    while not (await store.client.queue.GetQueue(request)).queue.ready_count:  # noqa: ASYNC110 - it is somebody else's
        await asyncio.sleep(0.1)


async def servers_end_the_calls_of_clients_that_are_gone(store: Store, database: Path) -> None:
    """The watch is the only stream of a store of its own; the call is the only one of its runtime."""
    await create_run(store.client, "gone")
    async with (
        running_store(database) as watched,
        running_runtime(store.address, one_value, lease="60s") as runtime,
        FaultProxy(watched.address) as to_store,
        FaultProxy(runtime.address) as to_runtime,
        StoreClient(to_store.address) as client,
        runtime_stub(to_runtime.address) as steering,
    ):
        await create_run(watched.client, "gone")
        streams, calls = watched.running.parts.streams, runtime.server.calls
        watch = client.events.WatchEvents(store_service_pb2.WatchEventsRequest(run_id="gone"))
        following = steering.WatchRun(runtime_service_pb2.WatchRunRequest(run_id="gone"))
        await asyncio.gather(watch.read(), following.read())
        assert len(streams._open) == 1 and calls._running
        to_store.strand()
        to_runtime.strand()
        await asyncio.gather(
            noticed("the store does not end the watch", _until(lambda: not streams._open)),
            noticed("the runtime does not end the call", _until(lambda: not calls._running)),
        )


async def a_command_is_told(store: Store) -> None:
    async with held_run(store, "command") as (_, to_runtime, _, run):
        heard = asyncio.Event()
        loop = asyncio.get_running_loop()

        def follow() -> str:
            with connected(to_runtime.address, "") as connection:
                try:
                    for _ in connection.runtime.WatchRun(runtime_service_pb2.WatchRunRequest(run_id=run.id)):
                        loop.call_soon_threadsafe(heard.set)
                except grpc.RpcError as error:
                    return str(error.code())
            return "the end"

        following = asyncio.create_task(asyncio.to_thread(follow))
        await heard.wait()
        to_runtime.strand()
        await noticed("a command does not hear that nobody answers", following)
        assert "UNAVAILABLE" in following.result()


async def an_attempt_to_connect_is_given_up(store: Store) -> None:
    async with held_run(store, "connect") as (_, to_runtime, _, run):
        with to_runtime.black_hole():
            attempts = to_runtime.accepted
            asking = asyncio.create_task(run.status())
            await eventually(lambda: to_runtime.accepted > attempts)  # packets of this attempt are lost for good
        await noticed("the client does not give up an attempt to connect", asking)


@pytest.mark.slow
async def test_every_end_notices_a_connection_that_hangs(store: Store, tmp_path: Path) -> None:
    """All of them at once: each takes the whole time that keepalive needs."""
    await asyncio.gather(
        a_runtime_hears_of_facts(store),
        a_client_gets_results_and_events(store),
        a_store_takes_back_what_a_consumer_held(store),
        servers_end_the_calls_of_clients_that_are_gone(store, tmp_path / "watched.db"),
        a_command_is_told(store),
        an_attempt_to_connect_is_given_up(store),
    )


async def _until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - gRPC tells nobody
        await asyncio.sleep(0.1)
