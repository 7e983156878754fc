"""A network path between a runtime and its store that can be made slow on purpose.

A relay for TCP bytes. While it is *held*, what the store sends stays here, and what the runtime sends goes through: the
runtime decides from what it knew, and only the store knows better. That is the situation which the snapshot guard is
for, made certain instead of waited for. Nothing is lost, reordered or changed.
"""

from __future__ import annotations

import asyncio
import contextlib

_CHUNK_BYTES = 64 * 1024


class SlowLink:
    """Listens on a free port of this machine and passes on to ``target`` ("HOST:PORT")."""

    def __init__(self, target: str) -> None:
        self.address = ""
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> SlowLink:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    def hold(self) -> None:
        """Keep back everything that the store says from now on."""
        self._is_open.clear()

    def release(self) -> None:
        """Let through what was kept back, and everything after."""
        self._is_open.set()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_store, to_store = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.close()
            return
        always_open = asyncio.Event()
        always_open.set()
        await asyncio.gather(_pump(reader, to_store, always_open), _pump(from_store, writer, self._is_open))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
    """Pass bytes on until one side closes. The gate is looked at after the read, so that a byte in hand waits too."""
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(_CHUNK_BYTES):
            await gate.wait()
            writer.write(chunk)
            await writer.drain()
    writer.close()
