"""A synchronous connection to a runtime, for commands that ask one question and print the answer.

Owns the channel, its credentials and the translation of failures into typed errors. Commands need neither asyncio nor
retries: a person is there to see the error and to type again. Long streams resume by cursor in ``reading.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import Message

from holdfast.cli.exits import CommandError, NotReachable
from holdfast.errors import HoldfastError
from holdfast.keepalive import KEEPALIVE
from holdfast.sealing import Sealing, named_codec
from holdfast.security.bearer import Bearer, CallMetadata
from holdfast.security.channels import ClientTls, PlainChannels
from holdfast.v1 import runtime_service_pb2_grpc
from holdfast.wire import from_rpc_error

Answer = TypeVar("Answer", bound=Message)

#: Seconds one plain question may take, connecting included.
CALL_SECONDS: Final = 10.0


class Connection:
    """One channel to one runtime. ``runtime`` has the stubs; go through ``call`` for typed errors."""

    def __init__(self, channel: grpc.Channel, address: str, metadata: CallMetadata) -> None:
        self.address = address
        self._sealing = Sealing(named_codec())
        self.metadata = metadata
        self.runtime: Any = runtime_service_pb2_grpc.RuntimeServiceStub(channel)

    def call(self, method: Callable[..., Answer], request: Message, *, seconds: float = CALL_SECONDS) -> Answer:
        """Make one unary call. Raises NotReachable, or the typed error of the answer."""
        try:
            return self._sealing.open(method(self._sealing.seal(request), timeout=seconds, metadata=self.metadata))
        except grpc.RpcError as error:
            raise self.typed(error) from None

    def typed(self, error: grpc.RpcError) -> HoldfastError:
        """Translate a gRPC failure; one that no server answered names the address."""
        typed = from_rpc_error(error)
        is_silent = not typed.reason and error.code() in (
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
        )
        return NotReachable(self.address, error.code().name) if is_silent else typed


@contextmanager
def connected(address: str, token: str) -> Iterator[Connection]:
    """Open a connection for the time of a command."""
    with open_channel(address) as channel:
        yield Connection(channel, address, metadata_of(token))


def open_channel(address: str) -> grpc.Channel:
    """Open a channel, with TLS when HOLDFAST_TLS_CA says so. Raises CommandError for files that cannot be used."""
    try:
        return PlainChannels(address, ClientTls.of_client(), KEEPALIVE).get()
    except ValueError as error:
        raise CommandError(str(error)) from None


def metadata_of(token: str) -> CallMetadata:
    """Return what a call sends: the token given, else HOLDFAST_TOKEN_FILE's. Raises CommandError for a bad file."""
    try:
        return Bearer.of_client(token or None).metadata()
    except ValueError as error:
        raise CommandError(str(error)) from None
