"""The schema: made once however many replicas start, and never touched when it is somebody else's."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import pytest

from store_service.auditing import audit_database
from store_service.engines import open_engine, shown_url
from store_service.engines.errors import DatabaseUnusable, ForeignDatabase, SchemaTooNew
from store_service.engines.postgres import Options, open_postgres
from store_service.engines.postgres.migration import known_migrations
from store_service.rules.append import Append, append
from tests.rules import book
from tests.support.engines import execute
from tests.support.postgres import PostgresServer


@pytest.fixture
def empty_url(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.empty_database() as url:
        yield url


def name_of(url: str) -> str:
    return url.rpartition("/")[2]


async def test_many_replicas_that_start_at_once_make_one_schema(empty_url: str) -> None:
    small = Options(writers=1, readers=1)
    engines = await asyncio.gather(*(open_postgres(empty_url, small) for _ in range(6)))
    ids = [await engine.read(lambda reader: reader.meta("store_id")) for engine in engines]
    assert len(set(ids)) == 1
    assert ids[0]
    await asyncio.gather(*(engine.close() for engine in engines))


async def test_a_newer_schema_is_refused_and_left_alone(postgres_server: PostgresServer, empty_url: str) -> None:
    await (await open_engine(empty_url)).close()
    newer = known_migrations()[-1].version + 1
    sql = "INSERT INTO schema_migrations (version, name) VALUES (%s, 'from the future')"
    postgres_server.execute(sql, newer, database=name_of(empty_url))
    with pytest.raises(SchemaTooNew, match=f"schema {newer}"):
        await open_engine(empty_url)


async def test_a_database_of_somebody_else_is_refused_and_left_alone(
    postgres_server: PostgresServer, empty_url: str
) -> None:
    postgres_server.execute("CREATE TABLE theirs (a int)", database=name_of(empty_url))
    with pytest.raises(ForeignDatabase, match="not a holdfast database"):
        await open_engine(empty_url)
    tables = postgres_server.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=name_of(empty_url)
    )
    assert tables == [("theirs",)]


async def test_a_server_that_is_not_there_is_said_to_be_so_without_the_password() -> None:
    with pytest.raises(DatabaseUnusable, match=r"postgresql://127\.0\.0\.1:1/holdfast") as caught:
        await open_engine("postgresql://user:secret@127.0.0.1:1/holdfast")
    assert "secret" not in str(caught.value)


async def test_a_url_that_cannot_be_read_says_so() -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        await open_engine("postgresql://localhost/holdfast?no_such_option=1")


def test_a_store_that_cannot_reach_its_database_ends_with_one_line_and_code_2() -> None:
    url = "postgresql://u:secret@127.0.0.1:1/holdfast"
    command = [sys.executable, "-m", "store_service", "--listen", "127.0.0.1:0", "--database", url]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "cannot be opened" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "secret" not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:secret@db:5432/holdfast", "postgresql://u@db:5432/holdfast"),
        ("postgresql://u@db/holdfast?password=secret&application_name=a", "postgresql://u@db/holdfast"),
        ("sqlite:///holdfast.db", "sqlite:///holdfast.db"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert shown_url(url) == shown


async def test_an_audit_reads_a_database_beside_its_stores(postgres_url: str) -> None:
    engine = await open_postgres(postgres_url, Options(writers=1, readers=1))
    request = Append(run_id="run_1", events=[book.run_created(), book.run_started()])
    await engine.write(lambda tx: append(tx, request, book.NOW))
    audit = await asyncio.to_thread(audit_database, postgres_url)
    assert (audit.runs, audit.events, audit.findings) == (1, 2, ())
    await engine.write(lambda tx: execute(tx, "UPDATE runs SET replay_seq = 1"))
    assert [run_id for run_id, _ in (await asyncio.to_thread(audit_database, postgres_url)).findings] == ["run_1"]
    await engine.close()
