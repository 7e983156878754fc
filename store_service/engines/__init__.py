"""Engines: where rows become durable.

``open_engine`` chooses one by the scheme of a database URL. Layers above see ``engines/contract.py`` and this
function, nothing else; an engine sees nothing above the contract.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import MappingProxyType
from typing import Final

from store_service.engines.contract import Engine
from store_service.engines.sqlite import open_sqlite

_SHAPES: Final = "sqlite:///file.db (relative), sqlite:////srv/file.db (absolute) or postgresql://user@host/database"


async def open_engine(url: str, *, pending_writes_max: int = 10_000) -> Engine:
    """Open the database of a URL, creating and migrating it as needed.

    ``sqlite:///file.db`` is relative to the working directory, ``sqlite:////srv/file.db`` absolute;
    ``postgresql://…`` is any URL that libpq takes. At most ``pending_writes_max`` units may wait for a commit.
    Raises ValueError for a URL that names no engine, and ``errors.DatabaseUnusable`` when its database cannot be
    used.
    """
    scheme, separator, rest = url.partition("://")
    opener = _OPENERS.get(scheme) if separator else None
    if opener is None:
        raise ValueError(f"database URL {shown_url(url)!r} has no known scheme; use {_SHAPES}")
    return await opener(url, rest, pending_writes_max)


def shown_url(url: str) -> str:
    """Return a database URL as it may be shown: without a password, which may stand before the host or in the query."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "sqlite":
        return url
    user, at, place = rest.partition("?")[0].rpartition("@")
    return f"{scheme}://{user.partition(':')[0]}{at}{place}"


async def _open_sqlite(url: str, rest: str, pending_writes_max: int) -> Engine:
    path = rest.removeprefix("/")
    if path == rest or not path:
        raise ValueError(f"database URL {url!r} names no file; use {_SHAPES}")
    return await open_sqlite(path, pending_writes_max=pending_writes_max)


async def _open_postgres(url: str, rest: str, pending_writes_max: int) -> Engine:
    # Imported here: who keeps a file needs no driver of PostgreSQL.
    try:
        from store_service.engines.postgres import Options, open_postgres
    except ImportError as error:
        raise ValueError(f"a postgresql:// URL needs the driver: pip install 'holdfast[postgres]' ({error})") from error
    return await open_postgres(url, Options(pending_writes_max=pending_writes_max))


_OPENERS: Final = MappingProxyType[str, Callable[[str, str, int], Awaitable[Engine]]](
    {"sqlite": _open_sqlite, "postgresql": _open_postgres, "postgres": _open_postgres}
)
