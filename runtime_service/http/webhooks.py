"""A request to the URL of a webhook becomes a value of its hook, and the sender an answer.

The value is durable before anything but an error is answered. Only hooks that were opened by ``webhook()`` are reached:
a plain hook is as unknown here as a token that does not exist, for its token may be guessed. Must never tell a token or
an inner error to a sender. Each request is a new value: senders that try again are told apart by the workflow.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Literal

import structlog
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from ulid import ULID

from holdfast import tracing
from holdfast.errors import EntityNotFound, HoldfastError, LimitExceeded, NotReady, Throttled, WriteConflict
from holdfast.limits import TOKEN_CHARS_MAX
from holdfast.refusal import Refusal
from holdfast.response import Response
from holdfast.serialization import encode_value
from holdfast.v1 import payload_pb2, runtime_service_pb2, store_service_pb2
from holdfast.webhooks import ACCEPTED, PATH, Request, how_to_answer
from runtime_service.api.front import Front
from runtime_service.api.steering import resume_hook
from runtime_service.http import limits
from runtime_service.replies import Replies

log = structlog.get_logger(__name__)

_UNKNOWN: Final = Response(404, {"error": "no webhook is open here"})
_TOO_LARGE: Final = Response(413, {"error": f"the body may take {limits.BODY_BYTES_MAX} bytes"})
_NO_ROOM: Final = Response(
    503, {"error": "too many senders wait here"}, {"retry-after": str(limits.RETRY_AFTER_SECONDS)}
)
_AWAY: Final = Response(503, {"error": "try again soon"}, {"retry-after": str(limits.RETRY_AFTER_SECONDS)})
_FULL: Final = Response(429, {"error": "the run takes no more values"})

#: What the store or the front door says → what the sender is told; the first that fits.
_ANSWERS: Final[tuple[tuple[type[HoldfastError], Response], ...]] = (
    (EntityNotFound, _UNKNOWN),
    (NotReady, _AWAY),
    (Throttled, _AWAY),
    (WriteConflict, _AWAY),
    (LimitExceeded, _FULL),
)
_REASONS: Final = {"ENTITY_NOT_FOUND": _UNKNOWN, "TOO_LARGE": _TOO_LARGE, "NOT_READY": _AWAY}


class Webhooks:
    """Takes the requests; ``replies`` brings the answers that steps give."""

    def __init__(self, front: Front, replies: Replies) -> None:
        self._front = front
        self._replies = replies

    async def take(self, request: HttpRequest) -> HttpResponse:
        """Answer one request: 404 for an unknown token, 413 for a large body, 429 and 503 for trouble, else as told."""
        try:
            return _sent(await self._answer(request))
        except Refusal as refusal:
            return _sent(_told(refusal, _REASONS.get(refusal.reason)))
        except HoldfastError as error:
            return _sent(_told(error, next((it for kind, it in _ANSWERS if isinstance(error, kind)), None)))

    async def _answer(self, request: HttpRequest) -> Response:
        token = request.path_params["token"]
        how = await self._how_to_answer(token)
        if how is None:
            return _UNKNOWN
        if request.method in ("HEAD", "OPTIONS"):
            # A look at the URL, as previews and browsers take it, is no message.
            return Response(405, headers={"allow": "GET, POST, PUT, PATCH, DELETE"})
        body = await _read(request)
        if body is None:
            return _TOO_LARGE
        if isinstance(how, Response):
            await self._deliver(token, self._value(request, body))
            return how
        return await self._answered_by_step(token, request, body)

    async def _how_to_answer(self, token: str) -> Response | Literal["manual"] | None:
        if not 1 <= len(token) <= TOKEN_CHARS_MAX:
            return None
        lookup = store_service_pb2.GetHookRequest(token=token, view=payload_pb2.PAYLOAD_VIEW_OMITTED)
        try:
            async with asyncio.timeout(limits.PROBE_SECONDS):
                found = await self._front.store.call(self._front.store.events.GetHook, lookup)
        except TimeoutError:
            raise NotReady("the store does not answer") from None
        return how_to_answer(found.hook.metadata)

    async def _answered_by_step(self, token: str, request: HttpRequest, body: bytes) -> Response:
        if self._replies.waiting >= limits.WAITING_MAX:
            return _NO_ROOM
        until_ms = self._front.worker.clock() + round(limits.MANUAL_SECONDS * 1000)
        value = self._value(request, body, reply_queue=self._replies.queue, reply_until_ms=until_ms)
        with self._replies.expect(value.id) as answer:
            await self._deliver(token, value)
            return await self._wait(answer)

    async def _wait(self, answer: asyncio.Future[Response]) -> Response:
        """Wait for the answer; 202 when it does not come in time or this process is about to end."""
        draining = asyncio.create_task(self._front.draining.wait())
        try:
            either: set[asyncio.Future[Any]] = {answer, draining}
            await asyncio.wait(either, timeout=limits.MANUAL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            draining.cancel()
        return answer.result() if answer.done() else ACCEPTED

    def _value(self, request: HttpRequest, body: bytes, **reply: Any) -> Request:
        """Build the value; its URL is the public one, whatever proxies stand before this port."""
        headers: dict[str, str] = {}
        for name, text in request.headers.items():
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
        query = f"?{request.url.query}" if request.url.query else ""
        url = f"{self._front.worker.options.public_url}{PATH}{request.path_params['token']}{query}"
        return Request(request.method, url, headers, dict(request.query_params), body, id=f"req_{ULID()}", **reply)

    async def _deliver(self, token: str, value: Request) -> None:
        request = runtime_service_pb2.ResumeHookRequest(
            token=token, payload=encode_value(Request, value), request_id=value.id
        )
        await resume_hook(self._front, request, tracing.of_metadata(value.headers))


async def _read(request: HttpRequest) -> bytes | None:
    """Read the body; None when it is too large.

    What is too much is read and dropped for a while: a sender in the middle of its body would not see the answer.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limits.DROPPED_BYTES_MAX:
        return None
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limits.DROPPED_BYTES_MAX:
            return None
        if size <= limits.BODY_BYTES_MAX:
            body += chunk
    return bytes(body) if size <= limits.BODY_BYTES_MAX else None


def _told(error: Exception, answer: Response | None) -> Response:
    if answer is None:
        log.error("a webhook's request failed", error=str(error))
    return answer or Response(500, {"error": "internal error, see the runtime's log"})


def _sent(response: Response) -> HttpResponse:
    headers = dict(response.headers)
    if response.content:
        headers["content-type"] = response.media_type
    return HttpResponse(response.content, response.status, headers)
