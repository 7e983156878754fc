"""The PostgreSQL engine: writing lanes, reading lanes, notes of this replica and of others.

Owns the queues of writes in front of the lanes. Units that name a run go to the lane of that run, so they keep their
order and never wait for each other's locks; all others share the first lane and keep theirs. A lane commits what waits
in front of it together; lanes commit beside each other. It must never acknowledge before the commit is durable. Read
next: ``commit.py`` for a batch, ``transaction.py`` for its locks, ``hints.py`` for other replicas.
"""

from __future__ import annotations

import asyncio
import secrets
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from store_service.engines.contract import Engine, Listener, Needs, Reader, Transaction
from store_service.engines.errors import DatabaseUnusable
from store_service.engines.listening import Listeners
from store_service.engines.postgres import statements
from store_service.engines.postgres.commit import Job, Sender
from store_service.engines.postgres.connection import Patience, Session, connect
from store_service.engines.postgres.hints import Hints
from store_service.engines.postgres.lane import Lane, Line
from store_service.engines.postgres.migration import migrate
from store_service.engines.postgres.reading import read_surely
from store_service.engines.postgres.retry import commit_surely
from store_service.engines.waiting import Outcome, Waiting, Write, closed, throttled

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """How an engine uses its database. A store has ``writers`` + ``readers`` + 1 connections at most.

    ``poll_s``: how often it looks for commits of other replicas when no hint came.
    """

    pending_writes_max: int = 10_000
    writers: int = 3
    readers: int = 2
    poll_s: float = 2.0
    hears_hints: bool = True
    patience: Patience = field(default_factory=Patience)
    local_ns: Callable[[], int] = time.time_ns


async def open_postgres(url: str, options: Options | None = None) -> Engine:
    """Connect to a database and bring its schema to the newest. The database and its schema must exist.

    Raises DatabaseUnusable (ForeignDatabase, SchemaTooNew) when it cannot be used, ValueError for a bad URL.
    """
    options = options or Options()
    name = without_password(url)
    replica = secrets.token_hex(8)

    def connect_lane() -> Session:
        return connect(url, options.patience, f"holdfast {replica}")

    first = Lane(connect_lane, "store-writer-0")
    try:
        store_id, (seen, server_ms), is_listening = await first.run(lambda line: _prepare(line, name))
    except psycopg.Error as error:
        await first.close()
        raise DatabaseUnusable(name, f"database {name} cannot be opened: {error}".strip()) from error
    except BaseException:
        await first.close()
        raise
    channel = f"holdfast_{store_id[:16]}" if is_listening and options.hears_hints else ""
    engine = PostgresEngine(connect_lane, first, Sender(replica, channel), options)
    engine.set_clock(server_ms, 0)
    await engine.listen_to_others(url, seen)
    return engine


def _prepare(line: Line, name: str) -> tuple[str, tuple[int, int], bool]:
    session = line.session()
    migrate(session, name)
    return (
        session.scalar(statements.COMMON.META, ("store_id",)),
        session.one(statements.LAST_ANNOUNCEMENT),
        _listens(session),
    )


def _listens(session: Session) -> bool:
    """Tell whether the server knows LISTEN and NOTIFY; distributed ones may not."""
    try:
        session.send(statements.HINT, ("holdfast", ""))
    except psycopg.Error:
        session.rest()
        return False
    return True


def without_password(url: str) -> str:
    """Return what people are shown of a URL. Raises ValueError for one that cannot be read."""
    try:
        known = conninfo_to_dict(url)
    except psycopg.Error as error:
        raise ValueError(f"the database URL cannot be read: {error}".strip()) from error
    at = f"{known.get('host', '')}:{known['port']}" if known.get("port") else f"{known.get('host', '')}"
    return f"postgresql://{at}/{known.get('dbname', '')}"


