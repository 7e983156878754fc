"""libfaketime sets the wall of a real store and a real runtime while they run: from outside, for all of a process.

``walls.py`` gives the two clocks of the services another wall; here nobody is asked: every reading of the system's
wall, whoever makes it, is another. The monotonic clock is left alone (FAKETIME_DONT_FAKE_MONOTONIC), as on a machine
whose time is set; faked as well, it makes gRPC hang for seconds. Skipped where Debian's `faketime` is not installed.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from holdfast import Client
from holdfast.v1 import store_service_pb2
from tests.support.runtime import RuntimeProcess
from tests.support.store import StoreClient, StoreProcess

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)

WALLS = ("+1h", "-1h", "+3650d", "+0")

NAP_SECONDS = 1.0
NAP_IS_LATE_SECONDS = 10.0


class Walls:
    """The walls of processes that run under libfaketime, read from a file."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "wall"
        self.set("+0")
        self.environment = {
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
        }

    def set(self, wall: str) -> None:
        """Set all walls this far from the real one."""
        following = self._file.with_suffix(".next")
        following.write_text(f"{wall}\n")
        # At once: a reading of a file that is half written fails, and so does the caller's clock.
        following.replace(self._file)


async def pace(client: StoreClient) -> float:
    """Return how fast the store's clock goes, measured over a second."""
    began, from_ms = time.monotonic(), await store_ms(client)
    await asyncio.sleep(1)  # what passes is what is measured
    return (await store_ms(client) - from_ms) / 1000 / (time.monotonic() - began)


async def store_ms(client: StoreClient) -> int:
    info = await client.events.GetStoreInfo(store_service_pb2.GetStoreInfoRequest())
    return int(info.server_time.ToMilliseconds())


@pytest.mark.slow
@pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed: apt install faketime")
async def test_runs_go_on_and_no_sleep_is_early_while_the_wall_of_whole_processes_is_set(tmp_path: Path) -> None:
    walls = Walls(tmp_path)
    store = StoreProcess(tmp_path / "store.db", **walls.environment)
    try:
        options = ("--http", "", "--lease", "2s")
        async with (
            StoreClient(store.address) as calls,
            RuntimeProcess(
                tmp_path, "tests.soak.workflows", store=store.address, options=options, **walls.environment
            ) as runtime,
            Client(runtime.address) as client,
        ):
            for wall in WALLS:
                walls.set(wall)
                began = time.monotonic()
                run = await client.start("soak.nap", 1)
                assert await run.result(timeout=f"{NAP_IS_LATE_SECONDS:.0f}s") == 2
                # By real time a sleep may be shorter by what the store's clock catches up: a tenth.
                assert time.monotonic() - began >= NAP_SECONDS * 0.9, wall
                if wall == "+1h":
                    assert await pace(calls) > 1.04, "the wall of the store was not set: nothing was tried"
    finally:
        store.close()
