"""SessionService: calls of the other services over one stream, many in a message.

Owns the messages of a session: takes the calls of each apart, hands every one to the method that serves it as a
unary call, and puts the answers that are ready at the same moment together. Calls that came in one message wait
for the same commit. It must never answer before the method did, nor change what it said. Read ``events.py`` for the
method that matters and ``engines/sqlite/engine.py`` for the commit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

from holdfast.interceptors import incident
from holdfast.refusal import Refusal, invalid_field
from holdfast.security.guard import Counting, counting
from holdfast.v1 import session_service_pb2 as api
from holdfast.wire import to_status
from store_service import limits
from store_service.api.parts import Context, Parts
from store_service.rules import clock

Method = Callable[[Any, Context], Awaitable[Any]]

#: Answers that wait for a client which does not read them; beyond it, it is not read either.
_ANSWERS_WAITING_MAX: Final = 64

#: Bytes of answers in one message, well inside what a client takes.
_MESSAGE_BYTES_MAX: Final = 1024 * 1024


class SessionApi:
    """SessionService of the contract. ``methods``: arm of SessionCall → the unary method that serves it."""

    def __init__(self, parts: Parts, methods: Mapping[str, Method]) -> None:
        self._parts = parts
        self._methods = methods

    async def OpenSession(
        self, requests: AsyncIterator[api.OpenSessionRequest], context: Context
    ) -> AsyncIterator[api.OpenSessionResponse]:
        session = _Session(self._methods, context, counting())
        with self._parts.streams.open(session.drain):
            opened = api.SessionOpened(server_time=clock.to_timestamp(self._parts.clock()))
            yield api.OpenSessionResponse(opened=opened)
            async for message in session.messages(requests):
                yield message


class _Session:
    """One session: calls under way, and answers that wait to be sent."""

    def __init__(self, methods: Mapping[str, Method], context: Context, counted: Counting) -> None:
        self._methods = methods
        self._context = context
        self._counted = counted
        self._answers: deque[api.SessionAnswer] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._stirred = asyncio.Event()
        self._has_room = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    def drain(self) -> None:
        """Read no more: what was read is still answered."""
        if self._reading is not None:
            self._reading.cancel()
        self._stirred.set()

    async def messages(self, requests: AsyncIterator[api.OpenSessionRequest]) -> AsyncIterator[api.OpenSessionResponse]:
        """Carry out what comes in and yield the answers, until the client has no more to say and has every answer."""
        reading = self._reading = asyncio.create_task(self._read(requests), name="session")
        reading.add_done_callback(lambda task: self._stirred.set())
        try:
            while self._answers or self._calls or not reading.done():
                await self._stirred.wait()
                self._stirred.clear()
                while self._answers:
                    yield self._next_message()
                self._has_room.set()
            if not reading.cancelled():
                reading.result()
        finally:
            reading.cancel()
            for call in self._calls:
                call.cancel()

    async def _read(self, requests: AsyncIterator[api.OpenSessionRequest]) -> None:
        async for request in requests:
            for call in request.calls:
                task = asyncio.create_task(self._carry_out(call))
                self._calls.add(task)
                task.add_done_callback(self._done)
            while len(self._calls) >= limits.SESSION_CALLS_MAX or len(self._answers) >= _ANSWERS_WAITING_MAX:
                # Not reading on is what holds the client up.
                self._has_room.clear()
                await self._has_room.wait()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self._has_room.set()
        self._stirred.set()

    async def _carry_out(self, call: api.SessionCall) -> None:
        answer = api.SessionAnswer(call_id=call.call_id)
        arm = call.WhichOneof("request")
        try:
            if arm is None:
                raise invalid_field("request", "is not set; name the call by its arm")
            with self._counted():
                response = await self._methods[arm](getattr(call, arm), self._context)
            getattr(answer, arm).CopyFrom(response)
        except Refusal as refusal:
            answer.failure = to_status(refusal).SerializeToString()
        except Exception as error:
            answer.failure = to_status(incident(f"OpenSession/{arm}", error)).SerializeToString()
        self._answers.append(answer)

    def _next_message(self) -> api.OpenSessionResponse:
        message = api.OpenSessionResponse(answers=[self._answers.popleft()])
        size = message.ByteSize() if self._answers else 0
        while self._answers and (size := size + self._answers[0].ByteSize()) <= _MESSAGE_BYTES_MAX:
            message.answers.append(self._answers.popleft())
        return message
