"""Webhooks: hooks that anybody can reach by an HTTP request to a runtime.

Owns what people hold: the request that came, and the hook with its ``url``. A webhook is a hook whose token nobody can
guess; the runtime's HTTP port turns each request to its URL into a value. Must know no HTTP library: the port is
``runtime_service/http``. Why a URL is the same in every replay: docs/decisions/0004-the-url-of-a-webhook.md.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from holdfast.context import STEP, HookCall, HookPort
from holdfast.errors import WrongContext
from holdfast.hooks import Hook, wrong_place
from holdfast.limits import FIXED_RESPONSE_BYTES_MAX, check_payload, exceeded
from holdfast.primitives import current_workflow
from holdfast.response import Response, read_response, write_response
from holdfast.serialization import encode_value, json_schema
from holdfast.v1 import payload_pb2

#: Where the HTTP port of a runtime takes requests for webhooks; the token follows.
PATH: Final = "/webhooks/"

#: How a webhook answers when it was told nothing: taken, and no more is known.
ACCEPTED: Final = Response(202)

#: ``respond_with`` of a webhook whose requests are answered by a step.
MANUAL: Final = "manual"

#: Key in the metadata of a hook's metadata payload; only a webhook has it, and it says how the webhook answers.
_MARK: Final = "webhook"


@dataclass(frozen=True, slots=True)
class Request:
    """A request that came to a webhook; it can be passed to steps.

    ``headers`` have lower-case names, repeated ones are joined by ", ". Of a parameter that came twice ``query`` has
    the last value, ``url`` has all. ``id`` is new for each request; what begins with ``reply_`` is for ``respond``.
    """

    method: str
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    id: str = ""
    reply_queue: str = ""
    reply_until_ms: int = 0

    def json(self) -> Any:
        """Return the body, parsed. Raises ValueError when it is not JSON."""
        return json.loads(self.body)

    async def respond(self, response: Response) -> bool:
        """Answer the sender, from a step. The first answer counts, so that a step that is tried again may repeat it.

        False when the sender waits no longer: it was told 202. Raises WrongContext outside steps, and for a webhook
        that was not opened with ``respond_with="manual"``.
        """
        attempt = STEP.get()
        if attempt is None:
            raise WrongContext("request.respond() is for steps that a runtime runs: pass the request to a step")
        if not self.reply_queue:
            raise WrongContext('this webhook answers by itself: open it with webhook(respond_with="manual")')
        if not isinstance(response, Response):
            raise TypeError(f"respond() takes a Response, got {response!r}")
        return await attempt.respond(self.reply_queue, self.id, self.reply_until_ms, write_response(response))


class Webhook(Hook[Request]):
    """An open webhook. Await it for the next request, iterate for many, leave its ``async with`` to close it."""

    def __init__(self, port: HookPort, public_url: str) -> None:
        super().__init__(port, Request)
        self._public_url = public_url

    @property
    def url(self) -> str:
        """Where senders reach it; the same in every replay of the run.

        Raises WrongContext when the runtime that took the run up knew no URL.
        """
        if not self._public_url:
            raise WrongContext(
                "the runtime that took this run up has no HTTP port, so its webhooks have no URL; give it "
                "--http HOST:PORT, or --public-url when another runtime serves the requests"
            )
        return f"{self._public_url}{PATH}{self.token}"


def webhook(*, respond_with: Response | Literal["manual"] | None = None, metadata: Any = None) -> Webhook:
    """Open a webhook; its token cannot be guessed. Senders are answered 202, or what ``respond_with`` says.

    With "manual" a sender waits until a step answers by ``await request.respond(Response(…))``, at most 30 seconds;
    after that it is told 202. ``metadata`` is shown to whoever looks the hook up. Raises WrongContext outside a
    workflow body, ValueError for another ``respond_with``, LimitExceeded for a fixed response over 64 KiB.
    """
    context = current_workflow()
    if context is None:
        raise wrong_place("webhook")
    frame = sys._getframe(1)
    call = HookCall(
        token="",
        metadata=_marked(metadata, respond_with),
        payload_schema=json_schema(Request),
        min_retention_ms=None,
        source=f"{frame.f_code.co_filename}:{frame.f_lineno}",
    )
    return Webhook(context.open_hook(call), context.public_url())


def how_to_answer(metadata: payload_pb2.Payload) -> Response | Literal["manual"] | None:
    """Read from a hook's metadata how its senders are answered; None when it is no webhook."""
    mark = metadata.metadata.get(_MARK, "")
    if mark == MANUAL:
        return MANUAL
    return read_response(mark) if mark else None


def _marked(metadata: Any, respond_with: object) -> payload_pb2.Payload:
    payload = payload_pb2.Payload() if metadata is None else encode_value(Any, metadata)
    payload.metadata[_MARK] = MANUAL if respond_with == MANUAL else write_response(_fixed(respond_with))
    return check_payload(payload, "the metadata of a webhook")


def _fixed(respond_with: object) -> Response:
    response = ACCEPTED if respond_with is None else respond_with
    if not isinstance(response, Response):
        raise ValueError(f'respond_with must be a Response or "manual", got {respond_with!r}')
    size = len(response.content)
    if size > FIXED_RESPONSE_BYTES_MAX:
        raise exceeded("fixed_response_bytes", FIXED_RESPONSE_BYTES_MAX, size, f"respond_with takes {size} bytes")
    return response
