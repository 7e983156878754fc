"""Who may see the counts of a runtime over HTTP, and the TLS of its port.

Owns both answers. /metrics is open to all, asks for a credential with the role ``read``, or is not there; webhooks are
known by their token alone, and health by nothing. A client of another namespace sees no counts either. New
certificates are taken at the next handshake, as on the gRPC port (``holdfast/security/certificates.py``).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
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


class Door:
    """Lets requests for the counts in. ``access`` None: there are no credentials to ask for."""

    def __init__(self, access: Access | None, metrics: str, namespaces: Namespaces) -> None:
        self._access = access
        self._namespaces = namespaces
        #: Whether there is a page of counts at all.
        self.has_metrics = metrics != OFF
        self._asks = access is not None and metrics != OPEN

    def refusal(self, request: Request) -> Response | None:
        """Return what a request for the counts is told instead; None lets it in."""
        if not self._asks or self._access is None:
            return None
        try:
            token = bearer_token((("authorization", request.headers.get("authorization", "")),))
            client = self._access.client_of(token)
        except Refusal:
            return PlainTextResponse("send `Authorization: Bearer <token>`\n", 401, _WHO)
        if READ not in client.roles:
            return PlainTextResponse("the token lacks the role read\n", 403)
        try:
            self._namespaces.require(client)
        except Refusal as refusal:
            return PlainTextResponse(f"{refusal.message}\n", 403)
        return None


def renewed_context(cert: str, key: str) -> ssl.SSLContext:
    """Return a context for a server that takes newer files at every handshake. Raises FileProblem."""
    newest: Callable[[], ssl.SSLContext] = Watched([cert, key], lambda: check_pair(cert, key)).get
    context = check_pair(cert, key)

    def renew(connection: ssl.SSLObject | ssl.SSLSocket, _: str | None, __: ssl.SSLContext) -> None:
        connection.context = newest()

    context.sni_callback = renew
    return context
