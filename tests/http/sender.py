"""A plain HTTP client for the tests: one request on one connection, in a thread."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def send(
    url: str, body: bytes | Iterable[bytes] = b"", *, method: str = "POST", headers: Mapping[str, str] | None = None
) -> Answer:
    """Send a request; an iterable body goes out in chunks, without its length being told."""
    return await asyncio.to_thread(_send, url, body, method, dict(headers or {}))


def _send(url: str, body: bytes | Iterable[bytes], method: str, headers: dict[str, str]) -> Answer:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=SECONDS)
    try:
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(method, path, body, headers, encode_chunked=not isinstance(body, bytes))
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()
