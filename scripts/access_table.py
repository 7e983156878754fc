"""Writes the table of methods and roles in docs/security.md anew from the protos: `python scripts/access_table.py`."""

from __future__ import annotations

import re
from pathlib import Path

from holdfast.security.roles import INCLUDES, access_table
from runtime_service.server import SERVICES as RUNTIME_SERVICES
from store_service.server import SERVICES as STORE_SERVICES

PAGE = Path(__file__).parents[1] / "docs" / "security.md"
ROW = re.compile(r"(?:^\| `\w+\.\w+` \| [a-z, ]+ \|\n)+", re.MULTILINE)


def rows() -> str:
    """Return the rows as the page must have them, one a method."""
    found = ""
    for services in (STORE_SERVICES, RUNTIME_SERVICES):
        for path, roles in access_table(services).items():
            name = path.removeprefix("/holdfast.v1.").replace("/", ".")
            found += f"| `{name}` | {', '.join(role for role in INCLUDES if role in roles)} |\n"
    return found


if __name__ == "__main__":
    PAGE.write_text(ROW.sub(lambda _: rows(), PAGE.read_text(), count=1))
