"""The two commands that look at an installation: `holdfast audit` at a database, `holdfast doctor` at all of it."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.v1 import event_pb2
from store_service.engines import open_engine
from store_service.rules.append import Append, append
from tests.support.store import StoreProcess

NOW = 1_700_000_000_000


def say(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "holdfast.cli", *words]
    return subprocess.run(command, env=os.environ | env, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def nobody() -> str:
    """An address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def write_run(path: Path) -> None:
    events = [
        event_pb2.Event(run_created=event_pb2.RunCreated(workflow_name="w")),
        event_pb2.Event(run_started=event_pb2.RunStarted()),
        event_pb2.Event(run_completed=event_pb2.RunCompleted()),
    ]
    engine = await open_engine(f"sqlite:///{path}")
    await engine.write(lambda tx: append(tx, Append("run_1", events), NOW))
    await engine.close()


async def test_a_sound_database_passes_the_audit_by_path_and_by_url(tmp_path: Path) -> None:
    await write_run(path := tmp_path / "a.db")
    for words in [(str(path),), (f"sqlite:///{path}",)]:
        done = say("audit", *words)
        assert (done.returncode, done.stdout) == (0, "1 runs, 3 events, nothing is broken\n")


async def test_a_hole_in_a_log_is_named_with_its_run_and_exit_1(tmp_path: Path) -> None:
    await write_run(path := tmp_path / "a.db")
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("DELETE FROM events WHERE seq = 2")
    connection.close()
    done = say("audit", str(path), "--json")
    assert done.returncode == 1
    assert {it["runId"] for it in json.loads(done.stdout)["findings"]} == {"run_1"}
    assert "run_1: not dense" in say("audit", str(path)).stdout


def test_the_audit_reads_beside_a_running_store_and_writes_nothing(store_process: StoreProcess) -> None:
    done = say("audit", str(store_process.database))
    assert (done.returncode, done.stdout) == (0, "0 runs, 0 events, nothing is broken\n")


def test_a_file_that_is_no_store_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x" * 5_000)
    for name, told in {"none.db": "there is no database", "notes.txt": "is not a holdfast database"}.items():
        done = say("audit", str(tmp_path / name))
        assert done.returncode == 2
        assert told in done.stderr
    assert not (tmp_path / "none.db").exists()
    assert "no database of a store" in say("audit", "mysql://db/x").stderr


def test_the_doctor_says_what_to_start_when_nobody_answers(nobody: str) -> None:
    done = say("doctor", "--store", nobody, "--runtime", nobody)
    assert done.returncode == 3
    assert done.stdout.count(f"nobody listens at {nobody}") == 2
    assert "holdfast dev" in done.stdout


def test_the_doctor_tells_a_store_from_a_port_that_another_program_has(
    store_process: StoreProcess, tmp_path: Path
) -> None:
    done = say("doctor", "--store", store_process.address, "--runtime", store_process.address, "--json")
    checks = {it["check"]: it for it in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 3
    assert [name for name, it in checks.items() if not it["ok"]] == ["runtime"]
    assert {"python", "store", "store version", "store clock"} <= checks.keys()
    assert "another program" in checks["runtime"]["answer"]


def test_the_doctor_finds_a_database_that_cannot_be_written(nobody: str, tmp_path: Path) -> None:
    words = ("doctor", "--store", nobody, "--runtime", nobody, "--database")
    assert "can be written" in say(*words, f"sqlite:///{tmp_path}/a.db").stdout
    assert "does not exist; create it" in say(*words, f"sqlite:///{tmp_path}/none/a.db").stdout


def test_the_doctor_takes_a_postgresql_url_and_shows_no_password(nobody: str) -> None:
    words = ("doctor", "--store", nobody, "--runtime", nobody, "--database")
    for url, mark in {"postgresql://me:secret@db/x": "✓ file", "mysql://me:secret@db/x": "✗ file"}.items():
        done = say(*words, url)
        assert mark in done.stdout and "secret" not in done.stdout + done.stderr
