"""The token that a client sends with every call.

Owns where it comes from: a text, a function, or a file that is read again when it changes, so that short-lived tokens
need no restart. Must never show it in a repr or a log.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from holdfast.security.files import Watched

CallMetadata = tuple[tuple[str, str], ...]


class Bearer:
    """Gives the metadata of a call; empty without a token. Raises FileProblem for a token file that cannot be used."""

    def __init__(self, token: str | Callable[[], str] = "", *, file: str = "") -> None:
        self._token = Watched([file], lambda: _read(file)).get if file and not token else token

    def __repr__(self) -> str:
        return "Bearer(…)"

    def metadata(self) -> CallMetadata:
        """Return the metadata to send now."""
        token = self._token if isinstance(self._token, str) else self._token()
        return (("authorization", f"Bearer {token}"),) if token else ()

    @classmethod
    def of_client(cls, token: str | Callable[[], str] | None) -> Bearer:
        """A client's: the token given, else HOLDFAST_TOKEN, else the content of HOLDFAST_TOKEN_FILE."""
        if token is not None:
            return cls(token)
        return cls(os.environ.get("HOLDFAST_TOKEN", ""), file=os.environ.get("HOLDFAST_TOKEN_FILE", ""))


def _read(file: str) -> str:
    token = Path(file).read_text("ascii", "strict").strip()
    if not token or any(not "!" <= character <= "~" for character in token):
        raise ValueError("expected one token of printable characters without spaces")
    return token
