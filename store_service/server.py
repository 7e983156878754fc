"""A store server: databases, rules and port, from start to drain.

Owns the order of both. Up: databases, then parts, then port, then health. Down: health, then the goodbyes and the open
calls (``holdfast/serving.py``), then what moves, then the databases, so that nothing acknowledged is lost and nothing
handed out at the last moment stays leased. There is one database, or one for each namespace (``namespaces.py``).
``__main__.py``, ``holdfast dev`` and the tests all start it here.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Self

import structlog

from holdfast.security.namespaces import DEFAULT
from holdfast.serving import Server
from holdfast.v1 import queue_service_pb2, session_service_pb2, store_service_pb2, stream_service_pb2
from store_service.api.clock import Clock
from store_service.api.parts import Parts
from store_service.api.services import add_services
from store_service.engines.contract import Engine
from store_service.namespaces import PartsByName, close_engines, first_failure, open_namespaces
from store_service.settings import StoreSettings

log = structlog.get_logger(__name__)

SERVICES = (
    store_service_pb2.DESCRIPTOR.services_by_name["StoreService"],
    queue_service_pb2.DESCRIPTOR.services_by_name["QueueService"],
    stream_service_pb2.DESCRIPTOR.services_by_name["StreamService"],
    session_service_pb2.DESCRIPTOR.services_by_name["SessionService"],
)


class RunningStore:
    """A store that serves. ``address`` is host:port in force; ``namespaces`` are what it is made of, for tests."""

    def __init__(self, server: Server, namespaces: PartsByName, address: str, drain_seconds: float) -> None:
        self.address = address
        self.namespaces = namespaces
        self._server = server
        self._drain_seconds = drain_seconds
        self._drained: asyncio.Task[None] | None = None

    @property
    def parts(self) -> Parts:
        """Those of the default namespace."""
        return self.namespaces[DEFAULT]

    async def drain(self) -> None:
        """Stop in good order: see the module. Idempotent; every caller waits for the end of it."""
        if self._drained is None:
            self._drained = asyncio.create_task(self._drain(), name="store-drain")
        await asyncio.shield(self._drained)

    async def wait(self) -> None:
        """Wait until the port is closed."""
        await self._server.grpc.wait_for_termination()

    async def failed(self) -> str:
        """Wait until one of the databases takes no more writes from this process, and return why.

        What to do then: drain, and end the process without more (`os._exit`), so that nothing writes to the file.
        """
        return await first_failure(self.namespaces)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.drain()

    async def _drain(self) -> None:
        await self._server.drain(self._say_goodbye, self._drain_seconds)
        for parts in self.namespaces.values():
            await parts.stop()
        await close_engines(self.namespaces)
        log.info("store stopped", address=self.address)

    def _say_goodbye(self) -> None:
        for parts in self.namespaces.values():
            parts.say_goodbye(parts.clock() + int(self._drain_seconds * 1000))


async def serve(settings: StoreSettings, *, clock: Clock | None = None, engine: Engine | None = None) -> RunningStore:
    """Start a store and return it serving.

    ``clock`` and ``engine`` are for tests: time that they move, a database that they opened. Raises ValueError for a
    bad URL, what the engine raises for a database it cannot use, CannotListen for the address.
    """
    namespaces = await open_namespaces(settings, clock, engine)
    try:
        return await _start(settings, namespaces)
    except BaseException:
        await close_engines(namespaces)
        raise


async def _start(settings: StoreSettings, namespaces: PartsByName) -> RunningStore:
    server = Server(SERVICES, settings)
    for name, parts in namespaces.items():
        server.namespaces.open(name, server.add(partial(add_services, parts)))
    address = await server.start(settings.listen)
    for parts in namespaces.values():
        parts.start()
    await server.set_serving()
    for name, parts in namespaces.items():
        backend = parts.engine.backend
        log.info("store started", address=address, namespace=name, backend=backend, store_id=parts.store_id)
    return RunningStore(server, namespaces, address, settings.drain_seconds)
