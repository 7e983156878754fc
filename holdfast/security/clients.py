"""The clients of a server, as a file lists them: their tokens, their certificates, their roles.

    [billing]
    roles = ["write"]
    sha256 = ["9f86d0…"]                  # of its tokens; two while one replaces the other
    certificate = "billing.example.org"   # a name in its client certificate
    namespace = "billing"                 # left out: "default"
    expires = 2027-01-01T00:00:00Z

Owns the format (TOML). The file need not hold a token itself, only digests; ``token`` instead of ``sha256`` is allowed
for those who generate the file. Must never quote a token. Read ``access.py`` for what is made of it.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from holdfast.security.namespaces import DEFAULT, checked_name
from holdfast.security.roles import Roles, granted

#: Characters of a token that a file holds as it is: fewer could be guessed.
TOKEN_CHARS_MIN: Final = 16

_FIELDS: Final = frozenset({"roles", "sha256", "token", "certificate", "expires", "namespace"})
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody who may call, in one namespace. ``name`` is for logs and limits, ``expires_at`` in epoch seconds.

    ``expires_at`` None is never.
    """

    name: str
    roles: Roles
    expires_at: float | None = None
    namespace: str = DEFAULT


@dataclass(frozen=True, slots=True)
class Clients:
    """Who is known by what: SHA-256 of a token → client, name in a certificate → client."""

    by_digest: Mapping[bytes, Client]
    by_certificate: Mapping[str, Client]


def digest_of(token: str) -> bytes:
    """Return what a token is known by."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def parse_clients(text: str) -> Clients:
    """Read the text of a file of clients. Raises ValueError that names the client and the field, and no value."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Its message says where, and may quote a character or a key; keys are no secrets.
        raise ValueError(f"it is not TOML: {error}") from None
    by_digest: dict[bytes, Client] = {}
    by_certificate: dict[str, Client] = {}
    for name, table in document.items():
        client, digests, certificates = _client(name, table)
        _put_all(by_digest, digests, client, "token")
        _put_all(by_certificate, certificates, client, "certificate")
    return Clients(by_digest, by_certificate)


def _put_all(into: dict[Any, Client], keys: Iterable[Any], client: Client, what: str) -> None:
    for key in keys:
        if key in into:
            raise ValueError(f"[{client.name}] and [{into[key].name}] have the same {what}")
        into[key] = client


def _client(name: str, table: Any) -> tuple[Client, list[bytes], list[str]]:
    if not isinstance(table, dict):
        raise ValueError(f"{name} stands outside a client's table: write [client-name] above it")
    if unknown := sorted(table.keys() - _FIELDS):
        raise ValueError(f"[{name}] {unknown[0]} is unknown; expected {', '.join(sorted(_FIELDS))}")
    digests = [*map(bytes.fromhex, _digests(name, table)), *map(digest_of, _tokens(name, table))]
    certificates = _texts(name, table, "certificate")
    if not digests and not certificates:
        raise ValueError(f"[{name}] has neither sha256, token nor certificate: nobody can be it")
    try:
        roles = granted(_texts(name, table, "roles"))
    except ValueError as error:
        raise ValueError(f"[{name}] roles: {error}") from None
    if not roles:
        raise ValueError(f"[{name}] has no roles")
    return Client(name, roles, _expiry(name, table), _namespace(name, table)), digests, certificates


def _digests(name: str, table: dict[str, Any]) -> list[str]:
    found = _texts(name, table, "sha256")
    if not all(_DIGEST.fullmatch(text) for text in found):
        raise ValueError(f"[{name}] sha256: expected 64 hexadecimal digits")
    return found


def _tokens(name: str, table: dict[str, Any]) -> list[str]:
    found = _texts(name, table, "token")
    if any(len(text) < TOKEN_CHARS_MIN for text in found):
        raise ValueError(f"[{name}] token: expected at least {TOKEN_CHARS_MIN} characters; see `openssl rand -hex 32`")
    return found


def _texts(name: str, table: dict[str, Any], field: str) -> list[str]:
    value = table.get(field, [])
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(text, str) and text for text in found):
        raise ValueError(f"[{name}] {field}: expected text or a list of texts")
    return found


def _namespace(name: str, table: dict[str, Any]) -> str:
    try:
        return checked_name(table.get("namespace", DEFAULT))
    except ValueError as error:
        raise ValueError(f"[{name}] namespace: {error}") from None


def _expiry(name: str, table: dict[str, Any]) -> float | None:
    value = table.get("expires")
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(f"[{name}] expires: expected a date and time with its offset, as 2027-01-01T00:00:00Z")
    return value.timestamp()
