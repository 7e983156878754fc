"""A TCP proxy that does to connections what networks do: delay, stall, trickle, cut, forget.

One `FaultProxy` stands in front of one address; what it does at the moment is told per direction (`Way`): ``up`` is
towards the server, ``down`` towards the client. It changes no byte and no order, since TCP does not either: bytes are
late, or they never come and the connection ends or hangs. What happens to whole calls (told twice, answer lost) is
``rpc_proxy.py``. Must be used from one event loop. Proof: `tests/network/test_fault_proxy.py`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Self

#: Bytes read at once: small, so that a stall holds back most of a large message.
_READ_BYTES: Final = 16 * 1024

#: Makes close() send a reset, so that the other side learns of a cut at once and drops what it has not read.
_RESET: Final = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Way:
    """One direction of a proxy. Changing a field changes every open connection and those to come.

    ``delay_seconds`` is the time that every chunk of bytes takes on its way; ``bytes_per_second`` 0 means as many as
    come; ``cut_after`` ends the connection when so many more bytes went through, None never.
    """

    delay_seconds: float = 0.0
    bytes_per_second: float = 0.0
    cut_after: int | None = None
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    passed: int = 0

    def __post_init__(self) -> None:
        self.flows.set()


class FaultProxy:
    """Listens on ```address`` and passes connections on to ``target``; see the module. Starts clean."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.address = ""
        self.up = Way()
        self.down = Way()
        self.accepted = 0
        self._refuses = False
        self._swallows = False
        self._open: dict[_Connection, None] = {}
        self._stranded: set[_Connection] = set()
        self._passing: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._greet, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for connection in list(self._stranded):
            connection.cut()
        self.clear()
        await asyncio.gather(*self._passing)

    @property
    def connections(self) -> int:
        """How many connections are open and not stranded."""
        return len(self._open)

    def cut(self) -> None:
        """Reset every open connection, on both sides."""
        for connection in list(self._open):
            connection.cut()

    def clear(self) -> None:
        """Let both ways be as they were at the beginning; what is stranded stays so."""
        for way in (self.up, self.down):
            way.delay_seconds = way.bytes_per_second = 0.0
            way.cut_after = None
            way.flows.set()

    def strand(self) -> None:
        """Leave every open connection half-open for good: no byte and no end comes through any more.

        What a switch does that forgets a connection, or a host that lost its power. New connections are as usual.
        """
        for connection in list(self._open):
            self._strand(connection)

    def strand_newest(self) -> None:
        """Leave the connection half-open that was opened last."""
        self._strand(list(self._open)[-1])

    @contextmanager
    def stalled(self, *ways: Way) -> Iterator[None]:
        """Hold back the bytes of these ways (default: both) while the block lasts; then all of them go on."""
        held = ways or (self.up, self.down)
        for way in held:
            way.flows.clear()
        try:
            yield
        finally:
            for way in held:
                way.flows.set()

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Cut everything and reset every new connection while the block lasts."""
        self._refuses = True
        self.cut()
        try:
            yield
        finally:
            self._refuses = False

    @contextmanager
    def black_hole(self) -> Iterator[None]:
        """Cut everything, and strand new connections while the block lasts: those hang for good, also after it.

        What dropped packets look like to a program: its attempt to connect goes on until it gives up by itself.
        """
        self._swallows = True
        self.cut()
        try:
            yield
        finally:
            self._swallows = False

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the server. Raises OSError when nobody is there."""
        host, _, port = self.target.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    def _strand(self, connection: _Connection) -> None:
        connection.is_stranded = True
        self._open.pop(connection, None)
        self._stranded.add(connection)

    def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._accept(reader, writer))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            _reset(writer)
            return
        self.accepted += 1
        try:
            to_reader, to_writer = await self._reach()
        except OSError:
            _reset(writer)
            return
        connection = _Connection(writer, to_writer)
        self._open[connection] = None
        if self._swallows:
            self._strand(connection)
        try:
            await asyncio.gather(
                connection.pump(reader, to_writer, self.up), connection.pump(to_reader, writer, self.down)
            )
        finally:
            connection.cut()
            self._open.pop(connection, None)
            self._stranded.discard(connection)


class _Connection:
    """One connection through the proxy: two sockets, two pumps."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers
        self.is_stranded = False

    def cut(self) -> None:
        for writer in self._writers:
            _reset(writer)

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
        """Pass bytes on until either side ends. The end is passed on too, except of a stranded connection."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while data := await reader.read(_READ_BYTES):
                if way.delay_seconds:
                    await asyncio.sleep(way.delay_seconds)
                await way.flows.wait()
                if not self.is_stranded and not await self._pass_on(data, writer, way):
                    break
        if not self.is_stranded:
            self.cut()

    async def _pass_on(self, data: bytes, writer: asyncio.StreamWriter, way: Way) -> bool:
        """Returns False once the connection is to be cut."""
        if way.cut_after is not None:
            data, is_last = data[: way.cut_after], len(data) >= way.cut_after
            way.cut_after = None if is_last else way.cut_after - len(data)
        else:
            is_last = False
        for piece in _pieces(data, way):
            writer.write(piece)
            await writer.drain()
            way.passed += len(piece)
            if way.bytes_per_second:
                await asyncio.sleep(len(piece) / way.bytes_per_second)
        return not is_last


def _pieces(data: bytes, way: Way) -> Iterator[bytes]:
    """Split what is passed on slowly; a rate that is lifted in between lets the rest go at once."""
    while data:
        size = 1 if way.bytes_per_second else len(data)
        yield data[:size]
        data = data[size:]


def _reset(writer: asyncio.StreamWriter) -> None:
    found = writer.get_extra_info("socket")
    with suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
