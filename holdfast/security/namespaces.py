"""Names of namespaces: what they may be, how a store is told of them, how a client says which one it means.

Owns no more than names; a namespace is a database of its own behind one store, and which one a call goes to follows
from its credential alone (``clients.py``, ``jwt_tokens.py``). What a client sends under ``EXPECTED`` chooses nothing:
it is compared, so that a credential exchanged by mistake reaches nobody's data. Must never quote a database's URL,
which may hold a password. Read ``holdfast/dispatch.py`` for the way of a call.
"""

from __future__ import annotations

import re
from typing import Final

#: The namespace of every credential that names none, and of a server that asks for none.
DEFAULT: Final = "default"

#: Metadata key of a call: the namespace that its client counts on.
EXPECTED: Final = "holdfast-namespace"

_SHAPE: Final = "a to z, 0 to 9 and - inside, at most 63 characters"
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")

#: Between two entries: a comma, when a name and a URL follow. URLs of PostgreSQL hold commas too.
_BETWEEN: Final = re.compile(r"\s*,\s*(?=[^,=:/]*=[a-z]+://)")


def checked_name(text: object) -> str:
    """Return the name of a namespace. Raises ValueError."""
    if not isinstance(text, str) or not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is no name of a namespace; expected {_SHAPE}")
    return text


def parse_namespaces(text: str) -> dict[str, str]:
    """Read ``billing=sqlite:///billing.db, shop=postgresql://…``: name → URL of its database. Raises ValueError."""
    found: dict[str, str] = {}
    for entry in _BETWEEN.split(text.strip().strip(",").strip()) if text.strip() else ():
        name, separator, url = entry.partition("=")
        if not separator or "://" not in url:
            raise ValueError("expected name=URL, name=URL, as billing=sqlite:///billing.db")
        if checked_name(name.strip()) in found:
            raise ValueError(f"{name.strip()!r} is named twice")
        found[name.strip()] = url.strip()
    return found
