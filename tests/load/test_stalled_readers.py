"""Readers that do not read cost the store a bounded amount of memory, and nobody else any time.

Watches and readers of byte streams are opened and never read from, in their hundreds here and in their thousands with
HOLDFAST_READERS. What the store holds for each is what it gave to the transport last; the more of them there are, the
less that is.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from holdfast.v1 import store_service_pb2, stream_service_pb2
from tests.storms import services
from tests.support.store import StoreClient, add, create_run, hook_created, hook_received

READERS = int(os.environ.get("HOLDFAST_READERS", "100"))

#: Readers on one connection, as of a program that has many runs to follow.
READERS_PER_CONNECTION = 50

#: A log and a stream of 8 MiB each: more than any buffer on the way takes.
ITEMS = 400
ITEM_BYTES = 20 * 1024

#: What all stalled readers may cost together: what they were given, more for the first than for the last, twice over
#: (as a message and encoded); and for each its call. Without a bound each would take 2.7 MB.
BYTES_MAX = 128 * 1024 * 1024 + READERS * 64 * 1024

#: Seconds that a write may take among stalled readers; alone it takes a few milliseconds.
WRITE_SECONDS = 2.0


@asynccontextmanager
async def full_store(folder: Path) -> AsyncIterator[tuple[StoreClient, psutil.Process]]:
    """Yield a store process with a long log and a long stream, and the process's figures."""
    async with services.store(folder) as store, StoreClient(store.address) as client:
        await create_run(client, "long")
        await add(client, "long", hook_created())
        text = '"' + "x" * ITEM_BYTES + '"'
        await asyncio.gather(*(add(client, "long", hook_received(text=text)) for _ in range(ITEMS)))
        ref = stream_service_pb2.StreamRef(run_id="long", name="default")
        for _ in range(ITEMS // 100):
            chunks = [b"x" * ITEM_BYTES] * 100
            await client.streams.AppendChunks(stream_service_pb2.AppendChunksRequest(stream=ref, chunks=chunks))
        yield client, psutil.Process(store.pid)


def watch(client: StoreClient) -> Any:
    return client.events.WatchEvents(
        store_service_pb2.WatchEventsRequest(run_id="long", start=store_service_pb2.WATCH_START_EARLIEST)
    )


def read_stream(client: StoreClient) -> Any:
    ref = stream_service_pb2.StreamRef(run_id="long", name="default")
    return client.streams.ReadStream(stream_service_pb2.ReadStreamRequest(stream=ref))


@pytest.mark.parametrize("opened", [watch, pytest.param(read_stream, marks=pytest.mark.slow)])
async def test_readers_that_do_not_read_cost_little_and_hold_up_no_write(
    opened: Callable[[StoreClient], Any], tmp_path: Path
) -> None:
    async with full_store(tmp_path) as (client, process), AsyncExitStack() as stack:
        before = process.memory_info().rss
        calls = []
        for _ in range(READERS // READERS_PER_CONNECTION):
            connection = await stack.enter_async_context(StoreClient(client.address))
            calls += [opened(connection) for _ in range(READERS_PER_CONNECTION)]
        await asyncio.gather(*(call.initial_metadata() for call in calls))
        slowest = 0.0
        for number in range(20):
            began = time.monotonic()
            await create_run(client, f"other_{number}")
            slowest = max(slowest, time.monotonic() - began)
        grown = process.memory_info().rss - before
        each_kib = grown / READERS / 1024
        print(f"{READERS} stalled readers: {each_kib:.0f} KiB each, slowest write {slowest * 1000:.0f} ms")
        for call in calls:
            call.cancel()
    assert slowest < WRITE_SECONDS
    assert grown < BYTES_MAX
