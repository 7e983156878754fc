"""A store server: database, rules and port, from start to drain.

Owns the order of both. Up: database, then parts, then port, then health. Down: health, then the goodbyes and the open
calls (``holdfast/serving.py``), then what moves, then the database, so that nothing acknowledged is lost and nothing
handed out at the last moment stays leased. ``__main__.py``, ``holdfast dev`` and the tests all start it here.
"""

from __future__ import annotations

import asyncio
from typing import Self

import structlog

from holdfast.serving import Server
from holdfast.v1 import queue_service_pb2, session_service_pb2, store_service_pb2, stream_service_pb2
from store_service.api.clock import Clock, SteadyClock
from store_service.api.parts import Parts, make_parts
from store_service.api.services import add_services
from store_service.engines import open_engine
from store_service.engines.contract import Engine
from store_service.settings import StoreSettings

log = structlog.get_logger(__name__)

SERVICES = (
    store_service_pb2.DESCRIPTOR.services_by_name["StoreService"],
    queue_service_pb2.DESCRIPTOR.services_by_name["QueueService"],
    stream_service_pb2.DESCRIPTOR.services_by_name["StreamService"],
    session_service_pb2.DESCRIPTOR.services_by_name["SessionService"],
)


class RunningStore:
    """A store that serves. ``address`` is host:port in force; ``parts`` is what it is made of, for tests."""

    def __init__(self, server: Server, parts: Parts, address: str, drain_seconds: float) -> None:
        self.address = address
        self.parts = parts
        self._server = server
        self._drain_seconds = drain_seconds
        self._drained: asyncio.Task[None] | None = None

    async def drain(self) -> None:
        """Stop in good order: see the module. Idempotent; every caller waits for the end of it."""
        if self._drained is None:
            self._drained = asyncio.create_task(self._drain(), name="store-drain")
        await asyncio.shield(self._drained)

    async def wait(self) -> None:
        """Wait until the port is closed."""
        await self._server.grpc.wait_for_termination()

    async def failed(self) -> str:
        """Wait until the database takes no more writes from this process, and return why.

        What to do then: drain, and end the process without more (`os._exit`), so that nothing writes to the file.
        """
        return await self.parts.engine.failed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.drain()

    async def _drain(self) -> None:
        deadline_ms = self.parts.clock() + int(self._drain_seconds * 1000)
        await self._server.drain(lambda: self.parts.say_goodbye(deadline_ms), self._drain_seconds)
        await self.parts.stop()
        await self.parts.engine.close()
        log.info("store stopped", address=self.address)


async def serve(settings: StoreSettings, *, clock: Clock | None = None, engine: Engine | None = None) -> RunningStore:
    """Start a store and return it serving.

    ``clock`` and ``engine`` are for tests: time that they move, a database that they opened. Raises ValueError for a
    bad URL, what the engine raises for a database it cannot use, CannotListen for the address.
    """
    if engine is None:
        engine = await open_engine(settings.database, pending_writes_max=settings.pending_writes_max)
    try:
        return await _start(settings, clock or SteadyClock(engine.wall_ns), engine)
    except BaseException:
        await engine.close()
        raise


async def _start(settings: StoreSettings, clock: Clock, engine: Engine) -> RunningStore:
    server = Server(SERVICES, settings)
    parts = await make_parts(engine, clock, streams_max=settings.streams_max)
    add_services(parts, server.grpc)
    address = await server.start(settings.listen)
    parts.start()
    await server.set_serving()
    log.info("store started", address=address, backend=engine.backend, store_id=parts.store_id)
    return RunningStore(server, parts, address, settings.drain_seconds)
