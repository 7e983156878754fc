"""An open page is told of what is new: events, chunks of streams, the end; and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from holdfast import Client
from runtime_service.server import RunningRuntime
from runtime_service.ui import limits
from tests.support.runtime import running_runtime
from tests.support.store import eventually
from tests.support.tokens import token_of, write_clients
from tests.ui.conftest import Get
from tests.ui.page_workflows import ALL, GATES, MARKUP, child, telling, tour


@pytest.fixture(autouse=True)
def quick_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEARTBEAT_SECONDS", 0.1)


class Followed:
    """The event stream of a page, as lines."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self.status = ""
        self.position = 0

    async def line(self) -> str:
        raw = await asyncio.wait_for(self._reader.readline(), 20)
        return raw.decode().strip()

    async def until(self, wanted: str) -> None:
        """Read on to a line; fails at the end of the stream."""
        while (line := await self.line()) != wanted:
            if line.startswith("id: "):
                self.position = int(line[4:])
            assert line or not self._reader.at_eof(), f"the stream ended before {wanted!r}"

    async def ends(self) -> None:
        await asyncio.wait_for(self._reader.read(), 20)


@asynccontextmanager
async def following(runtime: RunningRuntime, path: str, *headers: str) -> AsyncIterator[Followed]:
    assert runtime.http is not None
    host, _, port = runtime.http.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    followed = Followed(reader)
    try:
        lines = [f"GET {path} HTTP/1.1", f"host: {host}", "connection: close", *headers, "", ""]
        writer.write("\r\n".join(lines).encode())
        followed.status = (await followed.line()).split(" ")[1]
        yield followed
    finally:
        writer.close()


async def test_a_page_of_a_run_follows_it_to_its_end(get: Get, client: Client, runtime: RunningRuntime) -> None:
    run = await client.start(tour, "live:1", id="live")
    async with following(runtime, "/runs/live/live?after=1") as page:
        await page.until("event: changed")
        await eventually(lambda: _waits(client))
        await client.resume("live:1", "done")
        await page.until("event: ended")
        await page.ends()
    assert await run.result("20s") == "done"


async def _waits(client: Client) -> bool:
    return bool((await client.run("live").describe()).open_hooks)


async def test_chunks_of_streams_are_told_and_shown(get: Get, client: Client, runtime: RunningRuntime) -> None:
    await client.start(telling, "key", id="telling")
    async with following(runtime, "/runs/telling/live?after=1") as page:
        await eventually(lambda: _shows(get, "first"))
        assert MARKUP not in (await get("/runs/telling")).body.decode()
        # Whatever was to be told so far is told: then only the next chunk is news.
        await page.until(":")
        GATES["key"].set()
        await page.until("event: changed")
        await eventually(lambda: _shows(get, "second"))
        await page.until("event: ended")


async def _shows(get: Get, text: str) -> bool:
    return text in (await get("/runs/telling")).body.decode()


async def test_a_page_goes_on_where_it_was_when_it_connects_again(client: Client, runtime: RunningRuntime) -> None:
    await client.start(tour, "live:2", id="live")
    await eventually(lambda: _waits(client))
    head = (await client.run("live").describe()).run.guard.head_seq
    async with following(runtime, "/runs/live/live?after=1", f"last-event-id: {head}") as page:
        # Nothing but heartbeats: the page has all there is.
        while (line := await page.line()) != ":":
            assert not line.startswith("event:")
    async with following(runtime, "/runs/live/live?after=1", f"last-event-id: {head - 1}") as page:
        await page.until("event: changed")


async def test_the_list_is_told_of_new_runs(client: Client, runtime: RunningRuntime) -> None:
    async with following(runtime, "/live") as page:
        await page.until(":")
        await client.start(child, "a")
        await page.until("event: changed")


async def test_a_drain_ends_what_follows_at_once(client: Client, runtime: RunningRuntime) -> None:
    await client.start(tour, "live:3", id="live")
    async with following(runtime, "/runs/live/live") as run, following(runtime, "/live") as runs:
        await run.until("event: changed")
        runtime.front.draining.set()
        await run.ends()
        await runs.ends()


async def test_no_more_pages_follow_than_there_is_room_for(
    client: Client, runtime: RunningRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FOLLOWERS_MAX", 1)

    async def finds_room() -> bool:
        async with following(runtime, "/live") as page:
            return page.status == "200"

    async with following(runtime, "/live") as first:
        await first.until(":")
        assert not await finds_room()
    await eventually(finds_room)


async def test_nothing_is_told_once_the_credentials_have_ended(store_address: str, tmp_path: Path) -> None:
    clients = write_clients(tmp_path / "clients.toml")
    settings = {"http": "127.0.0.1:0", "ui": True, "clients_file": clients, "store_token": ""}
    async with running_runtime(store_address, *ALL, **settings) as runtime:
        authorization = f"authorization: Bearer {token_of('read')}"
        async with following(runtime, "/live", authorization) as page:
            await page.until(":")
            (tmp_path / "clients.toml").write_text("")
            await page.ends()
