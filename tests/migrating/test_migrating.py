"""`holdfast migrate`: a whole store goes to the other engine and back, nothing is lost, and runs go on there."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holdfast import Client, HookNotFound, StreamWriter, hook, sleep, step, stream, workflow
from holdfast.v1 import queue_service_pb2 as queue_api
from holdfast.v1 import store_service_pb2
from store_service.auditing import audit_database
from store_service.engines.errors import DatabaseUnusable
from store_service.engines.moving import TABLES
from store_service.engines.postgres import Options, moving, open_postgres
from store_service.engines.sqlite import moving as sqlite_moving
from store_service.migrating import migrate_database
from tests.support.postgres import PostgresServer
from tests.support.runtime import running_runtime
from tests.support.store import Store, eventually, running_store


@step(name="migrating.tell")
async def tell(words: StreamWriter[str]) -> int:
    for word in ("one", "two", "three"):
        await words.write(word)
    return 3


@workflow(name="migrating.told")
async def told() -> int:
    return await tell(stream("words", type=str))


@workflow(name="migrating.asleep")
async def asleep() -> str:
    await sleep("3s")
    return "awake"


@workflow(name="migrating.approved")
async def approved() -> str:
    told_words = await tell(stream("words", type=str))
    async with hook(str, token="migrating:approval") as answers:
        return f"{told_words} words, {await answers}"


ALL = (told, asleep, approved, tell)


@asynccontextmanager
async def at_work(store: Store) -> AsyncIterator[Client]:
    async with running_runtime(store.address, *ALL) as runtime, Client(runtime.address) as client:
        yield client


@asynccontextmanager
async def on_postgres(url: str, folder: Path) -> AsyncIterator[Store]:
    async with running_store(folder / "unused.db", engine=await open_postgres(url, Options(writers=2))) as store:
        yield store


async def with_a_bit_of_everything(path: Path) -> str:
    """A database with runs that are over, asleep and waiting, messages in every state, streams; returns its URL."""
    async with running_store(path) as store:
        async with at_work(store) as client:
            await (await client.start(told, id="told", attributes={"customer": "7"})).result(timeout="20s")
            await (await client.start(told, id="gone")).result(timeout="20s")
            await client.start(asleep, id="asleep")
            await client.start(approved, id="approved")
            await eventually(lambda: has_hook(store))
        await store.client.events.DeleteRuns(store_service_pb2.DeleteRunsRequest(run_ids=["gone"]))
        await send_in_every_state(store)
    return f"sqlite:///{path}"


async def has_hook(store: Store) -> bool:
    return await store.engine.read(lambda reader: reader.token("migrating:approval")) is not None


async def send_in_every_state(store: Store) -> None:
    queue = store.client.queue

    async def send(text: str, **fields: Any) -> None:
        message = queue_api.NewQueueMessage(queue="post", **fields)
        message.payload.text = json.dumps(text)
        await queue.Enqueue(queue_api.EnqueueRequest(message=message))

    async def claim() -> str:
        found = await queue.ReceiveMessages(queue_api.ReceiveMessagesRequest(queues=["post"], max_messages=1))
        return str(found.messages[0].receipt)

    await send("dead")
    dead = queue_api.NackMessagesRequest(
        receipts=[await claim()], action=queue_api.NACK_ACTION_DEAD_LETTER, reason="a\0zero"
    )
    await queue.NackMessages(dead)
    await send("acknowledged")
    await queue.AckMessages(queue_api.AckMessagesRequest(receipts=[await claim()]))
    await send("leased", group="g")
    await claim()
    for text in ("blocked", "blocked too"):
        await send(text, group="g", idempotency_key=text)


def rows_of(opened: Any) -> dict[str, list[Any]]:
    return {table.name: list(opened.rows(table)) for table in TABLES}


def sqlite_rows(url: str) -> dict[str, list[Any]]:
    with sqlite_moving.source(url.removeprefix("sqlite:///")) as opened:
        return rows_of(opened)


def postgres_rows(url: str) -> dict[str, list[Any]]:
    with moving.source(url) as opened:
        return rows_of(opened)


@pytest.fixture
def empty_postgres(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.empty_database() as url:
        yield url


async def test_a_store_goes_to_postgresql_and_back_without_losing_a_byte(empty_postgres: str, tmp_path: Path) -> None:
    first = await with_a_bit_of_everything(tmp_path / "first.db")
    moved = await asyncio.to_thread(migrate_database, first, empty_postgres)
    assert min(moved.rows.values()) > 0, moved.rows
    back = f"sqlite:///{tmp_path / 'back.db'}"
    returned = await asyncio.to_thread(migrate_database, empty_postgres, back)
    assert returned.rows == moved.rows
    assert sqlite_rows(first) == postgres_rows(empty_postgres) == sqlite_rows(back)
    assert audit_database(first) == audit_database(back)
    assert not [name for name in sorted(os.listdir(tmp_path)) if ".migrating" in name]


async def test_runs_go_on_where_the_store_was_moved_to_and_on_the_way_back(empty_postgres: str, tmp_path: Path) -> None:
    first = await with_a_bit_of_everything(tmp_path / "first.db")
    await asyncio.to_thread(migrate_database, first, empty_postgres)
    async with on_postgres(empty_postgres, tmp_path) as store, at_work(store) as client:
        assert await client.run("told").result(timeout="20s") == 3
        assert await client.run("asleep").result(timeout="20s") == "awake"
        await (await client.start(told, id="new")).result(timeout="20s")
    await asyncio.to_thread(migrate_database, empty_postgres, back := f"sqlite:///{tmp_path / 'back.db'}")
    async with running_store(tmp_path / "back.db") as store, at_work(store) as client:
        await client.resume("migrating:approval", "yes")
        run = client.run("approved")
        assert await run.result(timeout="20s") == "3 words, yes"
        assert [word async for word in run.stream("words", type=str)] == ["one", "two", "three"]
        with pytest.raises(HookNotFound):
            await client.resume("migrating:approval", "again")
        last = await store.engine.read(lambda reader: reader.last_position())
        assert last > sqlite3.connect(tmp_path / "first.db").execute("SELECT max(position) FROM events").fetchone()[0]
    assert audit_database(back).findings == ()


async def test_a_target_with_a_store_in_it_is_refused_and_not_touched(empty_postgres: str, tmp_path: Path) -> None:
    first = await with_a_bit_of_everything(tmp_path / "first.db")
    await asyncio.to_thread(migrate_database, first, empty_postgres)
    before = postgres_rows(empty_postgres)
    with pytest.raises(DatabaseUnusable, match="is not empty"):
        await asyncio.to_thread(migrate_database, first, empty_postgres)
    assert postgres_rows(empty_postgres) == before
    with pytest.raises(DatabaseUnusable, match="exists"):
        await asyncio.to_thread(migrate_database, empty_postgres, first)


async def test_a_database_that_a_store_works_with_is_refused(empty_postgres: str, tmp_path: Path) -> None:
    async with running_store(tmp_path / "first.db"):
        with pytest.raises(DatabaseUnusable, match="is in use by process"):
            await asyncio.to_thread(migrate_database, f"sqlite:///{tmp_path / 'first.db'}", empty_postgres)
    async with on_postgres(empty_postgres, tmp_path):
        for words in [
            (empty_postgres, f"sqlite:///{tmp_path / 'b.db'}"),
            (f"sqlite:///{tmp_path / 'first.db'}", empty_postgres),
        ]:
            with pytest.raises(DatabaseUnusable, match="stop them"):
                await asyncio.to_thread(migrate_database, *words)
    assert not (tmp_path / "b.db").exists()


@contextmanager
def with_a_trigger(url: str, body: str) -> Iterator[None]:
    """A fault that PostgreSQL itself commits while a table is filled."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$")
        connection.execute("CREATE TRIGGER meddle BEFORE INSERT ON chunks FOR EACH ROW EXECUTE FUNCTION meddle()")
        try:
            yield
        finally:
            connection.execute("DROP FUNCTION meddle CASCADE")


