"""The runtime's view of the store: the only module that knows its stubs, its retries and its errors.

Every call ends in a typed answer or a ``HoldfastError``; an unreachable store is ``NotReady`` after the retries, and is
never a failed run: the callers give the work back. Retrying is safe because every mutating call carries a
request id or is idempotent by itself. Read ``worker/hold.py`` for the caller that matters.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import grpc
from google.protobuf import duration_pb2
from google.protobuf.message import Message
from grpc.aio import Channel
from ulid import ULID

from holdfast.errors import HoldfastError, NotReady, Throttled, WriteConflict
from holdfast.keepalive import KEEPALIVE, RECONNECT
from holdfast.sealing import Sealing, named_codec
from holdfast.security.bearer import Bearer, CallMetadata
from holdfast.security.channels import ClientTls, PlainChannels, open_channel
from holdfast.security.namespaces import EXPECTED
from holdfast.v1 import (
    event_pb2,
    queue_service_pb2,
    queue_service_pb2_grpc,
    session_service_pb2_grpc,
    store_service_pb2,
    store_service_pb2_grpc,
    stream_service_pb2,
    stream_service_pb2_grpc,
)
from holdfast.wire import from_rpc_error
from runtime_service.names import RUN_QUEUE, WAKE_DELIVERIES_MAX, WAKE_KEY
from runtime_service.session import ARMS, Session

Answer = TypeVar("Answer", bound=Message)
Call = Callable[..., Awaitable[Answer]]

#: Seconds one call may take, beyond its own waiting.
CALL_SECONDS: Final = 10.0

#: Seconds of retries before NotReady reaches the caller, and the longest pause between two.
RETRY_SECONDS: Final = 20.0
PAUSE_SECONDS_MAX: Final = 0.5

#: Errors after which the same call may be sent again.
_PASSING: Final = (NotReady, Throttled, WriteConflict)

#: How the store is reached. Between two calls too: nothing tells a claim that waits from a connection that hangs.
CHANNEL_OPTIONS: Final = (*KEEPALIVE, *RECONNECT, ("grpc.keepalive_permit_without_calls", 1))

_NO_TLS: Final = ClientTls()


def new_request_id() -> str:
    """Mint a request id: one for each thing that must happen once, reused by every retry of it."""
    return str(ULID())


def milliseconds(value: int) -> duration_pb2.Duration:
    """Build a Duration from milliseconds."""
    return duration_pb2.Duration(seconds=value // 1000, nanos=value % 1000 * 1_000_000)


class Store:
    """A channel to one store address, with typed errors and bounded, jittered retries.

    ``token``, or what ``bearer`` has, is sent as a bearer token and never logged. ``channel`` is for a store in this
    process. Raises FileProblem for certificates that cannot be used.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str = "",
        bearer: Bearer | None = None,
        tls: ClientTls = _NO_TLS,
        retry_seconds: float = RETRY_SECONDS,
        channel: Channel | None = None,
        sealing: Sealing | None = None,
    ) -> None:
        self.address = address
        #: Encodes the values that are written here and decodes those of logs that are read to be replayed.
        self.sealing = sealing or Sealing(named_codec())
        self._bearer = bearer or Bearer(token)
        self._tls = tls
        self._retry_seconds = retry_seconds
        self._channel: Channel = channel or open_channel(address, tls, CHANNEL_OPTIONS)
        self.events: Any = store_service_pb2_grpc.StoreServiceStub(self._channel)
        self.queue: Any = queue_service_pb2_grpc.QueueServiceStub(self._channel)
        self.streams: Any = stream_service_pb2_grpc.StreamServiceStub(self._channel)
        open_session: Any = session_service_pb2_grpc.SessionServiceStub(self._channel).OpenSession
        self._counted_on: CallMetadata = ()
        self._session = Session(lambda: open_session(metadata=self.metadata))

    @property
    def has_session(self) -> bool:
        """Whether a session is open now."""
        return self._session.is_open

    @property
    def metadata(self) -> CallMetadata:
        """The credentials to send now, and the namespace that they must be of."""
        return (*self._bearer.metadata(), *self._counted_on)

    def count_on(self, namespace: str) -> None:
        """Have every call refused from now on whose credential turns out to be of another namespace."""
        self._counted_on = ((EXPECTED, namespace),)

    def plain_channels(self) -> PlainChannels:
        """Channels to the same store for the lease keeper's thread, on a connection of their own.

        Channels with equal options share one, and would hang with it.
        """
        return PlainChannels(self.address, self._tls, (*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1)))

    async def call(self, method: Call[Answer], request: Message, *, seconds: float = CALL_SECONDS) -> Answer:
        """Make one unary call; retries passing errors for the store's retry time, then raises the typed error."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._retry_seconds
        pause = 0.02
        while True:
            try:
                return await self._call_once(method, request, seconds)
            except HoldfastError as error:
                if not isinstance(error, _PASSING) or loop.time() + pause > until:
                    raise
            await asyncio.sleep(pause * (0.5 + random.random()))
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    async def _call_once(self, method: Call[Answer], request: Message, seconds: float) -> Answer:
        arm = ARMS.get(type(request)) if self._session.is_open else None
        if arm is not None:
            answer: Answer = await self._session.ask(arm, request)
            return answer
        try:
            return await method(request, timeout=seconds, metadata=self.metadata)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None

    async def create(self, request: store_service_pb2.CreateEventRequest) -> store_service_pb2.CreateEventResponse:
        """Append one event. Safe to retry: a request id is added when there is none."""
        if not request.request_id:
            request.request_id = new_request_id()
        return await self.call(self.events.CreateEvent, self.sealing.seal(request))

    async def append(self, request: store_service_pb2.CreateEventsRequest) -> store_service_pb2.CreateEventsResponse:
        """Append a batch, all or none. A repeat without a request id may be refused because of its first try."""
        return await self.call(self.events.CreateEvents, self.sealing.seal(request))

    async def events_after(self, run_id: str, seq: int) -> list[event_pb2.Event]:
        """Read a run's log from ``seq`` (excluded) to its end, dense."""
        found: list[event_pb2.Event] = []
        while True:
            request = store_service_pb2.ListEventsRequest(run_id=run_id, page_size=1000, after_seq=seq)
            page = await self.call(self.events.ListEvents, request)
            found.extend(self.sealing.open(event) for event in page.events)
            if not page.next_page_token:
                return found
            seq = found[-1].seq

    async def receive(
        self, *, queues: Sequence[str], messages_max: int, wait_ms: int, lease_ms: int, consumer_id: str
    ) -> Sequence[queue_service_pb2.LeasedMessage]:
        """Lease wake messages, waiting up to ``wait_ms`` for one."""
        request = queue_service_pb2.ReceiveMessagesRequest(
            queues=queues,
            max_messages=messages_max,
            wait=milliseconds(wait_ms),
            lease_duration=milliseconds(lease_ms),
            consumer_id=consumer_id,
        )
        receive: Call[queue_service_pb2.ReceiveMessagesResponse] = self.queue.ReceiveMessages
        return (await self.call(receive, request, seconds=wait_ms / 1000 + CALL_SECONDS)).messages

    async def acknowledge(self, receipt: str) -> None:
        """Settle a wake message; a lost lease is fine, somebody else has the run."""
        await self.call(self.queue.AckMessages, queue_service_pb2.AckMessagesRequest(receipts=[receipt]))

    async def give_back(self, receipt: str, *, delay_ms: int, reason: str = "") -> None:
        """Make a wake message visible again after ``delay_ms``, without counting the delivery."""
        request = queue_service_pb2.NackMessagesRequest(
            receipts=[receipt],
            delay=milliseconds(max(0, delay_ms)),
            reason=reason,
            action=queue_service_pb2.NACK_ACTION_RELEASE,
        )
        await self.call(self.queue.NackMessages, request)

    async def wake(self, run_id: str, queue: str) -> str:
        """Queue a replay of the run now, in its wake queue; returns the id of that message or of one that waits."""
        request = queue_service_pb2.EnqueueRequest(message=wake_message(run_id, queue))
        enqueue: Call[queue_service_pb2.EnqueueResponse] = self.queue.Enqueue
        return (await self.call(enqueue, request)).message_id

    async def watch(self, request: store_service_pb2.WatchEventsRequest) -> AsyncIterator[Any]:
        """Open one watch. Ends or raises a typed error when the stream does; resuming is the caller's."""
        try:
            async for message in self.events.WatchEvents(request, metadata=self.metadata):
                yield message
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None

    async def append_chunks(
        self, request: stream_service_pb2.AppendChunksRequest
    ) -> stream_service_pb2.AppendChunksResponse:
        """Append to a byte stream, waiting for a store that is away as long as the caller does."""
        append: Call[stream_service_pb2.AppendChunksResponse] = self.streams.AppendChunks
        while True:
            try:
                return await self.call(append, request)
            except HoldfastError as error:
                if not is_passing(error):
                    raise

    async def read_stream(self, request: stream_service_pb2.ReadStreamRequest) -> AsyncIterator[Any]:
        """Open one read of a byte stream. Ends or raises a typed error; resuming is the caller's."""
        try:
            async for message in self.streams.ReadStream(request, metadata=self.metadata):
                yield message
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None

    def open_session(self) -> None:
        """Let the calls of many runs share a stream from when it is open on; see ``session.py``."""
        self._session.start()

    async def close(self) -> None:
        """Close the channel; calls under way fail."""
        await self._session.stop()
        await self._channel.close(None)


def wake_message(run_id: str, queue: str) -> queue_service_pb2.NewQueueMessage:
    """Build the message that makes a runtime look at a run; a run without a wake queue has that of everybody."""
    message = queue_service_pb2.NewQueueMessage(
        queue=queue or RUN_QUEUE,
        group=run_id,
        idempotency_key=WAKE_KEY.format(run_id=run_id),
        max_deliveries=WAKE_DELIVERIES_MAX,
    )
    message.payload.text = f'{{"run_id":"{run_id}"}}'
    return message


def is_passing(error: HoldfastError) -> bool:
    """Tell whether the same call may succeed later: the store is away, busy or full."""
    return isinstance(error, _PASSING)
