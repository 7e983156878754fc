"""A thread with a connection of its own. Functions run there one after the other, in the order of ``run``.

Owns the thread and the life of its connection: opened when it is first needed, thrown away when it is lost, opened
again for the next function. How often that is tried is the function's business. A whole transaction crosses into the
thread at once. The thread is a daemon: a store that ends without ``close`` must end, and that is no worse than a
crash.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from store_service.engines.postgres.connection import Session

T = TypeVar("T")

_Task = tuple[Callable[["Line"], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class Line:
    """The connection as seen inside its thread."""

    __slots__ = ("_connect", "_executed_before", "_session")

    def __init__(self, connect: Callable[[], Session]) -> None:
        self._connect = connect
        self._session: Session | None = None
        self._executed_before = 0

    def session(self) -> Session:
        """Return the open session, connecting when there is none. Raises psycopg.Error."""
        if self._session is not None and self._session.is_lost:
            self.drop()
        if self._session is None:
            self._session = self._connect()
        return self._session

    def drop(self) -> None:
        """Throw the connection away."""
        session, self._session = self._session, None
        if session is not None:
            self._executed_before += session.executed
            session.close()

    @property
    def executed(self) -> int:
        """Statements executed so far, over all connections."""
        session = self._session
        return self._executed_before + (session.executed if session is not None else 0)


class Lane:
    """A line in its thread; ``waiting`` is how many functions wait or run."""

    def __init__(self, connect: Callable[[], Session], name: str) -> None:
        self._line = Line(connect)
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self.waiting = 0
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def executed(self) -> int:
        """Statements executed so far."""
        return self._line.executed

    async def run(self, function: Callable[[Line], T]) -> T:
        """Run a function in the thread, in one crossing. A caller that is cancelled does not stop it."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self.waiting += 1
        self._tasks.put((function, done, loop))
        try:
            return await done
        finally:
            self.waiting -= 1

    async def close(self) -> None:
        """Close the connection after what was handed in, and end the thread."""
        await self.run(Line.drop)
        self._tasks.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            function, done, loop = task
            try:
                value = function(self._line)
            except BaseException as error:
                _tell(loop, _fail, done, error)
            else:
                _tell(loop, _succeed, done, value)
            # What was handed in must not live on while the thread waits for the next.
            del task, function, done, loop


def _tell(loop: asyncio.AbstractEventLoop, how: Callable[..., None], done: asyncio.Future[Any], what: Any) -> None:
    try:
        loop.call_soon_threadsafe(how, done, what)
    except RuntimeError:
        # The loop is closed: nobody waits any more.
        return


def _succeed(done: asyncio.Future[Any], value: Any) -> None:
    if not done.done():
        done.set_result(value)


def _fail(done: asyncio.Future[Any], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)
