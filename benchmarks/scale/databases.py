"""The databases that are measured: a SQLite file, and a PostgreSQL server with everything that makes it durable.

Owns where they are and how a million runs get there: they are written once, into a SQLite file, by the rules, and
PostgreSQL gets the same rows the way `holdfast migrate` brings them. The server is the tests' own, unless a URL is
given.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psycopg

from benchmarks.scale import filling
from store_service.engines import open_engine
from store_service.engines.moving import TABLES
from store_service.engines.postgres import moving as postgres_moving
from store_service.engines.sqlite import moving as sqlite_moving
from tests.support.postgres import PostgresServer

#: Filled runs that are audited, spread over all of them.
_AUDITED = 100


@contextmanager
def postgres_server(url: str = "") -> Iterator[str]:
    """Yield the URL of a server: the one given, or one that is started and ended here."""
    if url:
        yield url
        return
    server = PostgresServer(shared_buffers="256MB", autovacuum="on", max_wal_size="2GB")
    try:
        yield server.url()
    finally:
        server.close()


@contextmanager
def postgres_database(server_url: str) -> Iterator[str]:
    """Yield the URL of a new database of a server; it is dropped at the end."""
    name = f"bench_{secrets.token_hex(4)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} LOCALE 'C' TEMPLATE template0")
        try:
            yield server_url.rpartition("/")[0] + f"/{name}"
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def database(engine: str, server_url: str, folder: Path) -> AsyncIterator[str]:
    """Yield the URL of a new, empty database of an engine, "sqlite" or "postgresql"."""
    if engine == "sqlite":
        yield f"sqlite:///{folder / f'{secrets.token_hex(4)}.db'}"
        return
    with postgres_database(server_url) as url:
        yield url


async def filled_file(folder: Path, count: int) -> Path:
    """Return a SQLite store of ``count`` finished runs in ``folder``, written now unless it is there already."""
    path = folder / f"finished-{count}.db"
    if not path.exists():
        written = path.with_suffix(".part")
        written.unlink(missing_ok=True)
        engine = await open_engine(f"sqlite:///{written}")
        await filling.fill_finished(engine, count)
        broken = await filling.broken_laws(engine, _AUDITED)
        await engine.close()
        if broken:
            raise RuntimeError(f"the filled runs break laws: {broken[:3]}")
        written.rename(path)
    return path


async def copy_to_postgres(path: Path, url: str) -> None:
    """Move the rows of a SQLite store into an empty PostgreSQL database, and let its statistics be taken."""
    await asyncio.to_thread(_copy, path, url)


def _copy(path: Path, url: str) -> None:
    with sqlite_moving.source(str(path)) as taken, postgres_moving.target(url) as given:
        for table in TABLES:
            given.fill(table, taken.rows(table))
        given.put_last_position(taken.last_position())
    with psycopg.connect(url, autocommit=True) as connection:
        # As autovacuum would within minutes.
        connection.execute("VACUUM ANALYZE")
