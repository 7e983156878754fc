"""``python -m store_service``: one store server until it is told to stop.

Owns the command line: options over environment, one line on stdout when it serves, exit code 2 and one line on stderr
for wrong use. SIGTERM and SIGINT drain. Must never show a traceback for something that the user can put right.
"""

from __future__ import annotations

from typing import Annotated, Any

import pydantic
import typer

from holdfast import event_loop
from holdfast.serving import CannotListen, log_to_stderr, stop_signals
from store_service.engines.sqlite.errors import DatabaseUnusable
from store_service.server import RunningStore, serve
from store_service.settings import StoreSettings

_WRONG_USE = 2


def main(
    listen: Annotated[
        str | None, typer.Option(help="host:port to listen on; port 0 picks one. [HOLDFAST_STORE_LISTEN]")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(help="sqlite:///file.db (relative) or sqlite:////srv/file.db. [HOLDFAST_DATABASE]"),
    ] = None,
    reflection: Annotated[
        bool | None, typer.Option(help="Serve gRPC reflection, for grpcurl. [HOLDFAST_REFLECTION]")
    ] = None,
) -> None:
    """Serve a holdfast store. Tokens come from HOLDFAST_TOKEN and HOLDFAST_READ_TOKEN only."""
    log_to_stderr()
    options: dict[str, Any] = {"listen": listen, "database": database, "reflection": reflection}
    try:
        settings = StoreSettings(**{name: value for name, value in options.items() if value is not None})
    except pydantic.ValidationError as error:
        raise _wrong_use(_first_line(error)) from error
    event_loop.run(_run(settings))


async def _run(settings: StoreSettings) -> None:
    with stop_signals() as stopped:
        store = await _start(settings)
        print(f"holdfast store listening on {store.address} ({settings.database})", flush=True)
        await stopped.wait()
    await store.drain()


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
