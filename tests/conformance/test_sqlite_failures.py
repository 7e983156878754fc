"""SQLite: a commit that fails is told to every caller, leaves no trace, and is never taken for done."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from holdfast.refusal import Refusal
from store_service.engines.contract import Engine
from store_service.engines.sqlite import open_sqlite
from tests.conformance import samples

ROOT = Path(__file__).parents[2]

#: A file size limit of the operating system makes the write of the WAL fail inside COMMIT, as a broken disk would.
BROKEN_DISK = """
import asyncio, resource, signal, sys
from holdfast.refusal import Refusal
from store_service.engines.sqlite import open_sqlite
from tests.conformance import samples

def limit_files(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

async def append(engine, seq):
    try:
        await engine.write(lambda tx: tx.insert_event(samples.event(seq=seq, body=b"x" * 20_000)))
        return "committed"
    except Refusal as refusal:
        return refusal.reason

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    engine = await open_sqlite(sys.argv[1])
    print(await append(engine, 1))
    limit_files(400_000)
    print(*await asyncio.gather(*(append(engine, seq) for seq in range(2, 42))))
    limit_files(resource.RLIM_INFINITY)
    print(await append(engine, 2))
    print(len(await engine.read(lambda tx: tx.events("run_a", limit=100))))
    await engine.close()

asyncio.run(main())
"""


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    engine = await open_sqlite(str(tmp_path / "holdfast.db"), busy_timeout_ms=50)
    yield engine
    await engine.close()


async def reason_of(write: object) -> str:
    try:
        await write
    except Refusal as refusal:
        return refusal.reason
    return "committed"


def test_after_an_io_error_in_a_commit_the_engine_takes_no_more_writes(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", BROKEN_DISK, str(tmp_path / "holdfast.db")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    first, batch, later, readable = ended.stdout.splitlines()
    assert first == "committed"
    assert set(batch.split()) == {"NOT_READY"}
    assert later == "NOT_READY", "the same handle was written to after a failed commit"
    assert readable == "1"


async def test_a_full_database_refuses_the_whole_batch_and_goes_on_when_there_is_room(engine: Engine) -> None:
    pages = await engine._writer.run(lambda session: session.scalar("PRAGMA page_count"))
    await engine._writer.run(lambda session: session.execute(f"PRAGMA max_page_count = {pages + 2}"))

    def append(seq: int) -> object:
        return reason_of(engine.write(lambda tx: tx.insert_event(samples.event(seq=seq, body=b"x" * 4_000))))

    assert set(await asyncio.gather(*(append(seq) for seq in range(1, 9)))) == {"NOT_READY"}
    assert await engine.read(lambda tx: tx.last_position()) == 0
    with pytest.raises(Refusal, match="disk is full"):
        await engine.write(lambda tx: tx.insert_event(samples.event(body=b"x" * 40_000)))
    await engine._writer.run(lambda session: session.execute("PRAGMA max_page_count = 100000"))
    assert await append(1) == "committed"


async def test_a_lock_held_by_a_foreign_process_is_a_write_conflict(engine: Engine, tmp_path: Path) -> None:
    foreign = sqlite3.connect(tmp_path / "holdfast.db", isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    writes = [engine.write(lambda tx: tx.set_meta("key", "value")) for _ in range(3)]
    assert await asyncio.gather(*(reason_of(write) for write in writes)) == ["WRITE_CONFLICT"] * 3
    foreign.execute("ROLLBACK")
    foreign.close()
    assert await engine.read(lambda tx: tx.meta("key")) is None
    assert await reason_of(engine.write(lambda tx: tx.set_meta("key", "value"))) == "committed"
