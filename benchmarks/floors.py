"""The floors that figures are ratios of, taken in the same run: what grpc and the disk cost without holdfast.

The echo server is a process of its own, as the services are. A commit is what a store does at least for an event: three
rows in one WAL commit with synchronous=FULL. Each floor is the median of its samples.
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import psycopg

ECHO: Final = """
import asyncio, grpc
from holdfast import event_loop
class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        async def one(request, context): return request
        async def many(requests, context):
            async for request in requests: yield request
        if details.method.endswith("Many"): return grpc.stream_stream_rpc_method_handler(many)
        return grpc.unary_unary_rpc_method_handler(one)
async def main():
    server = grpc.aio.server(); server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0"); await server.start(); print(port, flush=True)
    await server.wait_for_termination()
event_loop.run(main())
"""

_MESSAGE: Final = b"x" * 300
_IN_FLIGHT: Final = 64
_CHUNK: Final = b"x" * 64 * 1024
_CHUNKS_OF_A_MEGABYTE: Final = 16


@dataclass(frozen=True, slots=True)
class Floors:
    """Milliseconds: a unary round trip, one on an open stream, a durable commit, one event of a commit of 32, a
    megabyte there and back in chunks of 64 KiB. ``echo_rate``: unary round trips a second, 64 in flight."""

    echo: float
    ping_pong: float
    commit: float
    group_commit: float
    megabyte: float
    echo_rate: float

    def mean(self, other: Floors) -> Floors:
        """Return the floors between two takings: before and after what is held against them."""
        names = self.__dataclass_fields__
        return Floors(**{name: (getattr(self, name) + getattr(other, name)) / 2 for name in names})


async def take_floors(folder: Path, postgres_url: str = "") -> Floors:
    """Take every floor now; ``folder`` is on the disk that counts and must be empty.

    With ``postgres_url``, of an empty database, commits are that server's.
    """
    commit_ms = functools.partial(_postgres_commit_ms, postgres_url) if postgres_url else _commit_ms
    async with _echo_server() as channel:
        one, many = channel.unary_unary("/floor/One"), channel.stream_stream("/floor/Many")
        return Floors(
            echo=await _median_ms(lambda: one(_MESSAGE)),
            ping_pong=await _ping_pong_ms(many()),
            commit=commit_ms(folder / "commit.db", rows=1),
            group_commit=commit_ms(folder / "group.db", rows=32) / 32,
            megabyte=await _megabyte_ms(many()),
            echo_rate=await _echo_rate(one),
        )


@asynccontextmanager
async def _echo_server() -> AsyncIterator[grpc.aio.Channel]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", ECHO, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        process.kill()
        await process.wait()


async def _median_ms(call: Any, times: int = 400) -> float:
    taken = []
    for _ in range(times + 50):
        begin = time.perf_counter()
        await call()
        taken.append((time.perf_counter() - begin) * 1000)
    return statistics.median(taken[50:])


async def _ping_pong_ms(stream: Any) -> float:
    async def there_and_back() -> None:
        await stream.write(_MESSAGE)
        await stream.read()

    taken = await _median_ms(there_and_back)
    stream.cancel()
    return taken


async def _megabyte_ms(stream: Any) -> float:
    async def read() -> None:
        for _ in range(_CHUNKS_OF_A_MEGABYTE):
            await stream.read()

    taken = []
    for _ in range(12):
        begin = time.perf_counter()
        reading = asyncio.create_task(read())
        for _ in range(_CHUNKS_OF_A_MEGABYTE):
            await stream.write(_CHUNK)
        await reading
        taken.append((time.perf_counter() - begin) * 1000)
    stream.cancel()
    return statistics.median(taken)


async def _echo_rate(call: Any, calls: int = 3_000) -> float:
    left = iter(range(calls))

    async def keep_calling() -> None:
        for _ in left:
            await call(_MESSAGE)

    begin = time.perf_counter()
    await asyncio.gather(*(keep_calling() for _ in range(_IN_FLIGHT)))
    return calls / (time.perf_counter() - begin)


def _postgres_commit_ms(url: str, path: Path, *, rows: int, commits: int = 400) -> float:
    """Return the same of a PostgreSQL server: everything of a commit in one flight, which is the least there is."""
    tables = (
        "floor_events (run TEXT, seq INTEGER, body BYTEA, PRIMARY KEY (run, seq))",
        "floor_runs (run TEXT PRIMARY KEY, head INTEGER, body BYTEA)",
        "floor_steps (run TEXT, id TEXT, body BYTEA, PRIMARY KEY (run, id))",
    )
    body, taken = b"x" * 200, []
    put = "INSERT INTO floor_{0} VALUES (%s, %s, %s) ON CONFLICT (run{1}) DO UPDATE SET body = excluded.body"
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
        for table in tables:
            connection.execute(f"CREATE TABLE {table}")
        for number in range(commits + 50):
            begin = time.perf_counter()
            with connection.pipeline():
                connection.execute("BEGIN")
                for row in range(rows):
                    connection.execute("INSERT INTO floor_events VALUES (%s, %s, %s)", (f"r{row}", number, body))
                    connection.execute(put.format("runs", ""), (f"r{row}", number, body))
                    connection.execute(put.format("steps", ", id"), (f"r{row}", "s", body))
                connection.execute("COMMIT")
            taken.append((time.perf_counter() - begin) * 1000)
        for table in tables:
            connection.execute(f"DROP TABLE {table.partition(' ')[0]}")
    return statistics.median(taken[50:])


def _commit_ms(path: Path, *, rows: int, commits: int = 400) -> float:
    """Return the median of durable commits of ``rows`` events, each with a run row and a step row."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE events (run TEXT, seq INTEGER, body BLOB, PRIMARY KEY (run, seq)) WITHOUT ROWID")
    connection.execute("CREATE TABLE runs (run TEXT PRIMARY KEY, head INTEGER, body BLOB)")
    connection.execute("CREATE TABLE steps (run TEXT, id TEXT, body BLOB, PRIMARY KEY (run, id)) WITHOUT ROWID")
    taken = []
    for number in range(commits + 50):
        begin = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        for row in range(rows):
            connection.execute("INSERT INTO events VALUES (?, ?, ?)", (f"r{row}", number, b"x" * 200))
            connection.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", (f"r{row}", number, b"x" * 200))
            connection.execute("INSERT OR REPLACE INTO steps VALUES (?, 's', ?)", (f"r{row}", b"x" * 200))
        connection.execute("COMMIT")
        taken.append((time.perf_counter() - begin) * 1000)
    connection.close()
    return statistics.median(taken[50:])
