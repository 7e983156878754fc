"""Every safeguard, by name. Whoever adds a safeguard adds a row to the table of its theme.

Owns the whole table. Read ``safeguard.py`` for what a row says and ``switched_off.py`` for who runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.refusing import of_deliveries, of_entities, of_replay, of_snapshots, of_stored_rows
from tests.refusing.safeguard import Safeguard

SAFEGUARDS: Final[Mapping[str, Safeguard]] = {
    name: safeguard
    for theme in (of_snapshots, of_deliveries, of_entities, of_stored_rows, of_replay)
    for name, safeguard in theme.ROWS.items()
}
