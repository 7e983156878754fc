"""The namespaces of a store: a database each, and parts of its own over it.

Owns opening and closing them together: all or none, and no two on one database. Nothing is shared between two: not the
connection, the queue of writes, bells, alarms, expiries, nor the count of open streams. So whatever a rule reads or
writes is in the namespace of the call, without asking. What they share is the process: its CPU, memory and files.
Read ``holdfast/dispatch.py`` for how a call gets to its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from holdfast.security.namespaces import DEFAULT
from store_service.api.clock import Clock, SteadyClock
from store_service.api.parts import Parts, make_parts
from store_service.engines import open_engine
from store_service.engines.contract import Engine
from store_service.engines.errors import DatabaseUnusable
from store_service.settings import StoreSettings

#: Namespace → its parts; the default one first.
PartsByName = Mapping[str, Parts]


async def open_namespaces(settings: StoreSettings, clock: Clock | None, engine: Engine | None) -> PartsByName:
    """Open the databases of all namespaces and make their parts; nothing moves yet.

    ``clock`` and ``engine`` (of the default namespace) are given by tests. When one cannot be opened none stays open.
    Raises ValueError for a bad URL, and what an engine raises for a database that it cannot use.
    """
    opened: dict[str, Parts] = {}
    try:
        for name, url in ({DEFAULT: settings.database} | dict(settings.namespaces)).items():
            given = engine if name == DEFAULT else None
            opened[name] = await _opened(name, url, settings, clock, given)
            _require_its_own_database(opened, name)
    except BaseException:
        await close_engines(opened)
        raise
    return opened


async def close_engines(opened: PartsByName) -> None:
    """Close every database."""
    for parts in opened.values():
        await parts.engine.close()


async def first_failure(opened: PartsByName) -> str:
    """Wait until one of the databases takes no more writes from this process, and return why."""
    waiting = {asyncio.ensure_future(parts.engine.failed()): name for name, parts in opened.items()}
    try:
        failed, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
    return "; ".join(_in(waiting[task], task.result()) for task in failed)


async def _opened(name: str, url: str, settings: StoreSettings, clock: Clock | None, engine: Engine | None) -> Parts:
    try:
        engine = engine or await open_engine(url, pending_writes_max=settings.pending_writes_max)
    except DatabaseUnusable as error:
        raise DatabaseUnusable(error.path, _in(name, str(error))) from error
    except ValueError as error:
        raise ValueError(_in(name, str(error))) from error
    try:
        ticking = clock or SteadyClock(engine.wall_ns)
        return await make_parts(engine, ticking, streams_max=settings.streams_max, namespace=name)
    except BaseException:
        await engine.close()
        raise


def _require_its_own_database(opened: PartsByName, newest: str) -> None:
    """Two namespaces on one database would be one, whatever they are called; a copied file is refused with it."""
    store_id = opened[newest].store_id
    for name, parts in opened.items():
        if name != newest and parts.store_id == store_id:
            raise ValueError(
                f"the namespaces {name!r} and {newest!r} have one database, or one is a copy of the other's (store "
                f"{store_id}); give each a database of its own"
            )


def _in(name: str, message: str) -> str:
    return message if name == DEFAULT else f"namespace {name}: {message}"
