"""What to tell, at the start of a server, about who can reach it and what they may do.

Owns the three sentences. A server without credentials is for one machine; on any other address it says so loudly, as
it does when tokens and values cross a network that everybody on it can read.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from holdfast.security.settings import SecuritySettings

log = structlog.get_logger(__name__)

_SEE: Final = "docs/security.md"


def tell_exposure(listen: str, security: SecuritySettings) -> None:
    """Log what is open about a server at this address; nothing when it asks for credentials inside TLS."""
    is_local = is_loopback(listen)
    if not security.asks_for_credentials:
        if is_local:
            log.info("no credentials are asked for: every program of this machine may call", address=listen, see=_SEE)
        else:
            log.warning(
                "ANYBODY who reaches this address may read and change everything: set HOLDFAST_TOKEN or another "
                "credential, or listen on 127.0.0.1",
                address=listen,
                see=_SEE,
            )
    elif not security.tls_cert and not is_local:
        log.warning(
            "tokens and values cross the network readable by all on it: set HOLDFAST_TLS_CERT and HOLDFAST_TLS_KEY",
            address=listen,
            see=_SEE,
        )


def is_loopback(listen: str) -> bool:
    """Tell whether only programs of this machine reach an address (host:port, or unix:path)."""
    if listen.startswith("unix:"):
        return True
    host = listen.rpartition(":")[0].removeprefix("[").removesuffix("]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
