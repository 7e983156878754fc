"""The runtime's session with the store: unary calls of many runs over one stream, what waits together sent together.

Owns the stream, the calls without an answer, and its reopening. While there is no session (the store restarts, or is
one that has none) ``is_open`` is False and callers use unary calls: nothing depends on it but speed. It never repeats a
call: one whose answer got lost with the session is NotReady, as a unary call without an answer is. Read ``store.py``
for who asks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import grpc
import grpc.aio
import structlog
from google.protobuf.message import Message
from grpc.aio import EOF  # type: ignore[attr-defined]  # missing in its stubs

from holdfast.answers import from_status
from holdfast.errors import NotReady
from holdfast.v1 import queue_service_pb2, session_service_pb2, store_service_pb2

log = structlog.get_logger(__name__)

#: Request type → its arm in SessionCall: what goes over the session. Everything else is a unary call.
ARMS: Final[Mapping[type[Message], str]] = MappingProxyType(
    {
        store_service_pb2.CreateEventRequest: "create_event",
        store_service_pb2.CreateEventsRequest: "create_events",
        store_service_pb2.GetRunRequest: "get_run",
        store_service_pb2.GetHookRequest: "get_hook",
        store_service_pb2.ListEventsRequest: "list_events",
        queue_service_pb2.AckMessagesRequest: "ack_messages",
        queue_service_pb2.NackMessagesRequest: "nack_messages",
    }
)

#: Seconds without an answer to the oldest call after which the session is given up.
ANSWER_SECONDS: Final = 10.0

#: Seconds between two tries to open a session.
_PAUSE_SECONDS: Final = 0.1

#: Bytes of calls in one message; one call alone may be larger.
_MESSAGE_BYTES_MAX: Final = 1024 * 1024


class Session:
    """A session with one store, reopened as often as it breaks. ``start``, then ``stop``.

    ``open_session`` makes the call of SessionService, with the credentials of that moment.
    """

    def __init__(self, open_session: Callable[[], Any]) -> None:
        self._open_session = open_session
        #: Messages to be sent, the last of them still being filled.
        self._outbox: deque[session_service_pb2.OpenSessionRequest] = deque()
        self._filled_bytes = 0
        self._stirred = asyncio.Event()
        self._waiting: dict[int, asyncio.Future[session_service_pb2.SessionAnswer]] = {}
        self._newest_id = 0
        self._watchdog: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._stream: Any = None
        #: Whether calls can be made now.
        self.is_open = False

    def start(self) -> None:
        """Begin to open the session; it is used once it is open."""
        self._task = asyncio.create_task(self._keep_open(), name="holdfast-session")

    async def stop(self) -> None:
        """End the session; calls without an answer fail with NotReady."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def ask(self, arm: str, request: Message) -> Any:
        """Make one call and return its response. Raises the typed error, NotReady when the answer did not come."""
        call_id = self._newest_id = self._newest_id + 1
        getattr(self._next_call(request.ByteSize(), call_id), arm).CopyFrom(request)
        waiting = self._waiting[call_id] = asyncio.get_running_loop().create_future()
        self._stirred.set()
        if self._watchdog is None:
            self._watch()
        try:
            answer = await waiting
        finally:
            self._waiting.pop(call_id, None)
        if answer.HasField("failure"):
            raise from_status(answer.failure)
        return getattr(answer, arm)

    async def _keep_open(self) -> None:
        try:
            while True:
                try:
                    await self._serve()
                except grpc.aio.AioRpcError as error:
                    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                        log.info("the store offers no sessions: calls are made one by one")
                        return
                    log.info("session with the store broken", error=f"{error.code().name}: {error.details()}")
                await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            if self._watchdog is not None:
                self._watchdog.cancel()

    async def _serve(self) -> None:
        stream = self._stream = self._open_session()
        sending: asyncio.Task[None] | None = None
        try:
            while (message := await stream.read()) is not EOF:
                if message.HasField("opened"):
                    self.is_open = True
                    sending = asyncio.create_task(self._send(stream), name="holdfast-session-sending")
                for answer in message.answers:
                    waiting = self._waiting.get(answer.call_id)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(answer)
        finally:
            self.is_open = False
            if sending is not None:
                sending.cancel()
            stream.cancel()
            self._fail_waiting()

    async def _send(self, stream: Any) -> None:
        # A stream that breaks is told to `_serve` by its read; here it only ends the sending.
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                await self._stirred.wait()
                self._stirred.clear()
                while self._outbox:
                    await stream.write(self._outbox.popleft())

    def _next_call(self, size: int, call_id: int) -> session_service_pb2.SessionCall:
        """Begin a call in the last message that waits, or in a new one when that would grow too large."""
        self._filled_bytes += size
        if not self._outbox or self._filled_bytes > _MESSAGE_BYTES_MAX:
            self._outbox.append(session_service_pb2.OpenSessionRequest())
            self._filled_bytes = size
        return self._outbox[-1].calls.add(call_id=call_id)

    def _fail_waiting(self) -> None:
        self._outbox.clear()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(NotReady("the session with the store broke before the answer came"))
        self._waiting.clear()

    def _watch(self) -> None:
        """Give the session up when its oldest call has been without an answer for too long; idle, watch nothing."""
        loop = asyncio.get_running_loop()
        oldest = next(iter(self._waiting), None)
        if oldest is None:
            self._watchdog = None
        else:
            self._watchdog = loop.call_later(ANSWER_SECONDS, self._look_at, oldest)

    def _look_at(self, oldest: int) -> None:
        if oldest in self._waiting:
            self._stream.cancel()
        self._watch()
