"""What every servicer is made of: the engine, the clock, and who is to be told of commits.

Owns nothing but the bundle and the life of its moving parts. Read ``server.py`` for who makes it and ``services.py``
for who uses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdfast.security.namespaces import DEFAULT
from store_service.api.bells import Bells
from store_service.api.clock import Clock
from store_service.api.delivery import Delivery
from store_service.api.expiries import Expiries
from store_service.api.streams import Streams
from store_service.engines.contract import Engine
from store_service.rules import leases

#: A grpc.aio.ServicerContext; handlers raise Refusal and need it for little else.
Context = Any


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a store over one database, which is one namespace; a server has these for each that it serves.

    ``store_id`` names the database, for as long as it exists; ``namespace`` is told to clients and decides nothing.
    """

    engine: Engine
    clock: Clock
    delivery: Delivery
    bells: Bells
    streams: Streams
    expiries: Expiries
    store_id: str
    namespace: str = DEFAULT

    def start(self) -> None:
        """Begin to deliver and to expire."""
        self.delivery.start()
        self.expiries.start()

    def say_goodbye(self, deadline_ms: int) -> None:
        """Tell everything that waits to end before ``deadline_ms``: streams, long polls."""
        self.streams.drain(deadline_ms)
        self.delivery.drain()

    async def stop(self) -> None:
        """End what moves; the engine is still open, so that what was handed out last is released."""
        await self.expiries.stop()
        await self.delivery.stop()
        self.bells.stop()


async def make_parts(engine: Engine, clock: Clock, *, streams_max: int, namespace: str = DEFAULT) -> Parts:
    """Make the parts of a server around an open engine; `Parts.start` sets them going."""
    store_id = await engine.read(lambda reader: reader.meta("store_id"))
    assert store_id, "an engine gives its database an id when it creates it"
    now_ms = clock()
    await engine.write(lambda tx: leases.shorten_impossible(tx, now_ms))
    return Parts(
        engine=engine,
        clock=clock,
        delivery=Delivery(engine, clock),
        bells=Bells(engine),
        streams=Streams(streams_max),
        expiries=Expiries(engine, clock),
        store_id=store_id,
        namespace=namespace,
    )
