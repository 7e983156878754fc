"""The way of an answer from a step to the process that holds the sender's request open.

The two may be different processes, so the answer goes through the store's queue: each HTTP port has a reply queue,
its name travels with the request, and the port polls it while somebody waits. The name is that of the port's address,
not of the process: a new process there clears away what came too late for the old one.
Should two ports share a name, an answer that is not ours is put back for the other. An answer is a hint, not a fact: it
is lost when nobody waits, and the sender is told 202.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog

from holdfast.errors import HoldfastError
from holdfast.response import Response, read_response
from holdfast.v1 import queue_service_pb2
from runtime_service.store import CALL_SECONDS, Call, Store, milliseconds

log = structlog.get_logger(__name__)

#: Milliseconds of one poll, of the lease on what it brings, and until the other one of two ports may look.
_POLL_MS: Final = 10_000
_LEASE_MS: Final = 10_000
_NOT_OURS_MS: Final = 500

#: Seconds between two polls when the store is away.
_PAUSE_SECONDS: Final = 0.2

#: An answer that two ports hand each other is never dead before its time is over.
_DELIVERIES_MAX: Final = 1_000

_BATCH_MAX: Final = 50

_REQUEST: Final = "request"
_UNTIL: Final = "until-ms"


def queue_name(address: str) -> str:
    """Return the reply queue of the HTTP port at an address, the host's name included."""
    return f"webhook-replies.{hashlib.sha256(address.encode()).hexdigest()[:24]}"


async def send_reply(store: Store, queue: str, request_id: str, until_ms: int, response: str) -> None:
    """Send an answer to the port that waits for it. Repeating it is safe: the first one counts."""
    message = queue_service_pb2.NewQueueMessage(
        queue=queue,
        idempotency_key=request_id,
        headers={_REQUEST: request_id, _UNTIL: str(until_ms)},
        max_deliveries=_DELIVERIES_MAX,
    )
    message.payload.text = response
    await store.call(store.queue.Enqueue, store.sealing.seal(queue_service_pb2.EnqueueRequest(message=message)))


class Replies:
    """The answers that this process waits for. ``now_ms`` is the store's clock; close it at the end."""

    def __init__(self, store: Store, queue: str, now_ms: Callable[[], int]) -> None:
        self.queue = queue
        self._store = store
        self._now_ms = now_ms
        self._waiting: dict[str, asyncio.Future[Response]] = {}
        self._polling: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many senders wait."""
        return len(self._waiting)

    @contextmanager
    def expect(self, request_id: str) -> Iterator[asyncio.Future[Response]]:
        """Wait for an answer while the block lasts. Enter it before anybody can know of the request."""
        answer = self._waiting[request_id] = asyncio.get_running_loop().create_future()
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll(), name="holdfast-replies")
        try:
            yield answer
        finally:
            del self._waiting[request_id]

    async def close(self) -> None:
        """Stop to poll."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)

    async def _poll(self) -> None:
        """Poll until nobody waits and a whole poll brought nothing, so that late answers are cleared away as well."""
        while True:
            try:
                messages = await self._receive()
                for message in messages:
                    await self._take(message)
            except HoldfastError as error:
                log.info("no replies for now", error=str(error))
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            if not messages and not self._waiting:
                return

    async def _receive(self) -> Sequence[queue_service_pb2.LeasedMessage]:
        request = queue_service_pb2.ReceiveMessagesRequest(
            queues=[self.queue],
            max_messages=_BATCH_MAX,
            wait=milliseconds(_POLL_MS),
            lease_duration=milliseconds(_LEASE_MS),
        )
        receive: Call[queue_service_pb2.ReceiveMessagesResponse] = self._store.queue.ReceiveMessages
        return (await self._store.call(receive, request, seconds=_POLL_MS / 1000 + CALL_SECONDS)).messages

    async def _take(self, leased: queue_service_pb2.LeasedMessage) -> None:
        message = leased.message
        answer = self._waiting.get(message.headers.get(_REQUEST, ""))
        if answer is None and not self._is_over(message):
            await self._store.give_back(leased.receipt, delay_ms=_NOT_OURS_MS, reason="nobody waits for it here")
            return
        if answer is not None and not answer.done():
            answer.set_result(read_response(self._store.sealing.open(message.payload).text))
        await self._store.acknowledge(leased.receipt)

    def _is_over(self, message: queue_service_pb2.QueueMessage) -> bool:
        until = message.headers.get(_UNTIL, "")
        return not until.isdecimal() or int(until) <= self._now_ms()