@pytest.mark.parametrize(
    ("body", "told"),
    {
        "a byte changes": ("NEW.data := 'x'; RETURN NEW;", "keeps other chunks"),
        "a row is dropped": ("RETURN NULL;", "keeps other chunks"),
        "the server ends the session": (
            "PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW;",
            "cannot be used",
        ),
    }.values(),
)
async def test_a_move_that_goes_wrong_leaves_the_target_empty_and_can_be_done_again(
    postgres_url: str, tmp_path: Path, body: str, told: str
) -> None:
    first = await with_a_bit_of_everything(tmp_path / "first.db")
    with with_a_trigger(postgres_url, body), pytest.raises(DatabaseUnusable, match=told):
        await asyncio.to_thread(migrate_database, first, postgres_url)
    left = postgres_rows(postgres_url)
    assert [name for name, rows in left.items() if rows] == ["meta"]
    await asyncio.to_thread(migrate_database, first, postgres_url)
    assert postgres_rows(postgres_url) == sqlite_rows(first)


async def test_numbers_that_two_replicas_gave_alike_all_arrive_in_a_file(empty_postgres: str, tmp_path: Path) -> None:
    first = await with_a_bit_of_everything(tmp_path / "first.db")
    await asyncio.to_thread(migrate_database, first, empty_postgres)
    with psycopg.connect(empty_postgres, autocommit=True) as replicas:
        # One message of each queue, and one writer of each stream, get the number 7000.
        replicas.execute(
            "UPDATE messages SET number = 7000 WHERE number IN (SELECT max(number) FROM messages GROUP BY queue)"
        )
        replicas.execute("UPDATE chunks SET writer = 7000")
        replicas.execute("UPDATE stream_writers SET number = 7000")
    await asyncio.to_thread(migrate_database, empty_postgres, back := f"sqlite:///{tmp_path / 'back.db'}")
    before, after = postgres_rows(empty_postgres), sqlite_rows(back)
    for name in ("messages", "stream_writers"):
        assert len({row[0] for row in before[name]}) < len(before[name]) == len({row[0] for row in after[name]})
    assert {row[1] for row in before["messages"]} == {row[1] for row in after["messages"]}
    stream_of = {number: stream for number, stream, *_ in after["stream_writers"]}
    assert [stream_of[writer] for _, _, writer, *_ in after["chunks"]] == [chunk[0] for chunk in after["chunks"]]
