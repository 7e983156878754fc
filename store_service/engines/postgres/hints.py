"""What other replicas commit: heard of by LISTEN, found by looking.

Owns one connection that listens, and the number of the newest announcement that was taken. A notification says "look";
without one, or without LISTEN altogether, it looks every ``poll_s``: a lost hint costs at most that. What is read is
exact: announcements are numbered without a hole in commit order, so a hole means that some were forgotten before they
were read here, and that is told as MissedNotes. It also reads the clock of the server, which all replicas share, so
that their own clocks may differ by minutes. Must never hold up a commit.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import psycopg
from psycopg import sql

from store_service.engines.contract import MissedNotes, Note
from store_service.engines.postgres import statements
from store_service.engines.postgres.announcements import unpack
from store_service.engines.postgres.connection import Patience, complete, prepare_types

#: Announcements read at once.
_READ_MAX: Final = 500
#: How long announcements are kept, and how often and how many of the old ones are deleted.
KEPT_S: Final = 900
_FORGET_EVERY_S: Final = 60.0
_FORGET_MAX: Final = 2_000
#: Pause before a lost connection is opened again.
_PAUSE_S: Final = 0.5

_log = logging.getLogger(__name__)


class Hints:
    """Tells what other replicas committed. ``start`` on the event loop, ``stop`` before the engine is closed."""

    def __init__(
        self,
        url: str,
        patience: Patience,
        replica: str,
        channel: str,
        poll_s: float,
        tell: Callable[[Sequence[Note]], None],
        set_clock: Callable[[int, int], None],
    ) -> None:
        self._url = url
        self._patience = patience
        self._replica = replica
        self._channel = channel
        self._poll_s = poll_s
        self._tell = tell
        self._set_clock = set_clock
        self._seen: int | None = None
        self._forgotten_at = time.monotonic()
        self._has_begun = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.executed = 0

    async def start(self, seen: int) -> None:
        """Begin after announcement ``seen``; returns once it listens, or after the first try that failed."""
        self._seen = seen
        self._task = asyncio.create_task(self._listen_for_ever(), name="store-hints")
        await self._has_begun.wait()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen()
            except (psycopg.Error, TimeoutError) as error:
                _log.warning("the connection for news of other replicas is lost, next try follows: %s", error)
            except Exception:
                _log.exception("news of other replicas could not be read, next try follows")
            self._has_begun.set()
            await asyncio.sleep(_PAUSE_S)

    async def _listen(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            complete(self._url, self._patience, f"holdfast {self._replica} hints"), autocommit=True
        )
        async with connection:
            prepare_types(connection)
            if self._channel:
                self.executed += 1
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
            while True:
                # What was committed before LISTEN, or while the connection was lost, is found here.
                async with asyncio.timeout(self._patience.silence_ms / 1000):
                    await self._look(connection)
                    await self._forget(connection)
                self._has_begun.set()
                await self._wait(connection)

    async def _wait(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Return when another replica has sent a hint, or when it is time to look anyway."""
        deadline = time.monotonic() + self._poll_s
        while (left := deadline - time.monotonic()) > 0:
            async for hint in connection.notifies(timeout=left, stop_after=1):
                if hint.payload != self._replica:
                    return

    async def _look(self, connection: psycopg.AsyncConnection[Any]) -> None:
        await self._read_clock(connection)
        while True:
            self.executed += 1
            cursor = await connection.execute(statements.ANNOUNCEMENTS, (self._seen, _READ_MAX))
            found = await cursor.fetchall()
            for number, replica, body in found:
                if self._seen is not None and number > self._seen + 1:
                    self._tell([MissedNotes()])
                self._seen = number
                if replica != self._replica:
                    self._tell(unpack(body))
            if len(found) < _READ_MAX:
                return

    async def _read_clock(self, connection: psycopg.AsyncConnection[Any]) -> None:
        before_ns = time.monotonic_ns()
        self.executed += 1
        cursor = await connection.execute(statements.LAST_ANNOUNCEMENT)
        row = await cursor.fetchone()
        if row is not None:
            self._set_clock(row[1], time.monotonic_ns() - before_ns)

    async def _forget(self, connection: psycopg.AsyncConnection[Any]) -> None:
        if time.monotonic() - self._forgotten_at < _FORGET_EVERY_S:
            return
        self._forgotten_at = time.monotonic()
        self.executed += 1
        await connection.execute(statements.FORGET_ANNOUNCEMENTS, (KEPT_S, _FORGET_MAX))
