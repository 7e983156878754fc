"""The watch of the store begins anew when its cursor is of no use any more: nobody misses what came in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from holdfast.v1 import entity_pb2, event_pb2, store_service_pb2
from runtime_service.server import RunningRuntime
from runtime_service.worker.feed import Feed
from tests.support.store import Store


class Reader:
    """Follows a run as a hold does: it reads when it is told that something may have been missed."""

    def __init__(self, store: Store) -> None:
        self.seen = 0
        self.told = asyncio.Event()
        self._store = store
        self._reads: set[asyncio.Task[None]] = set()

    def push(self, event: event_pb2.Event) -> None:
        self.told.set()

    def ended(self, run: entity_pb2.Run) -> None: ...

    def missed(self) -> None:
        self._reads.add(asyncio.create_task(self._read()))

    async def _read(self) -> None:
        request = store_service_pb2.GetRunRequest(run_id="watched")
        self.seen = (await self._store.client.events.GetRun(request)).run.guard.head_seq
        if self.seen == 2:
            self.told.set()


async def create(store: Store, event: event_pb2.Event) -> None:
    await store.client.events.CreateEvent(store_service_pb2.CreateEventRequest(run_id="watched", event=event))


async def test_a_watch_that_begins_anew_hides_nothing_from_those_who_follow(
    store: Store, runtime: RunningRuntime
) -> None:
    created = event_pb2.Event()
    created.run_created.workflow_name = "by hand"
    await create(store, created)
    real = runtime.worker.store.watch

    async def watch(request: Any) -> AsyncIterator[Any]:
        if not request.cursor:
            cancel = event_pb2.Event()
            cancel.run_cancel_requested.reason = "between the refusal of the cursor and the new watch"
            await create(store, cancel)
        async for message in real(request):
            yield message

    runtime.worker.store.watch = watch  # type: ignore[method-assign,assignment]
    feed = Feed(runtime.worker.store, lambda now_ms: None)
    feed._cursor = "of another store"
    reader = Reader(store)
    with feed.follow("watched", reader):
        await feed.start()
        async with asyncio.timeout(10):
            await reader.told.wait()
    await feed.stop()
    runtime.worker.store.watch = real  # type: ignore[method-assign]
