"""The engines that tests of rules and services run on: each gets a database of its own.

A fixture takes ``params=ENGINES`` and opens what `open_for` gives for its parameter. What is asked here is that the
engines agree; what an engine is, is asked in ``tests/conformance``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from store_service.engines import open_engine
from store_service.engines.contract import Engine
from store_service.engines.postgres import Options, open_postgres

ENGINES = ("postgres", "sqlite")

#: Longer than a test: no other replica has anything to tell.
_POLL_S = 300.0


async def open_for(request: pytest.FixtureRequest, folder: Path) -> Engine:
    """Open a fresh database of the engine that the fixture's parameter names."""
    if request.param == "postgres":
        return await open_postgres(
            request.getfixturevalue("postgres_url"), Options(poll_s=_POLL_S, writers=2, readers=1)
        )
    return await open_engine(f"sqlite:///{folder / 'test.db'}")


def execute(tx: Any, sql: str, *parameters: object) -> None:
    """Execute SQL of the test's own in a unit of work, as whoever damages a database does; ``?`` for a parameter."""
    if tx.__class__.__name__ == "SqliteTransaction":
        tx._session.execute(sql, parameters)
    else:
        tx._session.send(sql.replace("?", "%s"), parameters)
