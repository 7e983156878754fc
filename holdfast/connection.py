"""A client's connection to a runtime: the channel, its credentials, and patience with services that restart.

Owns every retry of the client. Repeating is safe because each call that changes something carries a request id or is
idempotent by itself. Errors come out typed (``holdfast/answers.py``); tokens never appear in them.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import Message

from holdfast import tracing
from holdfast.addresses import target_of
from holdfast.answers import from_rpc_error
from holdfast.codecs import Codec
from holdfast.errors import HoldfastError, NotReady, Throttled, WriteConflict
from holdfast.keepalive import KEEPALIVE, RECONNECT
from holdfast.requests import check_place
from holdfast.sealing import Sealing, named_codec
from holdfast.security.bearer import Bearer, CallMetadata
from holdfast.security.channels import ClientTls, open_channel
from holdfast.v1 import entity_pb2, runtime_service_pb2, runtime_service_pb2_grpc

Answer = TypeVar("Answer", bound=Message)

DEFAULT_ADDRESS: Final = "localhost:7702"

#: Seconds one call may take, beyond its own waiting.
CALL_SECONDS: Final = 15.0

#: Seconds of trying before a runtime that never answered is given up: a wrong address should be told soon.
FIRST_CONTACT_SECONDS: Final = 10.0

#: Seconds of the first and of the longest pause between two tries.
PAUSE_SECONDS_MIN: Final = 0.05
PAUSE_SECONDS_MAX: Final = 1.0

#: Milliseconds of one AwaitRun; the server allows 60 seconds.
SLICE_MS: Final = 50_000

#: Seconds that the deadline of a call leaves beyond its own waiting.
MARGIN_SECONDS: Final = 5.0

#: Seconds that an answer may come after the limit of a wait, before the runtime is taken to be away.
LATE_SECONDS: Final = 2.0

#: Seconds between two waits when the first came back early: the runtime drains, and is about to go.
EARLY_PAUSE_SECONDS: Final = 0.1

#: Errors after which the same call may be sent again.
PASSING: Final = (NotReady, Throttled, WriteConflict)

#: How a runtime is reached.
CHANNEL_OPTIONS: Final = (*KEEPALIVE, *RECONNECT)


class Patience:
    """Decides whether and how long to pause before the next try. ``seconds`` count since the last sign of life."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        """The runtime answered: patience is whole again."""
        self._since: float | None = None
        self._pause = PAUSE_SECONDS_MIN

    async def wait(self, error: HoldfastError) -> None:
        """Pause, jittered, longer each time; raises the error when patience is at its end or no repeat can help."""
        now = asyncio.get_running_loop().time()
        self._since = now if self._since is None else self._since
        pause = self._pause * (0.5 + random.random())
        if error.retry_after_ms is not None:
            pause = max(pause, error.retry_after_ms / 1000)
        if not isinstance(error, PASSING) or now + pause - self._since > self._seconds():
            raise error
        self._pause = min(self._pause * 2, PAUSE_SECONDS_MAX)
        await asyncio.sleep(pause)


class Connection:
    """One channel to one runtime, opened at the first call. ``runtime`` has the stubs; go through ``call``."""

    def __init__(
        self,
        address: str | None,
        *,
        token: str | Callable[[], str] | None,
        tls: ClientTls,
        patience: float,
        codec: Codec | None = None,
    ) -> None:
        if not isinstance(address, str | None):
            raise TypeError(f'the address of a runtime is text like "127.0.0.1:7702", got {address!r}')
        self.address = address or os.environ.get("HOLDFAST_RUNTIME_ADDRESS") or DEFAULT_ADDRESS
        target_of(self.address, is_secure=bool(tls.ca))
        self._patience_seconds = patience
        self._has_contact = False
        self._bearer = Bearer.of_client(token)
        self._tls = tls
        self._sealing = Sealing(codec or named_codec())
        self._channel: grpc.aio.Channel | None = None
        self._is_closed = False
        self._stub: Any = None

    @property
    def _metadata(self) -> CallMetadata:
        return self._bearer.metadata()

    @property
    def runtime(self) -> Any:
        """The stubs of RuntimeService."""
        check_place()
        if self._is_closed:
            raise RuntimeError("this client is closed; make a new one")
        if self._channel is None:
            self._channel = self._open()
            self._stub = runtime_service_pb2_grpc.RuntimeServiceStub(self._channel)
        return self._stub

    def patience(self) -> Patience:
        """Begin to wait for the runtime; short until it has answered for the first time."""
        return Patience(self._seconds_of_patience)

    def heard(self) -> None:
        """The runtime answered, so there is one at the address."""
        self._has_contact = True

    async def call(self, method: str, request: Message, *, seconds: float = CALL_SECONDS) -> Any:
        """Make one unary call, repeated while the runtime is away or busy. Raises the typed error of the answer."""
        patience = self.patience()
        while True:
            try:
                return await self.once(getattr(self.runtime, method), request, seconds=seconds)
            except PASSING as error:
                await patience.wait(error)

    async def once(self, method: Callable[..., Awaitable[Answer]], request: Message, *, seconds: float) -> Answer:
        """Make one unary call, once; values are encoded and decoded by the codec."""
        try:
            metadata = (*self._metadata, *tracing.current().items())
            answer = await method(self._sealing.seal(request), timeout=seconds, metadata=metadata)
        except grpc.RpcError as error:
            raise self.typed(error) from None
        self.heard()
        return self._sealing.open(answer)

    def opened(self, message: Answer) -> Answer:
        """Return a message of a stream with its values decoded."""
        return self._sealing.open(message)

    async def ended(self, run_id: str, limit_ms: int | None) -> entity_pb2.Run | None:
        """Wait for the end of a run, across restarts of the runtime; None when the limit passed first."""
        try:
            async with asyncio.timeout(None if limit_ms is None else limit_ms / 1000 + LATE_SECONDS):
                return await self._ended(run_id, limit_ms)
        except TimeoutError:
            return None

    async def _ended(self, run_id: str, limit_ms: int | None) -> entity_pb2.Run | None:
        """Wait in slices; None when the limit passed first."""
        loop = asyncio.get_running_loop()
        until = None if limit_ms is None else loop.time() + limit_ms / 1000
        while True:
            left_ms = SLICE_MS if until is None else max(0, min(SLICE_MS, round((until - loop.time()) * 1000)))
            request = runtime_service_pb2.AwaitRunRequest(run_id=run_id)
            request.timeout.FromMilliseconds(left_ms)
            answer: runtime_service_pb2.AwaitRunResponse = await self.call(
                "AwaitRun", request, seconds=left_ms / 1000 + MARGIN_SECONDS
            )
            if answer.done:
                return answer.run
            if until is not None and loop.time() >= until:
                return None
            await asyncio.sleep(EARLY_PAUSE_SECONDS)

    def stream(self, method: str, request: Message) -> Any:
        """Open one server stream; its errors go through ``typed``."""
        return getattr(self.runtime, method)(request, metadata=self._metadata)

    def typed(self, error: grpc.RpcError) -> HoldfastError:
        """Translate a failed call; silence names the address."""
        typed = from_rpc_error(error)
        self._has_contact = self._has_contact or bool(typed.reason)
        if isinstance(typed, NotReady) and not typed.reason:
            return NotReady(
                f"no runtime answers at {self.address} ({typed}); start one with `holdfast dev FILE`, or name its "
                "address in HOLDFAST_RUNTIME_ADDRESS"
            )
        return typed

    async def close(self) -> None:
        """Close the channel; calls under way fail. Idempotent."""
        self._is_closed = True
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close(None)

    def _seconds_of_patience(self) -> float:
        return self._patience_seconds if self._has_contact else min(self._patience_seconds, FIRST_CONTACT_SECONDS)

    def _open(self) -> grpc.aio.Channel:
        return open_channel(self.address, self._tls, CHANNEL_OPTIONS)
