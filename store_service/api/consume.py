"""ConsumeMessages: leasing, settling and extending over one stream, with explicit credit.

Owns one consumer's stream. Three things go on at once: commands are read and answered in their order, messages are
leased as far as the credit goes, and silence is filled with heartbeats. A command is answered before the next one is
read, and a delivery is taken by the transport before the next is sent, so neither side can flood the other. Whatever is
still leased to the stream when it ends, however it ends, is released at once. Proof: `tests/queue/test_consume.py`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any, Final

from holdfast.refusal import invalid_field
from holdfast.v1 import queue_service_pb2 as api
from store_service import limits
from store_service.api import checks, queue_checks
from store_service.api.parts import Context, Parts
from store_service.api.queue import ack, extend, nack
from store_service.rules import clock

Message = api.ConsumeMessagesResponse
Command = api.ConsumeMessagesRequest

#: Messages leased at once: what is leased and not yet sent is bounded by this, whatever the credit.
_LEASED_AT_ONCE_MAX: Final = 16


class ConsumeApi:
    """The stream of QueueService."""

    _parts: Parts

    async def ConsumeMessages(
        self, request_iterator: AsyncIterator[Command], context: Context
    ) -> AsyncIterator[Message]:
        opening = await _first(request_iterator)
        consumer = _Consumer(self._parts, opening)
        with self._parts.streams.open(consumer.hurry):
            async for message in consumer.messages(request_iterator):
                yield message


async def _first(commands: AsyncIterator[Command]) -> api.ConsumeOpen:
    async for command in commands:
        if command.WhichOneof("command") != "open":
            break
        return command.open
    raise invalid_field("open", "is not set; it must be the first message of a consumer")


class _Consumer:
    """One stream. ``hurry`` makes it look again; its tasks live as long as `messages` is iterated."""

    def __init__(self, parts: Parts, opening: api.ConsumeOpen) -> None:
        wish = queue_checks.wish(opening, "open")
        self._parts = parts
        self._queues = wish.queues
        self._lease_ms = wish.lease_ms
        self._heartbeat_ms = queue_checks.bounded_ms(
            opening,
            "heartbeat_interval",
            "open.heartbeat_interval",
            limits.PROGRESS_MS_MIN,
            limits.PROGRESS_MS_MAX,
            limits.PROGRESS_MS_DEFAULT,
        )
        self._credit = 0
        self._grant(opening.initial_credit, "open.initial_credit")
        self._held: dict[str, None] = {}
        self._changed = asyncio.Event()
        self._outbox: asyncio.Queue[Message | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    def hurry(self) -> None:
        """Look again at credit, drain and server."""
        self._changed.set()

    async def messages(self, commands: AsyncIterator[Command]) -> AsyncIterator[Message]:
        """Yield what the server says until the client has closed its side or an error ends the stream."""
        yield self._opened()
        self._tasks = [self._begin(self._obey(commands)), self._begin(self._lease())]
        try:
            while (message := await self._next()) is not None:
                yield message
                self._outbox.task_done()
            for task in self._tasks:
                if task.done() and not task.cancelled():
                    task.result()
        finally:
            for task in self._tasks:
                task.cancel()
            self._release_all()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._release_all()

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start one side of the stream; the commands' end, or an error of either, ends the stream."""
        task = asyncio.create_task(work, name="store-consume")
        task.add_done_callback(self._end_stream)
        return task

    def _end_stream(self, task: asyncio.Task[None]) -> None:
        if task is self._tasks[0] or (not task.cancelled() and task.exception() is not None):
            self._outbox.put_nowait(None)

    async def _send(self, message: Message) -> None:
        """Send a message; returns once the transport has taken it and all before it."""
        self._outbox.put_nowait(message)
        await self._outbox.join()

    async def _next(self) -> Message | None:
        try:
            async with asyncio.timeout(self._heartbeat_ms / 1000):
                return await self._outbox.get()
        except TimeoutError:
            # As if it had been put: `messages` counts every message that it sends.
            self._outbox.put_nowait(self._heartbeat())
            return self._outbox.get_nowait()

    def _heartbeat(self) -> Message:
        return Message(heartbeat=api.ConsumeHeartbeat(server_time=clock.to_timestamp(self._parts.clock())))

    def _opened(self) -> Message:
        opened = api.ConsumeOpened()
        opened.lease_duration.FromMilliseconds(self._lease_ms)
        opened.heartbeat_interval.FromMilliseconds(self._heartbeat_ms)
        return Message(opened=opened)

    async def _obey(self, commands: AsyncIterator[Command]) -> None:
        """Carry out the client's commands in order, until it closes its side."""
        async for command in commands:
            name = command.WhichOneof("command") or "command"
            if name not in _COMMANDS:
                raise invalid_field(name, "is not a command that may follow the first message")
            await _COMMANDS[name](self, getattr(command, name))

    async def _lease(self) -> None:
        """Lease and send as far as the credit goes, until the server drains."""
        while not self._parts.streams.is_draining:
            if self._credit:
                await self._lease_some()
            else:
                self._changed.clear()
                await self._changed.wait()
        await self._send(self._draining())

    async def _lease_some(self) -> None:
        messages = await self._parts.delivery.take(
            self._queues, limit=min(self._credit, _LEASED_AT_ONCE_MAX), lease_ms=self._lease_ms, wait_seconds=None
        )
        self._credit -= len(messages)
        unsent = deque(messages)
        try:
            while unsent:
                message = unsent.popleft()
                self._held[message.receipt] = None
                await self._send(Message(delivery=message))
        finally:
            # The client drains, or is gone: it will never hear of these.
            if unsent:
                self._parts.delivery.release_soon([message.receipt for message in unsent])

    def _draining(self) -> Message:
        deadline_ms = self._parts.streams.deadline_ms
        assert deadline_ms is not None
        return Message(draining=api.ConsumeDraining(deadline=clock.to_timestamp(deadline_ms)))

    def _release_all(self) -> None:
        if self._held:
            self._parts.delivery.release_soon(list(self._held))
            self._held.clear()

    def _grant(self, messages: int, field: str) -> None:
        checks.natural(messages, field)
        total = self._credit + messages
        if total > limits.CONSUME_CREDIT_MAX:
            raise checks.too_large("consume_credit", limits.CONSUME_CREDIT_MAX, total, field)
        self._credit = total

    async def _take_credit(self, command: api.ConsumeCredit) -> None:
        self._grant(command.messages, "credit.messages")
        self._changed.set()

    async def _ack(self, command: api.AckMessagesRequest) -> None:
        await self._settled(await ack(self._parts, command))

    async def _nack(self, command: api.NackMessagesRequest) -> None:
        await self._settled(await nack(self._parts, command))

    async def _settled(self, results: list[api.LeaseResult]) -> None:
        """Done or lost: in either case not ours any more."""
        for result in results:
            self._held.pop(result.receipt, None)
        await self._send(Message(results=api.LeaseResults(results=results)))

    async def _extend(self, command: api.ExtendLeasesRequest) -> None:
        results = await extend(self._parts, command)
        for result in results:
            if not result.ok:
                self._held.pop(result.receipt, None)
        await self._send(Message(results=api.LeaseResults(results=results)))

    async def _drain(self, command: api.ConsumeDrain) -> None:
        self._tasks[1].cancel()


#: Command → what it does. All but `open`; the tests hold it complete.
_COMMANDS: Final[Mapping[str, Callable[[_Consumer, Any], Awaitable[None]]]] = MappingProxyType(
    {
        "credit": _Consumer._take_credit,
        "ack": _Consumer._ack,
        "nack": _Consumer._nack,
        "extend": _Consumer._extend,
        "drain": _Consumer._drain,
    }
)
