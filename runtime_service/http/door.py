"""Who may see the counts and the pages of a runtime over HTTP, and the TLS of its port.

Owns both answers. /metrics is open to all, asks for a credential with the role ``read``, or is not there; the pages
ask for one as a browser can give it (``ui/gate.py``); webhooks are known by their token alone, and health by nothing.
A token is sent as Bearer, or as the password of Basic, whose user may be anything. A client of another namespace sees
neither. New certificates are taken at the next handshake, as on the gRPC port (``holdfast/security/certificates.py``).
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from holdfast.dispatch import Namespaces
from holdfast.refusal import Refusal
from holdfast.security.access import Access, bearer_token
from holdfast.security.certificates import check_pair
from holdfast.security.files import Watched
from holdfast.security.roles import READ

OPEN: Final = "open"
CREDENTIALS: Final = "credentials"
OFF: Final = "off"

_WHO: Final = {"www-authenticate": "Bearer"}

#: Makes a browser ask whoever sits before it. The one header may name several ways; browsers take Basic.
_WHO_OF_PEOPLE: Final = {"www-authenticate": 'Basic realm="holdfast: the password is a token", charset="UTF-8"'}

_BASIC: Final = "basic "


class Door:
    """Lets requests for the counts and the pages in. ``access`` None: there are no credentials to ask for."""

    def __init__(self, access: Access | None, metrics: str, namespaces: Namespaces) -> None:
        self._access = access
        self._namespaces = namespaces
        #: Whether there is a page of counts at all.
        self.has_metrics = metrics != OFF
        self._asks = access is not None and metrics != OPEN

    @property
    def knows_clients(self) -> bool:
        """Whether there are credentials to ask for."""
        return self._access is not None

    def refusal(self, request: Request) -> Response | None:
        """Return what a request for the counts is told instead; None lets it in."""
        return self._refused(request, READ, _WHO) if self._asks else None

    def refusal_to_person(self, request: Request, role: str) -> Response | None:
        """The same for a page, which needs ``role``: a browser is told to ask for a token."""
        return self._refused(request, role, _WHO_OF_PEOPLE)

    def _refused(self, request: Request, role: str, who: Mapping[str, str]) -> Response | None:
        if self._access is None:
            return None
        try:
            client = self._access.client_of(_token_of(request))
        except Refusal:
            return PlainTextResponse("send `Authorization: Bearer <token>`\n", 401, who)
        if role not in client.roles:
            return PlainTextResponse(f"the token lacks the role {role}\n", 403)
        try:
            self._namespaces.require(client)
        except Refusal as refusal:
            return PlainTextResponse(f"{refusal.message}\n", 403)
        return None


def _token_of(request: Request) -> str:
    """Return the token that came with a request, "" when there is none."""
    shown = request.headers.get("authorization", "")
    if shown[: len(_BASIC)].lower() != _BASIC:
        return bearer_token((("authorization", shown),))
    try:
        return base64.b64decode(shown[len(_BASIC) :], validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def renewed_context(cert: str, key: str) -> ssl.SSLContext:
    """Return a context for a server that takes newer files at every handshake. Raises FileProblem."""
    newest: Callable[[], ssl.SSLContext] = Watched([cert, key], lambda: check_pair(cert, key)).get
    context = check_pair(cert, key)

    def renew(connection: ssl.SSLObject | ssl.SSLSocket, _: str | None, __: ssl.SSLContext) -> None:
        connection.context = newest()

    context.sni_callback = renew
    return context
