"""`make fuzz`: bytes at every method of the store, guided by coverage (atheris); ends at the first bug.

The calls go through the serialisation and the interceptor that real servers have, without a socket, onto a store in
memory, so that a process makes thousands a second and coverage sees all of them. The first byte chooses the method.
What it looks for: an answer INTERNAL, a status that is not of the contract, a hang. The suite's own fuzzing, with
requests made up by descriptor, is ``test_fuzzing.py``.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import atheris  # type: ignore[import-not-found]

with atheris.instrument_imports(include=["store_service", "holdfast"]):
    import grpc
    from google.protobuf import message_factory
    from google.protobuf.message import DecodeError

    from holdfast.testing.transport import InProcessChannel, InProcessServer
    from holdfast.v1 import event_pb2, store_service_pb2
    from store_service.api.clock import SteadyClock
    from store_service.api.parts import make_parts
    from store_service.api.services import add_services
    from store_service.engines.sqlite.memory import MemoryDatabase, MemoryEngine
    from store_service.server import SERVICES

from tests.support.any_rpc import methods_of, path_of, reason_of

METHODS = [method for method in methods_of(SERVICES) if not method.client_streaming and not method.server_streaming]

#: Methods that wait for something by design; they are given up after this many seconds.
SECONDS = 0.5


class Target:
    """A store in memory, and a channel to it."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._server = InProcessServer()
        self._runner.run(self._open())

    async def _open(self) -> None:
        parts = await make_parts(MemoryEngine(MemoryDatabase()), SteadyClock(), streams_max=100)
        add_services(parts, self._server)  # type: ignore[arg-type]
        parts.start()

        async def server() -> InProcessServer:
            return self._server

        self._channel = InProcessChannel(server)
        created = event_pb2.Event(run_created=event_pb2.RunCreated(workflow_name="w"))
        request = store_service_pb2.CreateEventRequest(run_id="run-1", event=created)
        await self._call(METHODS[0], request)

    def __call__(self, data: bytes) -> None:
        if not data:
            return
        method = METHODS[data[0] % len(METHODS)]
        try:
            request = message_factory.GetMessageClass(method.input_type).FromString(data[1:])
        except DecodeError:
            return
        self._runner.run(self._call(method, request))

    async def _call(self, method: Any, request: Any) -> None:
        call = self._channel.unary_unary(
            path_of(method),
            request_serializer=lambda it: it.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        try:
            async with asyncio.timeout(SECONDS):
                await call(request)
        except TimeoutError:
            return
        except grpc.aio.AioRpcError as error:
            reason = reason_of(error)
            assert reason not in ("INTERNAL", "CORRUPT_LOG"), f"{path_of(method)}: {error.details()}"


if __name__ == "__main__":
    atheris.Setup(sys.argv, Target())
    atheris.Fuzz()