class _WritingLane:
    """A lane with the writes that wait for it."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.waiting: Waiting[Job] = Waiting()
        self.committing: asyncio.Task[None] | None = None


class PostgresEngine:
    """``contract.Engine`` on PostgreSQL; made by ``open_postgres``."""

    backend = "postgresql"

    def __init__(self, connect_lane: Callable[[], Session], first: Lane, sender: Sender, options: Options) -> None:
        lanes = [first, *(Lane(connect_lane, f"store-writer-{n}") for n in range(1, options.writers))]
        self._writers = [_WritingLane(lane) for lane in lanes]
        self._readers = [Lane(connect_lane, f"store-reader-{n}") for n in range(options.readers)]
        self._sender = sender
        self._options = options
        self._listeners = Listeners()
        self._hints: Hints | None = None
        self._clock_ahead_ns = 0
        self._closed: asyncio.Future[None] | None = None

    async def listen_to_others(self, url: str, seen: int) -> None:
        """Begin to tell what other replicas commit after announcement ``seen``."""
        options, sender = self._options, self._sender
        self._hints = Hints(
            url, options.patience, sender.replica, sender.channel, options.poll_s, self._listeners.tell, self.set_clock
        )
        await self._hints.start(seen)

    async def write(self, unit: Callable[[Transaction], T], needs: Needs | None = None) -> T:
        """Run a unit in the next commit of its lane; see ``contract.Engine``.

        A caller that is cancelled before its commit began takes its unit out; later the unit is committed all the same.
        """
        self._check_open()
        waiting, most = sum(len(writer.waiting) for writer in self._writers), self._options.pending_writes_max
        if waiting >= most:
            raise throttled(waiting, most)
        writer = self._writer_of(needs)
        done: asyncio.Future[T] = writer.waiting.add(Job(unit, needs))
        if writer.committing is None:
            writer.committing = asyncio.create_task(self._commit_all(writer))
        return await done

    async def read(self, query: Callable[[Reader], T]) -> T:
        """Run a query on one snapshot, in one crossing of a reader's thread; see ``contract.Engine``."""
        self._check_open()
        reader = min(self._readers, key=lambda lane: lane.waiting)
        return await reader.run(lambda line: read_surely(line, query))

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` after each commit that left notes; see ``contract.Engine``. It must not raise."""
        return self._listeners.add(listener)

    async def failed(self) -> str:
        """Wait for ever: a lost server is connected to again; see ``contract.Engine``."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    @property
    def statements(self) -> int:
        """SQL statements executed since the start, transactions included."""
        lanes = [*(writer.lane for writer in self._writers), *self._readers]
        heard = self._hints.executed if self._hints is not None else 0
        return sum(lane.executed for lane in lanes) + heard

    def wall_ns(self) -> int:
        """Return the clock of the database server, as last read; see ``contract.Engine``."""
        return self._options.local_ns() + self._clock_ahead_ns

    def set_clock(self, server_ms: int, took_ns: int) -> None:
        """Note what the server's clock read; the answer took ``took_ns``, half of it on the way back."""
        self._clock_ahead_ns = server_ms * 1_000_000 + took_ns // 2 - self._options.local_ns()

    async def close(self) -> None:
        """Commit what waits and close every connection. Idempotent."""
        if self._closed is None:
            self._closed = asyncio.ensure_future(self._shut_down())
        await asyncio.shield(self._closed)

    async def _shut_down(self) -> None:
        committing = [writer.committing for writer in self._writers if writer.committing is not None]
        if committing:
            await asyncio.wait(committing)
        if self._hints is not None:
            await self._hints.stop()
        for lane in (*self._readers, *(writer.lane for writer in self._writers)):
            await lane.close()

    def _check_open(self) -> None:
        if self._closed is not None:
            raise closed()

    def _writer_of(self, needs: Needs | None) -> _WritingLane:
        if needs is None or not needs.run_id or len(self._writers) == 1:
            return self._writers[0]
        return self._writers[1 + zlib.crc32(needs.run_id.encode()) % (len(self._writers) - 1)]

    async def _commit_all(self, writer: _WritingLane) -> None:
        try:
            while batch := writer.waiting.next_batch():
                await self._commit(writer.lane, batch)
        finally:
            writer.committing = None

    async def _commit(self, lane: Lane, batch: Sequence[Write[Job]]) -> None:
        jobs = [write.unit for write in batch]
        try:
            outcomes = await lane.run(lambda line: commit_surely(line, jobs, self._sender))
        except Exception as error:
            outcomes = [Outcome(error=error)] * len(batch)
        for write, outcome in zip(batch, outcomes, strict=True):
            write.resolve(outcome)
        self._listeners.tell([note for outcome in outcomes for note in outcome.notes])
