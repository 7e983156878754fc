"""Whether there is an HTTP port, and which URL its webhooks have.

Owns the reading of the two options. An address that somebody named must be free. The default one need not be: a second
runtime on a machine does without, its webhooks are served by the first. Loads the HTTP libraries only when there is a
port. Read ``port.py`` for the port itself.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Final

import structlog

from holdfast.security.files import FileProblem
from holdfast.serving import CannotListen
from runtime_service.settings import RuntimeSettings

if TYPE_CHECKING:
    from runtime_service.http.port import HttpPort

log = structlog.get_logger(__name__)

#: Hosts that stand for every address of the machine, which nobody can send a request to.
_ALL_ADDRESSES: Final = ("0.0.0.0", "[::]")


def open_port(settings: RuntimeSettings) -> HttpPort | None:
    """Open the port of the settings; None when it is switched off, or the default one is taken.

    Raises CannotListen for an address that was named.
    """
    if not settings.http:
        return None
    from runtime_service.http.port import HttpPort

    try:
        return HttpPort(settings.http, _tls(settings))
    except CannotListen as error:
        if settings.names_http:
            raise
        log.warning("no HTTP port: another runtime serves webhooks; name a free one with --http", error=str(error))
        return None


def _tls(settings: RuntimeSettings) -> ssl.SSLContext | None:
    if not settings.http_tls:
        return None
    from runtime_service.http.door import renewed_context

    try:
        return renewed_context(settings.tls_cert, settings.tls_key)
    except FileProblem as error:
        raise CannotListen(str(error)) from None


def public_url(settings: RuntimeSettings, port: HttpPort | None) -> str:
    """Return where webhooks are reached: the URL that was named, else that of the port, else "" when it is off."""
    address = port.address if port is not None else settings.http
    if settings.public_url or not address:
        return settings.public_url
    host, _, number = address.rpartition(":")
    scheme = port.scheme if port is not None else "http"
    return f"{scheme}://{socket.gethostname() if host in _ALL_ADDRESSES else host}:{number}"
