"""Runtimes for tests: one in this process, and one that is a real process which can be killed, paused and restarted.

Both serve on a real port and work with the store at the given address. The process prints its address when it serves;
that line is what `start` waits for. Its stderr is kept and shown when something goes wrong. The methods of the process
block: from a test with a store in its own loop, use ``async with`` and ``asyncio.to_thread``.
"""

from __future__ import annotations

import asyncio
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import grpc
import grpc.aio

from holdfast.definitions import Registry
from holdfast.v1 import runtime_service_pb2_grpc
from runtime_service.server import RunningRuntime, serve
from runtime_service.settings import RuntimeSettings

#: Seconds that a process may take to serve or to end.
PROCESS_SECONDS = 30.0


def new_registry(*definitions: Any) -> Registry:
    """Build a registry of decorated functions, apart from the one of the process."""
    from holdfast.definitions import definition_of

    registry = Registry()
    for function in definitions:
        definition = definition_of(function)
        assert definition is not None, function
        registry.add(definition)
    return registry


@asynccontextmanager
async def running_runtime(store: str, *definitions: Any, **settings: Any) -> AsyncIterator[RunningRuntime]:
    """Serve these workflows and steps in this process; drains at the end, with no time for steps that still run."""
    options = {"listen": "127.0.0.1:0", "store": store, "lease": "2s", "drain_seconds": 0, **settings}
    runtime = await serve(RuntimeSettings(**options), new_registry(*definitions))
    try:
        yield runtime
    finally:
        await runtime.drain()


@asynccontextmanager
async def runtime_stub(address: str) -> AsyncIterator[Any]:
    """Open a channel to a runtime and yield its stub."""
    async with grpc.aio.insecure_channel(address) as channel:
        yield runtime_service_pb2_grpc.RuntimeServiceStub(channel)


class RuntimeProcess:
    """`python -m runtime_service` as a child. ```address`` is known once it serves, and stays over restarts."""

    def __init__(
        self, folder: Path, *modules: str, store: str, options: Sequence[str] = (), **environment: str
    ) -> None:
        self._folder = folder
        self._modules = modules
        self._store = store
        self._options = tuple(options)
        self._environment = environment
        self._listen = "127.0.0.1:0"
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[str] = (folder / "runtime.err").open("a+")
        self.address = ""
        self.greeting = ""

    def __enter__(self) -> RuntimeProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._errors.close()

    async def __aenter__(self) -> RuntimeProcess:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.__exit__)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def errors(self) -> str:
        """What the process wrote to stderr so far."""
        self._errors.seek(0)
        return self._errors.read()

    def start(self) -> None:
        """Start the process and wait until it serves."""
        self.launch()
        self.wait_until_serving()

    def launch(self) -> None:
        """Start the process without waiting."""
        command = [sys.executable, "-m", "runtime_service", *self._modules, "--listen", self._listen]
        self._process = subprocess.Popen(
            [*command, "--store", self._store, *self._options],
            cwd=self._folder,
            env={**os.environ, **self._environment},
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def wait_until_serving(self) -> None:
        """Wait for the line that tells the address."""
        line = self._line(PROCESS_SECONDS)
        found = re.search(r"listening on (\S+)", line)
        assert found, f"the runtime said {line!r} instead of its address\n{self.errors}"
        self.address = self._listen = found[1]
        self.greeting = line

    def wait_for_log(self, text: str) -> None:
        """Wait until the process has logged a text."""
        until = time.monotonic() + PROCESS_SECONDS
        while text not in self.errors:
            assert time.monotonic() < until, f"{text!r} was not logged\n{self.errors}"
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL; nothing is flushed, nothing is given back."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(PROCESS_SECONDS)

    def pause(self) -> None:
        """SIGSTOP: the process is alive and does nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def terminate(self) -> int:
        """SIGTERM, then wait for the end of the drain; returns the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait for the end of the process; returns the exit code."""
        assert self._process is not None
        return self._process.wait(PROCESS_SECONDS)

    def restart(self) -> None:
        """Kill it and start it again on the same port."""
        self.kill()
        self.start()

    def read_line(self) -> str:
        """Wait for the next line that the process prints."""
        return self._line(PROCESS_SECONDS)

    def _line(self, seconds: float) -> str:
        assert self._process is not None and self._process.stdout is not None
        until = time.monotonic() + seconds
        ready, _, _ = select.select([self._process.stdout], [], [], max(0, until - time.monotonic()))
        assert ready, f"the runtime did not serve within {seconds} seconds\n{self.errors}"
        return self._process.stdout.readline()
