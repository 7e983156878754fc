"""Store and runtime as real processes that start in milliseconds, with a fault built in.

A storm needs hundreds of processes, and most of a start is imports. So a server process imports everything once and
forks (multiprocessing's forkserver); each child is a process of its own with its own event loop, killed and frozen like
any other. What a child does differently from production, a clock, a crash, a broken rule, is a `Fault` that is applied
in the child before it serves; see ``faults.py``. Must be used from one event loop.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

#: Seconds that a process may take to serve.
START_SECONDS = 60.0

Fault = Callable[[], Any]

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(
    [
        "store_service.server",
        "store_service.engines.postgres",
        "runtime_service.server",
        "runtime_service.worker.worker",
        "tests.storms.workflows",
    ]
)


class Service:
    """One process. ``died`` is set when it has ended, by whatever cause; ``address`` stays over restarts."""

    def __init__(self, target: Callable[..., None], log: Path, *args: Any) -> None:
        self._target = target
        self._args = args
        self._log = log
        self._process: Any = None
        self.address = "127.0.0.1:0"
        self.died = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    @property
    def log(self) -> str:
        """What the process wrote so far."""
        return self._log.read_text() if self._log.exists() else ""

    async def start(self, fault: Fault | None = None) -> None:
        """Start the process, the same way as before but for the fault; returns once it serves, or has died of it."""
        here, there = _FORKING.Pipe(duplex=False)
        self.died = died = asyncio.Event()
        arguments = (self._target, self._log, there, fault, self.address, self._args)
        self._process = _FORKING.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        there.close()
        loop = asyncio.get_running_loop()
        sentinel = self._process.sentinel

        def note_death() -> None:
            loop.remove_reader(sentinel)
            died.set()

        loop.add_reader(sentinel, note_death)
        with suppress(EOFError):
            self.address = await asyncio.wait_for(asyncio.to_thread(here.recv), START_SECONDS)
        here.close()

    async def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self._process is not None and not self.died.is_set():
            self._process.kill()
            await self.died.wait()

    async def stop(self) -> None:
        """SIGTERM, and wait for the end of the drain."""
        if self._process is not None and not self.died.is_set():
            self._process.terminate()
            await self.died.wait()

    def freeze(self) -> None:
        """SIGSTOP: alive, and doing nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self._process.pid, signal.SIGCONT)


def store(folder: Path, name: str = "store", **settings: Any) -> Service:
    """Make a store on the file ``folder/<name>.db``, or on the ``database`` named by its URL; not started."""
    return Service(_serve_store, folder / f"{name}.log", folder / f"{name}.db", settings)


def runtime(
    folder: Path, store_address: str, name: str = "runtime", module: str = "tests.storms.workflows", **settings: Any
) -> Service:
    """Make a runtime of the workflows in ``module``, with a lease of a second; not started."""
    options = {"store": store_address, "lease": "1s", "linger_ms": 200, **settings}
    return Service(_serve_runtime, folder / f"{name}.log", module, options)


def _serve(
    target: Callable[..., None], log: Path, ready: Connection, fault: Fault | None, listen: str, args: tuple[Any, ...]
) -> None:
    with log.open("ab", buffering=0) as stream:
        os.dup2(stream.fileno(), sys.stdout.fileno())
        os.dup2(stream.fileno(), sys.stderr.fileno())
    target(ready, fault() if fault is not None else None, listen, *args)


def _serve_store(ready: Connection, clock: Any, listen: str, path: Path, settings: dict[str, Any]) -> None:
    from holdfast.serving import log_to_stderr, wait_for_signal
    from store_service.server import serve
    from store_service.settings import StoreSettings

    async def run() -> None:
        options = {"database": f"sqlite:///{path}", **settings}
        running = await serve(StoreSettings(listen=listen, **options), clock=clock)
        ready.send(running.address)
        await wait_for_signal()
        await running.drain()

    log_to_stderr()
    asyncio.run(run())


def _serve_runtime(ready: Connection, _: Any, listen: str, module: str, options: dict[str, Any]) -> None:
    from holdfast.definitions import registry
    from holdfast.serving import log_to_stderr, wait_for_signal
    from runtime_service.server import serve
    from runtime_service.settings import RuntimeSettings

    async def run() -> None:
        registry.load(module)
        running = await serve(RuntimeSettings(listen=listen, **options), registry)
        ready.send(running.address)
        await wait_for_signal()
        await running.drain()

    log_to_stderr()
    os.environ["HOLDFAST_STORE_ADDRESS"] = options["store"]
    asyncio.run(run())
