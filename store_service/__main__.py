"""``python -m store_service``: one store server until it is told to stop.

Owns the command line: options over environment, one line on stdout when it serves, exit code 2 and one line on stderr
for wrong use. SIGTERM and SIGINT drain; so does a database that failed, and the exit code is 1 then. Must never show a
traceback for something that the user can put right.
"""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, Any

import pydantic
import typer

from holdfast import collector, event_loop
from holdfast.serving import CannotListen, log_to_stderr, stop_signals
from store_service.engines import shown_url
from store_service.engines.errors import DatabaseUnusable
from store_service.server import RunningStore, serve
from store_service.settings import StoreSettings

_DATABASE_FAILED = 1
_WRONG_USE = 2


def main(
    listen: Annotated[
        str | None, typer.Option(help="host:port to listen on; port 0 picks one. [HOLDFAST_STORE_LISTEN]")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(help="sqlite:///file.db (relative), sqlite:////srv/file.db or postgresql://… [HOLDFAST_DATABASE]"),
    ] = None,
    namespace: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=URL of another namespace and its database, repeatable. [HOLDFAST_NAMESPACES, with commas]"
        ),
    ] = None,
    reflection: Annotated[
        bool | None, typer.Option(help="Serve gRPC reflection, for grpcurl. [HOLDFAST_REFLECTION]")
    ] = None,
) -> None:
    """Serve a holdfast store. Tokens come from HOLDFAST_TOKEN and HOLDFAST_READ_TOKEN only."""
    log_to_stderr()
    options: dict[str, Any] = {"listen": listen, "database": database, "reflection": reflection}
    if namespace:
        options["namespaces"] = ",".join(namespace)
    try:
        settings = StoreSettings(**{name: value for name, value in options.items() if value is not None})
    except pydantic.ValidationError as error:
        raise _wrong_use(_first_line(error)) from error
    if event_loop.run(_run(settings)):
        # Not an ordinary end: that would close the database, and closing writes to it.
        os._exit(_DATABASE_FAILED)


async def _run(settings: StoreSettings) -> str:
    """Serve until told to stop, or until the database fails; returns why it failed."""
    with stop_signals() as stopped:
        store = await _start(settings)
        collector.settle()
        print(f"holdfast store listening on {store.address} ({_databases(settings)})", flush=True)
        failure = await _end(store, stopped)
    await store.drain()
    return failure


def _databases(settings: StoreSettings) -> str:
    others = [f"{name}: {shown_url(url)}" for name, url in settings.namespaces.items()]
    return ", ".join([shown_url(settings.database), *others])


async def _end(store: RunningStore, stopped: asyncio.Event) -> str:
    failing, stopping = asyncio.ensure_future(store.failed()), asyncio.ensure_future(stopped.wait())
    ended, _ = await asyncio.wait({failing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    failing.cancel()
    stopping.cancel()
    return failing.result() if failing in ended else ""


async def _start(settings: StoreSettings) -> RunningStore:
    try:
        return await serve(settings)
    except (ValueError, DatabaseUnusable, CannotListen) as error:
        raise _wrong_use(str(error)) from error


def _wrong_use(message: str) -> typer.Exit:
    typer.echo(f"holdfast store: {message}", err=True)
    return typer.Exit(_WRONG_USE)


def _first_line(error: pydantic.ValidationError) -> str:
    # Without the input: it may be a token.
    first: Any = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


if __name__ == "__main__":
    typer.run(main)
