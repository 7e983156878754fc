"""One service as a child process: start it, learn its address, stop it or kill it.

A service prints one line "… listening on HOST:PORT …" once it serves; that line is the readiness signal and, with
port 0, the only way to know the port. Used by `holdfast dev` and by the demo in ``examples/audit``.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from collections.abc import Callable, Sequence
from typing import IO, Final

_LISTENING: Final = re.compile(r"listening on (\S+)")

#: Seconds a service may take to serve, and to drain before it is killed.
READY_SECONDS: Final = 30.0
DRAIN_SECONDS: Final = 15.0


class ServiceEnded(Exception):
    """A service ended instead of serving. ``exit_code`` is that of the process, negative when a signal ended it."""

    def __init__(self, name: str, exit_code: int) -> None:
        super().__init__(f"the {name} ended with exit code {exit_code} before it served")
        self.exit_code = exit_code


class Service:
    """A running child process that serves at ``address``. Create it with ``start``."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, echo: Callable[[str], None]) -> None:
        self.name = name
        self.address = ""
        #: The line that it said when it served.
        self.greeting = ""
        self._process = process
        self._echo = echo
        self._is_serving = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str],
        *,
        echo: Callable[[str], None] = lambda line: None,
        errors: IO[bytes] | None = None,
    ) -> Service:
        """Start a service and wait until it serves; ``echo`` gets its output, line by line, ``errors`` its stderr.

        Raises ServiceEnded when it ends first, or when it does neither in READY_SECONDS and is killed.
        """
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=errors)
        service = cls(name, process, echo)
        try:
            async with asyncio.timeout(READY_SECONDS):
                await service._wait_until_serving()
        except TimeoutError:
            raise ServiceEnded(name, await service.kill()) from None
        except BaseException:
            await service.kill()
            raise
        return service

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait for the end of the process and return its exit code."""
        return await self._process.wait()

    async def stop(self) -> int:
        """Ask the process to drain and end; kill it when it takes too long. Returns the exit code."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                return await self.wait()
        return await self.kill()

    async def kill(self) -> int:
        """End the process at once, as a power cut would."""
        self._signal(signal.SIGKILL)
        code = await self.wait()
        await self._reading
        return code

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _wait_until_serving(self) -> None:
        serving = asyncio.create_task(self._is_serving.wait())
        try:
            await asyncio.wait([serving, self._reading], return_when=asyncio.FIRST_COMPLETED)
        finally:
            serving.cancel()
        if not self._is_serving.is_set():
            raise ServiceEnded(self.name, await self.wait())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            line = raw.decode(errors="replace").rstrip()
            if not self._is_serving.is_set() and (found := _LISTENING.search(line)):
                self.address, self.greeting = found[1], line
                self._is_serving.set()
            self._echo(line)
