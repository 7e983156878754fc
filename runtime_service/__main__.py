"""`python -m runtime_service MODULE…`: a runtime as a process.

Owns the command line and the exit codes: 0 after a drain, 2 for wrong use (a module that cannot be loaded, a bad
option, a port that is taken), 3 for a store that went away during the start; told in one line. What it serves is
``server.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Annotated, Any, Final, NoReturn

import structlog
import typer
from pydantic import ValidationError

from holdfast import collector, event_loop
from holdfast.definitions import registry
from holdfast.errors import HoldfastError, LoadFailed, NotReady
from holdfast.queues import EVERY_QUEUE
from holdfast.serving import CannotListen, log_to_stderr, wait_for_signal
from runtime_service.replay import guard
from runtime_service.server import RunningRuntime, serve
from runtime_service.settings import RuntimeSettings

log = structlog.get_logger(__name__)

WRONG_USE: Final = 2
NOT_REACHABLE: Final = 3

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    modules: Annotated[list[str], typer.Argument(metavar="MODULE_OR_FILE...", help="Where the workflows are.")],
    listen: Annotated[
        str | None, typer.Option(help="Address to serve on, HOST:PORT. [env HOLDFAST_RUNTIME_LISTEN; 127.0.0.1:7702]")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            help="Address of the store, or IP:PORT,IP:PORT of several. [env HOLDFAST_STORE_ADDRESS; 127.0.0.1:7701]"
        ),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(
            help="HTTP address for webhooks, /healthz, /readyz, /metrics; empty is off. [env HOLDFAST_HTTP; "
            "127.0.0.1:7703]"
        ),
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option(help="What the URLs of webhooks begin with. [env HOLDFAST_PUBLIC_URL; that of --http]"),
    ] = None,
    ui: Annotated[
        bool | None,
        typer.Option(
            "--ui/--no-ui", help="Pages for people at the HTTP address: runs with their values. [env HOLDFAST_UI; off]"
        ),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Step attempts that run at once. [env HOLDFAST_CONCURRENCY; 100]")
    ] = None,
    lease: Annotated[
        str | None, typer.Option(help="How long a dead runtime's runs rest. [env HOLDFAST_LEASE; 15s]")
    ] = None,
    queue: Annotated[
        list[str] | None,
        typer.Option(help="Step queue to serve, repeatable; * is every one. [env HOLDFAST_QUEUE; default]"),
    ] = None,
) -> None:
    """Execute the workflows of MODULE_OR_FILE... and serve their clients, until SIGTERM or Ctrl-C."""
    log_to_stderr()
    given = {
        "listen": listen,
        "store": store,
        "http": http,
        "public_url": public_url,
        "ui": ui,
        "concurrency": concurrency,
        "lease": lease,
        "queue": queue,
    }
    settings = _settings({name: value for name, value in given.items() if value is not None})
    _load(modules)
    _tell_of_queues(settings)
    try:
        event_loop.run(_serve_until_signal(settings))
    except (CannotListen, LoadFailed) as error:
        _refuse(str(error))
    except NotReady as error:
        _refuse(f"the store at {settings.store} went away while the runtime started: {error}", NOT_REACHABLE)


def _settings(given: dict[str, Any]) -> RuntimeSettings:
    try:
        return RuntimeSettings(**given)
    except ValidationError as error:
        # Without the input: it may be a token.
        first = error.errors(include_input=False, include_url=False)[0]
        option = ".".join(map(str, first["loc"]))
        _refuse(
            ": ".join(filter(None, (option, first["msg"].removeprefix("Value error, ").removeprefix(f"{option}: "))))
        )


def _load(modules: list[str]) -> None:
    guard.install()  # before them, so that a default argument or an installed package takes no clock past it
    for module in modules:
        try:
            found = registry.load(module)
        except (HoldfastError, ValueError) as error:
            _refuse(str(error))
        log.info("loaded", module=found.module, workflows=",".join(found.workflows), steps=",".join(found.steps))


def _tell_of_queues(settings: RuntimeSettings) -> None:
    if EVERY_QUEUE in settings.queue:
        return
    for step in registry.steps.values():
        if step.goes_out and not step.is_remote and step.queue not in settings.queue:
            log.info("a step runs elsewhere: its queue is not served here", step=step.name, queue=step.queue)


async def _serve_until_signal(settings: RuntimeSettings) -> None:
    """Serve until the first signal; one that comes while the store is still awaited ends the process at once."""
    signalled = asyncio.create_task(wait_for_signal())
    starting = asyncio.create_task(serve(settings, registry))
    await asyncio.wait({signalled, starting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        return
    runtime = await starting
    collector.settle()
    print(f"holdfast runtime listening on {runtime.address} (store {settings.store}{_of_http(runtime)})", flush=True)
    await signalled
    await runtime.drain()


def _of_http(runtime: RunningRuntime) -> str:
    if runtime.http is None:
        return ""
    ui = f", ui {runtime.http.scheme}://{runtime.http.address}/" if runtime.http.has_ui else ""
    return f", http {runtime.http.address}{ui}"


def _refuse(message: str, code: int = WRONG_USE) -> NoReturn:
    print(f"holdfast runtime: {message}", file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    app()
