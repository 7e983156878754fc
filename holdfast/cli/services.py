"""`holdfast store` and `holdfast runtime`: the services, started in this process.

The only module of this package that reaches for a service, and only for its front door: the words after the
name go on untouched to `python -m store_service` or `python -m runtime_service`, which own their options and their
help. The other modules start services as processes, with the command lines built here; replaying recorded runs is
a runtime's craft and auditing a database a store's, and both are reached through here.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

import typer

from holdfast.cli.exits import CommandError, NotReachable
from holdfast.errors import NotReady

if TYPE_CHECKING:
    # Named again for those who print them: nobody else here may know where they come from.
    from runtime_service.replaying.report import Group as Group
    from runtime_service.replaying.report import Report as Report
    from runtime_service.replaying.telling import Told as Told
    from runtime_service.store import Store
    from store_service.auditing import StoreAudit as StoreAudit
    from store_service.migrating import Migration as Migration

Answer = TypeVar("Answer")

#: Seconds that a store may take to answer while a person waits.
STORE_RETRY_SECONDS: Final = 3.0


def store(context: typer.Context) -> None:
    """Run the store: event logs, queue, streams. `holdfast store --help` lists its options."""
    _become("store", "store_service", context.args)


def guard_bodies() -> None:
    """Let nothing that is loaded from here on take a clock past the guard, as in a runtime."""
    from runtime_service.replay import guard

    guard.install()


def runtime(context: typer.Context) -> None:
    """Run a runtime: executes workflows, serves clients. `holdfast runtime --help` lists its options."""
    _become("runtime", "runtime_service", context.args)


def store_command(*, listen: str, database: str) -> list[str]:
    """The command line of a store process."""
    return [sys.executable, "-m", "store_service", "--listen", listen, "--database", database]


def runtime_command(modules: Sequence[str], *, listen: str, store: str, options: Sequence[str] = ()) -> list[str]:
    """The command line of a runtime process."""
    return [sys.executable, "-m", "runtime_service", *modules, "--listen", listen, "--store", store, *options]


def _become(name: str, package: str, words: Sequence[str]) -> None:
    sys.argv = [f"holdfast {name}", *words]
    runpy.run_module(package, run_name="__main__", alter_sys=True)


def checked_runs(address: str, token: str, *, sample: int) -> Report:
    """Replay the runs of the store at an address under the definitions that are loaded; see `replaying/check.py`."""
    from holdfast.definitions import registry
    from runtime_service.replaying.check import check_store

    return _with_store(address, token, lambda store: check_store(store, registry, sample=sample))


def told_run(address: str, token: str, run_id: str) -> list[Told]:
    """Replay one run of the store at an address; see `replaying/telling.py`. Raises RunNotFound, NotRegistered."""
    from holdfast.definitions import registry
    from runtime_service.replaying.telling import tell

    async def told(store: Store) -> list[Told]:
        events = await store.events_after(run_id, 0)
        return list(tell(registry.workflow(events[0].run_created.workflow_name), events))

    return _with_store(address, token, told)


def audited(database: str) -> StoreAudit:
    """Audit a database; see `store_service/auditing.py`. Raises CommandError when it cannot be read as a store."""
    from store_service.auditing import audit_database
    from store_service.engines.sqlite.errors import DatabaseUnusable

    try:
        return audit_database(database)
    except (ValueError, DatabaseUnusable) as error:
        raise CommandError(str(error)) from None


def migrated(source: str, target: str) -> Migration:
    """Move a store to another database; see `store_service/migrating.py`. Raises CommandError: nothing was moved."""
    from store_service.engines.errors import DatabaseUnusable
    from store_service.migrating import migrate_database

    try:
        return migrate_database(source, target)
    except (ValueError, DatabaseUnusable) as error:
        raise CommandError(str(error)) from None


def _with_store(address: str, token: str, work: Callable[[Store], Awaitable[Answer]]) -> Answer:
    """Do something with a store, which must be there. Raises NotReachable."""
    import asyncio

    from holdfast.security.bearer import Bearer
    from holdfast.security.channels import ClientTls
    from runtime_service.store import Store

    async def connected() -> Answer:
        try:
            bearer, tls = Bearer.of_client(token or None), ClientTls.of_client()
            store = Store(address, bearer=bearer, tls=tls, retry_seconds=STORE_RETRY_SECONDS)
        except ValueError as error:
            raise CommandError(str(error)) from None
        try:
            return await work(store)
        except NotReady as error:
            raise NotReachable(address, str(error), "a store with `holdfast store`", "HOLDFAST_STORE_ADDRESS") from None
        finally:
            await store.close()

    return asyncio.run(connected())
