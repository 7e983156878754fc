"""The stage of a hazard: one store and any runtimes as real processes, and the folder that steps mark.

Everything started here is killed at the end. Waiting for another process is a look in short intervals with a deadline
(`eventually`); waiting for a run is a watch of its log.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.checkers.log_audit import audit_file
from tests.hazards.hazard_workflows import marks
from tests.storms import services
from tests.storms.store_calls import Event, StoreCalls

MODULE = "tests.hazards.hazard_workflows"

#: Length of a lease on the stage, in seconds.
LEASE_SECONDS = 1.0

#: After this long something that should happen has not.
PATIENCE_SECONDS = 20.0


class Stage:
    """See the module. ``folder`` is shared with steps; ``calls`` is a channel to the store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = services.store(folder)
        self.calls: StoreCalls = None  # type: ignore[assignment]
        self._runtimes: list[services.Service] = []

    async def begin(self, fault: services.Fault | None = None) -> None:
        """Start the store."""
        await self.store.start(fault)
        self.calls = StoreCalls(self.store.address)

    async def end(self) -> None:
        """Kill everything, and audit what is left."""
        for runtime in self._runtimes:
            await runtime.kill()
        await self.store.kill()
        if self.calls is not None:
            await self.calls.__aexit__()
        assert (await audit_file(self.folder / "store.db")).findings == []

    async def runtime(self, *, fault: services.Fault | None = None, **settings: Any) -> services.Service:
        """Start one more runtime."""
        name = f"runtime{len(self._runtimes)}"
        runtime = services.runtime(self.folder, self.store.address, name, MODULE, **settings)
        self._runtimes.append(runtime)
        await runtime.start(fault)
        return runtime

    async def start(self, run_id: str, workflow_name: str, *arguments: Any) -> None:
        """Create a run of ``hazard.<workflow_name>``."""
        await self.calls.create_run(run_id, f"hazard.{workflow_name}", *arguments)

    async def ended(self, run_id: str) -> list[Event]:
        """Wait for the end of a run; returns its log."""
        return await self.calls.ended(run_id, PATIENCE_SECONDS)

    def allow(self, name: str = "go") -> None:
        """Let gated steps go on."""
        (self.folder / name).touch()

    @property
    def marks(self) -> list[str]:
        """What steps marked so far."""
        return marks(self.folder)

    async def marked(self, beginning: str) -> str:
        """Wait for a mark that begins like this and return it."""

        async def look() -> str:
            return next((it for it in self.marks if it.startswith(beginning)), "")

        return str(await eventually(look, f"no step marked {beginning!r}"))


async def eventually(look: Callable[[], Awaitable[Any]], otherwise: str) -> Any:
    """Look until something true is seen, and return it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := await look()):
        assert time.monotonic() < deadline, otherwise
        await asyncio.sleep(0.02)
    return found
