"""A TCP proxy in front of a server that can be told to lose what passes: the network between a store and its database.

What is lost is lost on the connections that are open at that moment; new ones pass. Each of them is cut once nothing
more has come for a moment, so that it is a whole flight that is lost and not its first piece. What is held back may be
delivered later, as by a router that woke up: the server then acts on what its client has long given up.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

#: Seconds of silence after which a connection that loses what passes is cut.
_SILENCE_S = 0.15


@dataclass(eq=False)
class _Connection:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    held: list[bytes] = field(default_factory=list)
    loses_answers: bool = False
    holds_requests: bool = False
    cutting: asyncio.TimerHandle | None = None

    def cut_soon(self) -> None:
        if self.cutting is not None:
            self.cutting.cancel()
        self.cutting = asyncio.get_running_loop().call_later(_SILENCE_S, self.client.close)


class TcpCut:
    """The proxy; an async context manager. ``port`` is where clients connect."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._connections: list[_Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> TcpCut:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        for connection in self._connections:
            connection.client.close()
            connection.server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def lose_answers(self) -> None:
        """From now on answers on the open connections are lost."""
        for connection in self._connections:
            connection.loses_answers = True

    def hold_requests(self) -> None:
        """From now on what clients send on the open connections is held back."""
        for connection in self._connections:
            connection.holds_requests = True

    def deliver_held(self) -> int:
        """Deliver what was held back; returns how many bytes."""
        size = 0
        for connection in self._connections:
            for piece in connection.held:
                connection.server.write(piece)
                size += len(piece)
            connection.held.clear()
        return size

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, server = await asyncio.open_connection("127.0.0.1", self._target_port)
        connection = _Connection(writer, server)
        self._connections.append(connection)
        for work in (self._requests(connection, reader), self._answers(connection, answers)):
            task = asyncio.create_task(work)
            self._tasks.add(task)

    async def _requests(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        while piece := await reader.read(65_536):
            if connection.holds_requests:
                connection.held.append(piece)
                connection.cut_soon()
            else:
                connection.server.write(piece)
        if not connection.held:
            connection.server.close()

    async def _answers(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        while piece := await reader.read(65_536):
            if connection.loses_answers:
                connection.cut_soon()
            elif not connection.client.is_closing():
                connection.client.write(piece)
        connection.client.close()
