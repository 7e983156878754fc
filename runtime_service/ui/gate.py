"""Who may see the pages, and what a browser may do with them.

With credentials configured a page asks for one (``http/door.py``). Without them the programs of this machine are
trusted, but not the web sites that its browser happens to show: a site may point a name of its own at 127.0.0.1 and
would then read the pages as its own. So without credentials only names that are known to be ours are answered. Nothing
is loaded from elsewhere, nothing inline runs, nobody frames a page, and no cache keeps one.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from holdfast.security.roles import READ
from runtime_service.http.door import Door

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

#: Sent with every answer, refusals too.
HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "content-security-policy": _POLICY,
        "x-frame-options": "DENY",
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",
    }
)


class Gate:
    """Lets requests for pages in. ``public_url`` is where the port is reached from outside; its host is ours too."""

    def __init__(self, door: Door, public_url: str) -> None:
        self._door = door
        self._names = {"localhost", socket.gethostname().lower(), (urlsplit(public_url).hostname or "localhost")}

    def refusal(self, request: Request) -> Response | None:
        """Return what a request is told instead of a page: 401, 403, or 421 for a name that is not ours."""
        if self._door.knows_clients:
            return self._door.refusal_to_person(request, READ)
        if self._is_ours(request.headers.get("host", "")):
            return None
        return PlainTextResponse("ask for this page by the address of this machine, or by its --public-url\n", 421)

    def _is_ours(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
            return name in self._names or ipaddress.ip_address(name) is not None
        except ValueError:
            return False
