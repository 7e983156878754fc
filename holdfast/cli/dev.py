"""`holdfast dev`: a store and a runtime for one developer, restarted when the code changes.

Owns the two child processes and the watch on the source files. The store stays; the runtime is replaced on every
change, and its runs go on in the new one by replay: the same thing that happens in a deployment. Ctrl-C ends
both.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Coroutine, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from holdfast.cli.exits import NOT_REACHABLE, CommandError
from holdfast.cli.processes import Service, ServiceEnded
from holdfast.cli.services import runtime_command, store_command
from holdfast.queues import EVERY_QUEUE

#: What a runtime says of its HTTP port when it serves.
_HTTP: Final = re.compile(r"http ([^\s,)]+)")
_UI: Final = re.compile(r"ui ([^\s,)]+)")


def dev(
    modules: Annotated[list[str], typer.Argument(metavar="MODULE_OR_FILE...", help="Where the workflows are.")],
    database: Annotated[
        str, typer.Option(envvar="HOLDFAST_DATABASE", help="Database of the store.")
    ] = "sqlite:///.holdfast/holdfast.db",
    store_listen: Annotated[
        str, typer.Option(envvar="HOLDFAST_STORE_LISTEN", help="Address of the store, HOST:PORT.")
    ] = "127.0.0.1:7701",
    runtime_listen: Annotated[
        str, typer.Option(envvar="HOLDFAST_RUNTIME_LISTEN", help="Address of the runtime, HOST:PORT.")
    ] = "127.0.0.1:7702",
    reload: Annotated[bool, typer.Option("--reload/--no-reload", help="Restart the runtime on change.")] = True,
) -> None:
    """Run a store and a runtime until Ctrl-C, on one SQLite file, and reload workflows when they change."""
    folders = source_folders(modules) if reload else []
    _make_database_folder(database)
    code = asyncio.run(_develop(modules, database, store_listen, runtime_listen, folders))
    if code:
        raise typer.Exit(code)


def source_folders(modules: Sequence[str]) -> list[Path]:
    """The directories whose changes restart the runtime. Raises CommandError for what cannot be found."""
    return sorted({_source_of(module).resolve().parent for module in modules})


def _source_of(module: str) -> Path:
    if module.endswith(".py") or "/" in module:
        if not Path(module).is_file():
            raise CommandError(f"there is no file {module!r}")
        return Path(module)
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise CommandError(f"there is no module {module!r}; name a module, or a file such as ./app.py")
    return Path(spec.origin)


def _make_database_folder(database: str) -> None:
    if database.startswith("sqlite:///"):
        Path(database.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)


async def _develop(
    modules: Sequence[str], database: str, store_listen: str, runtime_listen: str, folders: Sequence[Path]
) -> int:
    """Run both services until a signal arrives or the store ends. Returns the exit code."""
    stopping, changed = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        store = await Service.start("store", store_command(listen=store_listen, database=database))
    except ServiceEnded as ended:
        return max(ended.exit_code, 0) or NOT_REACHABLE
    aside = [asyncio.create_task(_stop_with(store, stopping)), asyncio.create_task(_watch(folders, changed, stopping))]
    try:
        _say(f"store    {store.address}  ({database})")
        command = runtime_command(modules, listen=runtime_listen, store=store.address)
        if "HOLDFAST_QUEUE" not in os.environ:
            # Everything in one place: no step waits for another process, whatever its queue.
            command = [*command, "--queue", EVERY_QUEUE]
        if "HOLDFAST_UI" not in os.environ:
            command = [*command, "--ui"]
        return await _keep_runtime(command, changed if folders else None, stopping) or await store.stop()
    finally:
        for task in aside:
            task.cancel()
        await store.kill()


async def _stop_with(store: Service, stopping: asyncio.Event) -> None:
    await store.wait()
    stopping.set()


async def _watch(folders: Sequence[Path], changed: asyncio.Event, stopping: asyncio.Event) -> None:
    """Set ``changed`` whenever a Python file in one of the folders changes. One watch for all the time: a change
    between two runtimes is one as well."""
    from watchfiles import PythonFilter, awatch

    if folders:
        async for _ in awatch(*folders, watch_filter=PythonFilter(), stop_event=stopping, raise_interrupt=False):
            changed.set()


async def _keep_runtime(command: Sequence[str], changed: asyncio.Event | None, stopping: asyncio.Event) -> int:
    """Run the runtime, replacing it on every change, until ``stopping``. ``changed`` is None without reloading.

    Returns 0, or the exit code of a runtime that did not start when no change can repair it.
    """
    reasons = [stopping, changed] if changed else [stopping]
    while not stopping.is_set():
        if changed:
            changed.clear()
        try:
            runtime = await Service.start("runtime", command)
        except ServiceEnded as ended:
            if not changed:
                return max(ended.exit_code, 0) or NOT_REACHABLE
            _say("the runtime did not start; it is tried again when a file changes")
            await _first(*(reason.wait() for reason in reasons))
            continue
        try:
            _say(f"runtime  {runtime.address}")
            if found := _HTTP.search(runtime.greeting):
                _say(f"http     {found[1]}  (webhooks, /healthz, /readyz, /metrics)")
            if found := _UI.search(runtime.greeting):
                _say(f"ui       {found[1]}")
            await _first(runtime.wait(), *(reason.wait() for reason in reasons))
        finally:
            await runtime.stop()
        if not stopping.is_set():
            _say("restarting the runtime")
    return 0


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Return when the first of the coroutines is done; the others are cancelled."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _say(line: str) -> None:
    print(f"holdfast dev: {line}", flush=True)
