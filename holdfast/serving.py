"""A gRPC server of holdfast, as both services run it: port, TLS, health, reflection, guard, drain.

Owns the life of the server and nothing that it serves. It starts with health NOT_SERVING, and drains in order: health
first, so that nobody new comes; then new calls are refused (NOT_READY) while the streams say goodbye and open calls
finish; then the port closes. Must never cut off a call before the drain time is over. Every call passes
``interceptors.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import grpc
import grpc.aio
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from holdfast.dispatch import Namespaces, Servicers
from holdfast.interceptors import Calls
from holdfast.keepalive import KEEPALIVE
from holdfast.refusal import Refusal
from holdfast.security.exposure import tell_exposure
from holdfast.security.files import FileProblem
from holdfast.security.logged import LibraryFormatter, describe_exceptions
from holdfast.security.settings import SecuritySettings

#: Above the 4 MiB that clients accept: a batch that is too large gets a typed answer, not the transport's.
_REQUEST_BYTES_MAX: Final = 8 * 1024 * 1024

#: One process owns a port. Either side may ping as often as it likes, and a client that hangs is noticed: what it
#: holds, leases of a consumer above all, must not wait for it.
OPTIONS: Final = (
    *KEEPALIVE,
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", _REQUEST_BYTES_MAX),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
)

#: Seconds for answers that are on their way when the last call has returned.
_FLUSH_SECONDS: Final = 1.0

#: When a client of a draining server may try again: by then another one may be there.
_RETRY_AFTER_MS: Final = 500

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class CannotListen(RuntimeError):
    """The server cannot be: its address is malformed, of another machine or taken, or a file of secrets is unusable.

    The message names the address or the file.
    """


class Server:
    """A server for ``services``. `add` servicers, `open` their namespaces, `start`, `set_serving`, at the end `drain`.

    Raises CannotListen for files of secrets that cannot be used, ValueError for a method that names no roles.
    """

    def __init__(self, services: Sequence[ServiceDescriptor], security: SecuritySettings) -> None:
        self._is_draining = False
        self._has_servicers = False
        self._names = [service.full_name for service in services]
        self._security = security
        try:
            self._certificates = security.certificates()
            #: Who may call; None is everybody.
            self.access = security.access(services)
        except FileProblem as error:
            raise CannotListen(str(error)) from None
        self.namespaces = Namespaces([f"/{it.full_name}/{method.name}" for it in services for method in it.methods])
        self.calls = Calls([self._require_open], security.guard(self.access), self.namespaces)
        self.grpc: grpc.aio.Server = grpc.aio.server(interceptors=[self.calls], options=OPTIONS)
        self._health: Any = HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        if security.reflection:
            health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
            reflection.enable_server_reflection((*self._names, health_name, reflection.SERVICE_NAME), self.grpc)

    def add(self, register: Callable[[Any], None]) -> Servicers:
        """Take the servicers that ``register`` adds to what it takes for a server; the first answer whoever is nobody.

        Where credentials are asked for, they are reached once `namespaces` has opened a namespace for them.
        """
        servicers = Servicers()
        register(servicers)
        if not self._has_servicers:
            self._has_servicers = True
            servicers.add_to(self.grpc)
        return servicers

    async def start(self, listen: str) -> str:
        """Listen on ``host:port`` (port 0 picks one) and return the address in force. Raises CannotListen.

        Health says NOT_SERVING until `set_serving`.
        """
        host, _, wanted = listen.rpartition(":")
        if not host or not wanted.isdigit():
            raise CannotListen(f"cannot listen on {listen!r}: it is not an address of the form host:port")
        await self._set_health(_NOT_SERVING)
        try:
            port = self._add_port(listen)
        except RuntimeError as error:
            raise CannotListen(f"cannot listen on {listen}: the port is taken, or the address is not ours") from error
        await self.grpc.start()
        address = f"{host}:{port}"
        tell_exposure(address, self._security)
        return address

    def _add_port(self, listen: str) -> int:
        if self._certificates is None:
            return self.grpc.add_insecure_port(listen)
        return self.grpc.add_secure_port(listen, self._certificates.credentials())

    async def set_serving(self, *, is_serving: bool = True) -> None:
        """Set the health of the server and of every service by name."""
        await self._set_health(_SERVING if is_serving else _NOT_SERVING)

    async def drain(self, say_goodbye: Callable[[], None], seconds: float) -> None:
        """Refuse new calls, call ``say_goodbye`` to end the long ones, give all ``seconds`` to finish, then stop."""
        await self._health.enter_graceful_shutdown()
        self._is_draining = True
        say_goodbye()
        await self.calls.wait_idle(seconds)
        await self.grpc.stop(_FLUSH_SECONDS)

    async def _set_health(self, status: int) -> None:
        for name in ("", *self._names):
            await self._health.set(name, status)

    def _require_open(self, method: str) -> None:
        if self._is_draining:
            raise Refusal(
                "NOT_READY",
                "this server is draining and takes no new calls; connect again",
                metadata={"method": method},
                retry_after_ms=_RETRY_AFTER_MS,
            )


@contextlib.contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """Catch SIGTERM and SIGINT while the block lasts; the event is set at the first.

    Enter it before saying that the server serves: whoever read that line may send one at once. After the block a signal
    kills again, so that a drain can be cut short.
    """
    received = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, received.set)
    try:
        yield received
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def wait_for_signal() -> None:
    """Return at the first SIGTERM or SIGINT that comes after the call."""
    with stop_signals() as received:
        await received.wait()


def log_to_stderr() -> None:
    """Send the log, structlog's and the standard library's, to stderr; stdout is for what people asked for."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LibraryFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            describe_exceptions,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
