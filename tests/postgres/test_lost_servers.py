"""The server goes away and comes back: what was acknowledged is there, once, and callers hardly notice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast.refusal import Refusal
from store_service.engines.contract import Engine
from store_service.engines.postgres import Options, open_postgres
from store_service.engines.postgres import retry as retrying
from store_service.engines.postgres.connection import Patience
from tests.conformance import samples
from tests.support.fault_proxy import FaultProxy
from tests.support.postgres import PostgresServer
from tests.support.store import eventually

WRITERS = 8
DEADLINE_S = 40


class Storm:
    """Writers that append to a log each until told to stop. ``acknowledged`` is what the engine confirmed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_over = False
        self.acknowledged: dict[str, int] = {}
        self.refusals: list[str] = []

    async def blow(self, disturb: Callable[[], Awaitable[Any]]) -> None:
        writers = [asyncio.create_task(self._write(f"run_{number}")) for number in range(WRITERS)]
        try:
            await self._progress()
            await disturb()
            await self._progress()
        finally:
            self._is_over = True
            await asyncio.gather(*writers)

    async def _progress(self) -> None:
        """Wait until every writer has got further."""
        before = dict(self.acknowledged)
        runs = [f"run_{number}" for number in range(WRITERS)]
        await eventually(
            lambda: all(self.acknowledged.get(it, 0) >= before.get(it, 0) + 3 for it in runs), seconds=DEADLINE_S
        )

    async def _write(self, run_id: str) -> None:
        seq = 1
        while not self._is_over:
            try:
                await self._engine.write(lambda tx, seq=seq: tx.insert_event(samples.event(run_id, seq)))
            except Refusal as refusal:
                self.refusals.append(refusal.reason)
                # Whether it was written is not known: whoever asks with a request id finds out. Here the log says.
                seq = 1 + await self._head_of(run_id, seq)
                continue
            self.acknowledged[run_id] = seq
            seq += 1

    async def _head_of(self, run_id: str, seq: int) -> int:
        for _ in range(20):
            try:
                return await self._engine.read(lambda reader: reader.seq_at(run_id, 2**60))
            except Refusal:
                await asyncio.sleep(0.1)
        raise AssertionError("the server did not come back")

    async def check(self) -> None:
        """Every acknowledged event is in its log, each log is dense, and no position is given twice."""
        for run_id, seq in self.acknowledged.items():
            rows = await self._engine.read(lambda reader, it=run_id: reader.events(it, limit=100_000))
            assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
            assert len(rows) >= seq
        found = await self._engine.read(lambda reader: reader.all_events(after_position=0, limit=100_000))
        assert [position for position, _ in found] == list(range(1, len(found) + 1))


@pytest.fixture
def own_url(own_server: PostgresServer) -> Any:
    with own_server.database() as url:
        yield url


async def storm(url: str, disturb: Callable[[], Awaitable[Any]]) -> Storm:
    engine = await open_postgres(url, Options(writers=2, readers=1))
    it = Storm(engine)
    await it.blow(disturb)
    await it.check()
    await engine.close()
    return it


async def test_terminated_backends_are_hardly_noticed(own_server: PostgresServer, own_url: str) -> None:
    async def disturb() -> None:
        for _ in range(5):
            own_server.terminate(own_url)
            await asyncio.sleep(0.1)

    assert (await storm(own_url, disturb)).refusals == []


async def test_a_restart_of_the_server_loses_nothing(own_server: PostgresServer, own_url: str) -> None:
    async def disturb() -> None:
        own_server.restart()

    assert (await storm(own_url, disturb)).refusals == []


async def test_a_crash_of_the_server_loses_nothing_that_was_acknowledged(
    own_server: PostgresServer, own_url: str
) -> None:
    async def disturb() -> None:
        own_server.kill()
        own_server.start()

    await storm(own_url, disturb)


async def test_a_connection_that_hangs_behind_a_proxy_is_given_up(own_server: PostgresServer, own_url: str) -> None:
    """Its other end takes every byte and nothing comes back: TCP finds nothing wrong with it."""
    async with FaultProxy(f"127.0.0.1:{own_server.port}") as proxy:
        through = own_url.replace(f"127.0.0.1:{own_server.port}", proxy.address)
        patience = Patience(silence_ms=1_000)
        engine = await open_postgres(through, Options(writers=1, readers=1, poll_s=0.2, patience=patience))
        await engine.write(lambda tx: tx.insert_event(samples.event("run_1", 1)))
        assert await engine.read(lambda reader: reader.seq_at("run_1", 2**60)) > 0
        proxy.strand()
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(
                engine.write(lambda tx: tx.insert_event(samples.event("run_1", 2))),
                engine.read(lambda reader: reader.run("run_1")),
            )
            # Of the connections for writes, reads and news each was opened anew.
            await eventually(lambda: proxy.connections == 3, seconds=DEADLINE_S)
        rows = await engine.read(lambda reader: reader.events("run_1", limit=10))
        assert [row.seq for row in rows] == [1, 2]
        await engine.close()


async def test_a_server_that_stays_away_is_told_within_the_limit(
    own_server: PostgresServer, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "AWAY_MS_MAX", 500)
    engine = await open_postgres(own_url, Options(writers=1, readers=1))
    own_server.stop()
    began = time.monotonic()
    for call in (engine.write(lambda tx: tx.set_meta("a", "b")), engine.read(lambda reader: reader.meta("a"))):
        with pytest.raises(Refusal) as caught:
            await call
        assert caught.value.reason == "NOT_READY"
    assert time.monotonic() - began < 10
    own_server.start()
    await engine.write(lambda tx: tx.set_meta("a", "b"))
    assert await engine.read(lambda reader: reader.meta("a")) == "b"
    await engine.close()
