"""Token → client → may it call this method: the whole decision, and a memory of tokens that were found good.

Owns the order: a bearer token, else the name in a client certificate; then the roles that open the method. Tokens are
looked up by their SHA-256, and every digest is compared in constant time, so that how long an answer takes tells
nothing about any token. A file of clients or keys that changed counts from the next look at it, open streams included
(``guard.py``). Must never keep or log a token. Read ``roles.py`` for the table.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from holdfast.refusal import Refusal
from holdfast.security.clients import Client, Clients, digest_of, parse_clients
from holdfast.security.files import Watched
from holdfast.security.jwt_tokens import JwtTokens
from holdfast.security.roles import Roles, openers

Metadata = Iterable[tuple[str, str | bytes]]

#: Good signed tokens that are remembered; when there are more, all are checked anew.
_REMEMBERED_MAX: Final = 4_096

_AUTHORIZATION: Final = "authorization"
_SCHEME: Final = "bearer "


def bearer_token(metadata: Metadata) -> str:
    """Return the bearer token of a call, "" when there is none."""
    for key, value in metadata:
        if key == _AUTHORIZATION:
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            return text[len(_SCHEME) :] if text[: len(_SCHEME)].lower() == _SCHEME else ""
    return ""


class Access:
    """Decides calls. ``fixed`` are tokens known from the start; ``clients_file`` and ``signed`` may change.

    Raises FileProblem for a file of clients that cannot be used.
    """

    def __init__(
        self,
        table: Mapping[str, Roles],
        *,
        fixed: Mapping[str, Client],
        clients_file: str = "",
        signed: JwtTokens | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._fixed = tuple((digest_of(token), client) for token, client in fixed.items())
        self._file = Watched([clients_file], lambda: _read(clients_file)) if clients_file else None
        self._signed = signed
        self._clock = clock
        self._remembered: dict[bytes, Client] = {}
        self._versions = self._versions_now()

    @property
    def knows_certificates(self) -> bool:
        """Whether a client certificate can stand for a token."""
        return self._file is not None and bool(self._file.get().by_certificate)

    def client_of(self, token: str, certificate_names: Sequence[str] = ()) -> Client:
        """Return who calls. Raises Refusal UNAUTHENTICATED."""
        if token:
            return self._by_token(token)
        known: Mapping[str, Client] = self._file.get().by_certificate if self._file is not None else {}
        for name in certificate_names:
            if name in known:
                return self._valid(known[name])
        raise Refusal(
            "UNAUTHENTICATED",
            "no bearer token came with the call; send metadata `authorization: Bearer <token>` (HOLDFAST_TOKEN)",
        )

    def require(self, client: Client, method: str) -> None:
        """Raise Refusal PERMISSION_DENIED unless a role of the client opens the method."""
        needed = openers(self._table, method)
        if needed.isdisjoint(client.roles):
            roles = " or ".join(sorted(needed)) or "none that can be had"
            held = ", ".join(sorted(client.roles)) or "none"
            raise Refusal(
                "PERMISSION_DENIED",
                f"{method} needs the role {roles}; client {client.name!r} has {held}",
                metadata={"method": method, "client": client.name, "roles": roles},
            )

    def _by_token(self, token: str) -> Client:
        digest = digest_of(token)
        self._forget_when_changed()
        found = self._remembered.get(digest) or _compared(self._known(), digest)
        if found is None and self._signed is not None and token.count(".") == 2:
            found = self._signed.client_of(token)
            if len(self._remembered) >= _REMEMBERED_MAX:
                self._remembered.clear()
            self._remembered[digest] = found
        if found is None:
            raise Refusal(
                "UNAUTHENTICATED",
                "the bearer token of the call is not one that this server knows; see HOLDFAST_TOKEN",
            )
        return self._valid(found)

    def _known(self) -> Iterable[tuple[bytes, Client]]:
        yield from self._fixed
        if self._file is not None:
            yield from self._file.get().by_digest.items()

    def _valid(self, client: Client) -> Client:
        if client.expires_at is not None and client.expires_at <= self._clock():
            raise Refusal("UNAUTHENTICATED", "the credentials of the call have expired; get new ones")
        return client

    def _forget_when_changed(self) -> None:
        versions = self._versions_now()
        if versions != self._versions:
            self._versions = versions
            self._remembered.clear()

    def _versions_now(self) -> int:
        return self._signed.version if self._signed is not None else 0


def _compared(known: Iterable[tuple[bytes, Client]], digest: bytes) -> Client | None:
    """Compare with every digest, in the same time whichever fits."""
    found = None
    for other, client in known:
        if hmac.compare_digest(other, digest):
            found = client
    return found


def _read(path: str) -> Clients:
    return parse_clients(Path(path).read_text())
