"""SQLite: the private door into aiosqlite, and the pragmas that decide about durability."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import aiosqlite
import pytest

from store_service.engines.sqlite import open_sqlite
from store_service.engines.sqlite.connection import Session, open_lane


async def test_aiosqlite_still_has_the_door_that_lanes_use(tmp_path: Path) -> None:
    connection = await aiosqlite.connect(tmp_path / "any.db")
    try:
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        connection._tx.put_nowait((answer, lambda: connection._conn.execute("SELECT 1").fetchone()))
        assert await answer == (1,)
        assert connection._running
        assert connection._thread.is_alive()
    finally:
        await connection.close()


async def test_a_lane_runs_in_order_in_one_thread_and_does_not_keep_the_process(tmp_path: Path) -> None:
    lane = await open_lane(str(tmp_path / "any.db"), busy_timeout_ms=100)
    try:
        assert await lane.run(lambda session: session.all("SELECT 1 UNION SELECT 2")) == [(1,), (2,)]
        assert await lane.run(lambda session: session.scalar("SELECT 1 WHERE 0")) is None
        assert lane.executed == 2
        assert lane._connection._thread.daemon
    finally:
        await lane.close()


async def test_durability_is_set_explicitly_and_readers_can_neither_write_nor_checkpoint(tmp_path: Path) -> None:
    engine = await open_sqlite(str(tmp_path / "holdfast.db"))

    def pragmas(*names: str) -> object:
        return lambda session: [session.scalar(f"PRAGMA {name}") for name in names]

    try:
        durability = pragmas("journal_mode", "synchronous", "wal_autocheckpoint", "busy_timeout")
        assert await engine._writer.run(durability) == ["wal", 2, 2_000, 5_000]
        for reader in engine._readers:
            assert await reader.run(pragmas("query_only", "wal_autocheckpoint")) == [1, 0]
            with pytest.raises(Exception, match="readonly"):
                await reader.run(lambda session: session.execute("DELETE FROM meta"))
    finally:
        await engine.close()


async def test_writes_that_wait_together_cost_one_begin_and_one_commit(tmp_path: Path) -> None:
    engine = await open_sqlite(str(tmp_path / "holdfast.db"))
    try:
        before = engine.statements
        await asyncio.gather(*(engine.write(lambda tx: tx.set_meta("key", "v")) for _ in range(200)))
        savepoint_write_release = 3
        assert engine.statements - before == 2 + 200 * savepoint_write_release
    finally:
        await engine.close()


def test_a_session_counts_every_statement() -> None:
    session = Session(sqlite3.connect(":memory:"))
    session.execute("SELECT 1")
    session.one("SELECT 1")
    session.all("SELECT 1")
    session.scalar("SELECT 1")
    assert session.executed == 4
