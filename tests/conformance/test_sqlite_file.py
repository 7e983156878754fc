"""SQLite: who owns the file, which files are refused, and what a killed process leaves behind."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from store_service import checksum
from store_service.engines import open_engine
from store_service.engines.contract import RunQuery
from store_service.engines.sqlite import (
    DatabaseInUse,
    DatabaseUnusable,
    ForeignDatabase,
    SchemaTooNew,
    open_sqlite,
)
from store_service.engines.sqlite.migration import APPLICATION_ID, known_migrations
from tests.conformance import samples

ROOT = Path(__file__).parents[2]

PAID = {"stage": "paid"}

#: Appends events of one run for ever, and says each seq once its commit was acknowledged.
WRITER = """
import asyncio, sys
from store_service.engines.sqlite import open_sqlite
from tests.conformance import samples

async def main():
    engine = await open_sqlite(sys.argv[1])
    print("open", flush=True)
    async def append(seq):
        await engine.write(lambda tx: tx.insert_event(samples.event(seq=seq, body=b"x" * 500)))
        print(seq, flush=True)
    for first in range(1, 1_000_000, 8):
        await asyncio.gather(*(append(seq) for seq in range(first, first + 8)))

asyncio.run(main())
"""


def start_writer(path: Path) -> subprocess.Popen[str]:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "open\n"
    return writer


def kill(writer: subprocess.Popen[str]) -> list[int]:
    """Kill the writer without warning and return every seq that it said was acknowledged."""
    writer.send_signal(signal.SIGKILL)
    said, _ = writer.communicate(timeout=30)
    return [int(line) for line in said.splitlines() if line]


async def test_a_second_process_is_refused_and_told_who_has_the_file(tmp_path: Path) -> None:
    writer = start_writer(tmp_path / "holdfast.db")
    try:
        with pytest.raises(DatabaseInUse, match=f"process {writer.pid}") as caught:
            await open_sqlite(str(tmp_path / "holdfast.db"))
        assert caught.value.pid == writer.pid
        assert str(tmp_path / "holdfast.db") in str(caught.value)
    finally:
        kill(writer)
    await (await open_sqlite(str(tmp_path / "holdfast.db"))).close()


async def test_a_second_engine_is_refused_through_a_symbolic_link_too(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "holdfast.db")
    engine = await open_sqlite(str(tmp_path / "holdfast.db"))
    try:
        with pytest.raises(DatabaseInUse) as caught:
            await open_sqlite(str(tmp_path / "link.db"))
        assert caught.value.pid == os.getpid()
    finally:
        await engine.close()
    await (await open_sqlite(str(tmp_path / "link.db"))).close()


@pytest.mark.parametrize("turn", range(3))
async def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path, turn: int) -> None:
    writer = start_writer(tmp_path / "holdfast.db")
    assert writer.stdout is not None
    for _ in range(400 + 137 * turn):
        last = int(writer.stdout.readline())
    acknowledged = max([last, *kill(writer)])
    engine = await open_sqlite(str(tmp_path / "holdfast.db"))
    try:
        rows = await engine.read(lambda tx: tx.events("run_a", limit=1_000_000))
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
        assert len(rows) >= acknowledged
    finally:
        await engine.close()


async def test_a_copy_taken_between_commits_is_a_whole_database(tmp_path: Path) -> None:
    engine = await open_sqlite(str(tmp_path / "holdfast.db"))
    await engine.write(lambda tx: tx.set_meta("key", "value"))
    for file in ("holdfast.db", "holdfast.db-wal"):
        shutil.copy(tmp_path / file, tmp_path / file.replace("holdfast", "copy"))
    await engine.close()
    copy = await open_sqlite(str(tmp_path / "copy.db"))
    assert await copy.read(lambda tx: tx.meta("key")) == "value"
    await copy.close()


async def test_closing_leaves_one_file_without_a_wal(tmp_path: Path) -> None:
    engine = await open_sqlite(str(tmp_path / "holdfast.db"))
    await engine.write(lambda tx: tx.set_meta("key", "value"))
    await engine.close()
    assert sorted(os.listdir(tmp_path)) == ["holdfast.db", "holdfast.db.lock"]


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable, match=f"directory {tmp_path / 'none'} does not exist"):
        await open_sqlite(str(tmp_path / "none" / "holdfast.db"))


async def test_a_path_that_is_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable, match="cannot be opened"):
        await open_sqlite(str(tmp_path))


async def test_a_database_of_somebody_else_is_refused_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "foreign.db"
    with sqlite3.connect(path) as foreign:
        foreign.execute("CREATE TABLE notes (text)")
    foreign.close()
    before = path.read_bytes()
    with pytest.raises(ForeignDatabase, match="not a holdfast database"):
        await open_sqlite(str(path))
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader, " * 1_000)
    with pytest.raises(ForeignDatabase, match="not a holdfast database"):
        await open_sqlite(str(path))
    assert path.read_text() == "Dear reader, " * 1_000


async def test_a_newer_schema_is_refused_unchanged_and_the_file_let_go(tmp_path: Path) -> None:
    path = tmp_path / "holdfast.db"
    await (await open_sqlite(str(path))).close()
    with sqlite3.connect(path) as newer:
        newer.execute("INSERT INTO schema_migrations (version, name) VALUES (9999, 'future')")
    newer.close()
    for _ in range(2):
        with pytest.raises(SchemaTooNew, match="schema 9999") as caught:
            await open_sqlite(str(path))
        assert caught.value.found == 9999
    with sqlite3.connect(path) as newer:
        newer.execute("DELETE FROM schema_migrations WHERE version = 9999")
    newer.close()
    await (await open_sqlite(str(path))).close()


async def test_migrations_are_numbered_without_a_gap_and_recorded(tmp_path: Path) -> None:
    known = known_migrations()
    assert [migration.version for migration in known] == list(range(1, len(known) + 1))
    await (await open_sqlite(str(tmp_path / "holdfast.db"))).close()
    with sqlite3.connect(tmp_path / "holdfast.db") as file:
        recorded = file.execute("SELECT version, name FROM schema_migrations ORDER BY version").fetchall()
        assert recorded == [(migration.version, migration.name) for migration in known]
        assert file.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    file.close()


async def test_logs_of_before_the_checksums_get_them(tmp_path: Path) -> None:
    path = tmp_path / "holdfast.db"
    await (await open_sqlite(str(path))).close()
    with sqlite3.connect(path) as older:
        older.executescript(
            """
            ALTER TABLE events DROP COLUMN checksum;
            ALTER TABLE runs DROP COLUMN head_checksum;
            ALTER TABLE messages DROP COLUMN checksum;
            ALTER TABLE chunks DROP COLUMN checksum;
            ALTER TABLE requests DROP COLUMN checksum;
            DELETE FROM schema_migrations WHERE version >= 3;
            INSERT INTO runs VALUES ('run_a', 'w', 1, 1, 1, NULL, '', 2, 6, 0, 0, 0, 0, 0, x'');
            INSERT INTO events (run_id, seq, event_id, at, kind, entity_id, body) VALUES
              ('run_a', 2, 'evt_2', 6, 2, '', x'02'), ('run_a', 1, 'evt_1', 5, 1, '', x'01');
            """
        )
    older.close()
    engine = await open_sqlite(str(path))
    first, second = await engine.read(lambda tx: tx.events("run_a", limit=10))
    run = await engine.read(lambda tx: tx.run("run_a"))
    await engine.close()
    assert first.checksum == checksum.chained(checksum.FIRST, 5, b"\x01")
    assert second.checksum == checksum.chained(checksum.own(first.checksum), 6, b"\x02")
    assert run is not None
    assert run.head_checksum == checksum.own(second.checksum)


async def test_attributes_of_before_get_the_time_of_their_run(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    engine = await open_sqlite(str(path))
    await engine.write(lambda tx: (tx.put_run(samples.run("run_a", create_ms=700)), tx.put_attributes("run_a", PAID)))
    await engine.close()
    with sqlite3.connect(path) as older:
        older.executescript(
            """
            DROP TABLE attributes;
            CREATE TABLE attributes (key TEXT, value TEXT, run_id TEXT, PRIMARY KEY (key, value, run_id)) WITHOUT ROWID;
            CREATE INDEX attributes_by_run ON attributes (run_id);
            INSERT INTO attributes VALUES ('stage', 'paid', 'run_a');
            DELETE FROM schema_migrations WHERE version >= 5;
            """
        )
    older.close()
    engine = await open_sqlite(str(path))
    wanted = RunQuery(limit=9, attributes=PAID, create_from_ms=700, create_until_ms=701)
    assert [row.run_id for row in await engine.read(lambda reader: reader.runs(wanted))] == ["run_a"]
    await engine.close()


async def test_a_relative_url_is_below_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    await (await open_engine("sqlite:///relative.db")).close()
    await (await open_engine(f"sqlite:///{tmp_path / 'absolute.db'}")).close()
    assert (tmp_path / "relative.db").exists()
    assert (tmp_path / "absolute.db").exists()


@pytest.mark.parametrize(
    "url",
    ["holdfast.db", "mysql://localhost/holdfast", "sqlite://", "sqlite:///", "sqlite://host/file.db", ""],
)
async def test_a_url_that_names_no_database_says_what_would(url: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite:///file\.db"):
        await open_engine(url)


@pytest.mark.parametrize("path", [":memory:", "file:x?mode=memory"])
async def test_a_database_without_a_file_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a file path"):
        await open_sqlite(path)
