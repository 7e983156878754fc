"""The response to a request that came to a webhook, and its written form.

Owns what a response may be: everything is checked where it is made, so that the HTTP port can send whatever reaches it.
Read ``holdfast/webhooks.py`` for who makes one.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from holdfast.limits import RESPONSE_BYTES_MAX, exceeded
from holdfast.serialization import encode_value

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e\x80-\xff]*")

#: Headers that belong to the connection: the port writes them.
_RESERVED: Final = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"})

#: Statuses that take no body.
_WITHOUT_BODY: Final = frozenset({204, 205, 304})


@dataclass(frozen=True, slots=True)
class Response:
    """What a sender is answered. ``body`` is text, bytes, or a JSON value; its media type follows from that, unless a
    header names one.

    Raises ValueError for a status outside 200 to 599 and for a bad header, SerializationError for a body that has no
    JSON form, LimitExceeded for one over 1 MiB.
    """

    status: int = 200
    body: Any = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.status, int) or not 200 <= self.status <= 599:
            raise ValueError(f"the status of a response must be 200 to 599, got {self.status!r}")
        for name, value in self.headers.items():
            _check_header(name, value)
        size = len(self.content)
        if size > RESPONSE_BYTES_MAX:
            raise exceeded("response_bytes", RESPONSE_BYTES_MAX, size, f"the response takes {size} bytes")
        if size and self.status in _WITHOUT_BODY:
            raise ValueError(f"a response with status {self.status} has no body")

    @property
    def content(self) -> bytes:
        """The body as it is sent."""
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else encode_value(Any, self.body).text).encode()

    @property
    def media_type(self) -> str:
        """The one that a header names, else the one of the body's kind."""
        for name, value in self.headers.items():
            if name.lower() == "content-type":
                return value
        if isinstance(self.body, bytes):
            return "application/octet-stream"
        return "text/plain; charset=utf-8" if isinstance(self.body, str) else "application/json"


def write_response(response: Response) -> str:
    """Write a response as JSON, for the log or the queue."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    if response.content:
        headers["content-type"] = response.media_type
    body = base64.b64encode(response.content).decode()
    return json.dumps({"status": response.status, "headers": headers, "body": body}, separators=(",", ":"))


def read_response(text: str) -> Response:
    """Read what ``write_response`` wrote; the body is bytes. Raises ValueError for anything else."""
    try:
        written = json.loads(text)
        return Response(written["status"], base64.b64decode(written["body"]), written["headers"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a written response: {error!r}") from error


def _check_header(name: object, value: object) -> None:
    if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"a header of a response has the name {name!r}, which is none")
    if name.lower() in _RESERVED:
        raise ValueError(f"the header {name!r} is written by the HTTP port itself")
    if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
        raise ValueError(f"the header {name!r} must be text of one line in Latin-1, got {value!r}")
