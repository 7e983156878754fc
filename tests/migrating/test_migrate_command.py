"""`holdfast migrate` as it is typed: what it prints, how it ends, and that a killed one can be started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import psycopg

from holdfast.v1 import event_pb2
from store_service.auditing import audit_database
from store_service.engines import open_engine
from store_service.rules.append import Append, append
from tests.support.store import eventually

NOW = 1_700_000_000_000
MIGRATE = (sys.executable, "-m", "holdfast.cli", "migrate")


def migrate(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MIGRATE, *words], capture_output=True, text=True, timeout=60, check=False)


async def write_runs(path: Path, count: int) -> str:
    events = [
        event_pb2.Event(run_created=event_pb2.RunCreated(workflow_name="w")),
        event_pb2.Event(run_started=event_pb2.RunStarted()),
    ]
    engine = await open_engine(f"sqlite:///{path}")
    for number in range(count):
        await engine.write(lambda tx, number=number: append(tx, Append(f"run_{number}", events), NOW))
    await engine.close()
    return f"sqlite:///{path}"


async def test_it_says_what_was_moved_and_that_stores_must_be_stopped(postgres_url: str, tmp_path: Path) -> None:
    url = await write_runs(tmp_path / "a.db", 2)
    done = migrate(url, postgres_url)
    assert done.returncode == 0, done.stderr
    assert "2 runs, 4 events" in done.stdout and "nothing is broken" in done.stdout
    assert "must be stopped" in done.stderr
    done = migrate(postgres_url, f"sqlite:///{tmp_path / 'b.db'}", "--json")
    moved = json.loads(done.stdout)
    assert moved["rows"]["events"] == 4
    assert moved["storeId"] == audit_database(url).store_id


async def test_what_cannot_be_moved_is_one_line_and_exit_2(postgres_url: str, tmp_path: Path) -> None:
    url = await write_runs(tmp_path / "a.db", 1)
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("UPDATE runs SET workflow_name = 'other'")
    connection.close()
    nowhere = f"sqlite:///{tmp_path / 'none.db'}"
    for words, told in {
        (url, postgres_url): "1 laws are broken",
        (nowhere, postgres_url): "there is no database",
        (url, "mysql://db"): "names no database",
        (url, "postgresql://postgres:secret@127.0.0.1:1/x"): "cannot be used",
    }.items():
        done = migrate(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr and "secret" not in done.stderr
    assert not (tmp_path / "none.db").exists()


def test_a_move_that_is_killed_in_the_middle_is_redone_by_the_next(postgres_url: str, tmp_path: Path) -> None:
    url = asyncio.run(write_runs(tmp_path / "a.db", 3))
    assert migrate(url, postgres_url).returncode == 0
    target = tmp_path / "back.db"
    # The lock on its last table holds the move where most is written and nothing is done.
    with psycopg.connect(postgres_url) as connection:
        connection.execute("LOCK TABLE chunks IN ACCESS EXCLUSIVE MODE")
        with subprocess.Popen([*MIGRATE, postgres_url, f"sqlite:///{target}"], stderr=subprocess.DEVNULL) as moving:
            asyncio.run(eventually(lambda: os.path.exists(f"{target}.migrating-journal")))
            moving.send_signal(signal.SIGKILL)
    assert not target.exists()
    assert migrate(postgres_url, f"sqlite:///{target}").returncode == 0
    assert audit_database(f"sqlite:///{target}") == audit_database(url)
