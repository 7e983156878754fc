"""Streams while services die: what readers and writers keep when a process is killed as it is."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast import Chunk, Client, Reset, RunHandle
from tests.streams import writers
from tests.support.runtime import RuntimeProcess
from tests.support.store import StoreProcess

DEADLINE_SECONDS = 60


@pytest.fixture
def runtime_process(
    tmp_path: Path, store_process: StoreProcess, request: pytest.FixtureRequest
) -> Iterator[RuntimeProcess]:
    """A runtime whose leases are short, unless the test says how long."""
    shutil.copy(writers.__file__, tmp_path / "writers.py")
    options = ("--lease", getattr(request, "param", "2s"))
    with RuntimeProcess(tmp_path, "writers.py", store=store_process.address, options=options) as process:
        yield process


@pytest.fixture
async def client(runtime_process: RuntimeProcess) -> AsyncIterator[Client]:
    async with Client(runtime_process.address) as opened:
        yield opened


async def following(client: Client, folder: Path, items: int) -> RunHandle[Any]:
    return await client.start("flow.following", str(folder), items)


async def drawn(items: AsyncIterator[Any]) -> Any:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return await anext(items)


async def test_a_runtime_killed_in_mid_stream_is_superseded_by_the_next_attempt(
    runtime_process: RuntimeProcess, client: Client, tmp_path: Path
) -> None:
    run = await following(client, tmp_path, 3)
    chunks, final = aiter(run.stream("live").chunks()), aiter(run.stream("live", mode="final"))
    for number in range(2):
        (tmp_path / str(number)).touch()
        first = await drawn(chunks)
        assert first == Chunk(number, first.step_id, 1, 100 + number)
    await asyncio.to_thread(runtime_process.restart)
    assert await drawn(chunks) == Reset(first.step_id, 2)
    assert [await drawn(chunks) for _ in range(2)] == [
        Chunk(2 + number, first.step_id, 2, 200 + number) for number in range(2)
    ]
    (tmp_path / "2").touch()
    assert await drawn(chunks) == Chunk(4, first.step_id, 2, 202)
    assert [item async for item in chunks] == []
    assert [await drawn(final) for _ in range(3)] == [200, 201, 202]
    assert [item async for item in final] == []


@pytest.mark.parametrize("runtime_process", ["1m"], indirect=True)
async def test_readers_and_writers_live_through_restarts_of_the_store(
    store_process: StoreProcess, client: Client, tmp_path: Path
) -> None:
    items = 12
    run = await following(client, tmp_path, items)
    readers = [aiter(run.stream("live").chunks()) for _ in range(3)]
    for number in range(items):
        if number in (4, 8):
            await asyncio.to_thread(store_process.kill)
        (tmp_path / str(number)).touch()
        if number in (4, 8):
            await asyncio.to_thread(store_process.start)
        for reader in readers:
            chunk = await drawn(reader)
            # The store is away for less than the lease: it is the same attempt that goes on.
            assert (chunk.index, chunk.data) == (number, 100 + number)
    assert [[item async for item in reader] for reader in readers] == [[], [], []]


async def test_a_reader_lives_through_a_restart_of_the_runtime_with_no_gap_and_no_duplicate(
    runtime_process: RuntimeProcess, client: Client, tmp_path: Path
) -> None:
    for number in range(3):
        (tmp_path / str(number)).touch()
    run = await following(client, tmp_path, 4)
    items = aiter(run.stream("live"))
    assert [await drawn(items) for _ in range(3)] == [100, 101, 102]
    await asyncio.to_thread(runtime_process.restart)
    assert [await drawn(items) for _ in range(3)] == [200, 201, 202]
    (tmp_path / "3").touch()
    assert [await drawn(items)] == [203]
    assert [item async for item in items] == []
    assert [item async for item in run.stream("live", start_index=2)] == [102, 200, 201, 202, 203]


async def test_a_paused_runtime_whose_lease_moved_on_writes_nothing_more(
    runtime_process: RuntimeProcess, store_process: StoreProcess, client: Client, tmp_path: Path
) -> None:
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    shutil.copy(writers.__file__, other_folder / "writers.py")
    run = await following(client, tmp_path, 3)
    (tmp_path / "0").touch()
    assert await drawn(aiter(run.stream("live"))) == 100
    runtime_process.pause()
    async with (
        RuntimeProcess(other_folder, "writers.py", store=store_process.address) as other,
        Client(other.address) as second,
    ):
        chunks = aiter(second.run(run.id).stream("live").chunks())
        found = [await drawn(chunks) for _ in range(3)]
        assert [type(it) for it in found] == [Chunk, Reset, Chunk]
        runtime_process.resume()
        (tmp_path / "1").touch()
        (tmp_path / "2").touch()
        rest = [item async for item in chunks]
        assert [(it.attempt, it.data) for it in rest if isinstance(it, Chunk)] == [(2, 201), (2, 202)]
        assert not [it for it in rest if isinstance(it, Reset)]
