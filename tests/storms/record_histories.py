"""Records histories for the replay oracle: `python -m tests.storms.record_histories DIRECTORY`.

Each is the log of a real run through real services, disturbed or not. It never overwrites: a recorded history stays
as it is for good.
"""

from __future__ import annotations

import asyncio
import random
import socket
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from google.protobuf import json_format

from tests.storms import services
from tests.storms.faults import KilledAtAppend
from tests.storms.senders import Senders
from tests.storms.store_calls import Event, StoreCalls

SECONDS = 120.0

#: Deaths of the run whose runtimes are killed: each runtime after its second append, so that the run gets on.
DEATHS = 10

#: Branches, rounds and seconds of a round of the recorded ledgers.
LEDGER = (8, 6, 0.1)

#: Names of this machine have no place in a file that is kept.
_ROOT = f"{Path(__file__).parents[2]}/"


def write(path: Path, log: list[Event]) -> None:
    """Write a log, one proto-JSON event a line. Raises FileExistsError."""
    with path.open("x") as file:
        for event in log:
            line = json_format.MessageToJson(event, indent=None).replace(_ROOT, "")
            file.write(line.replace(socket.gethostname(), "host") + "\n")


async def everything_undisturbed(folder: Path) -> list[Event]:
    async with (
        services.store(folder) as store,
        services.runtime(folder, store.address),
        StoreCalls(store.address) as calls,
    ):
        await calls.create_run("run_undisturbed", "storm.everything")
        return await calls.ended("run_undisturbed", SECONDS)


async def everything_runtimes_killed(folder: Path) -> list[Event]:
    async with services.store(folder) as store, StoreCalls(store.address) as calls:
        await calls.create_run("run_killed", "storm.everything")
        for number in range(DEATHS):
            runtime = services.runtime(folder, store.address, lease="500ms")
            await runtime.start(KilledAtAppend(2, "after" if number % 2 else "before"))
            await runtime.died.wait()
        async with services.runtime(folder, store.address):
            return await calls.ended("run_killed", SECONDS)


async def ledger_quiet(folder: Path) -> list[Event]:
    return await _ledger(folder, "run_quiet", freezes=0)


async def ledger_frozen(folder: Path) -> list[Event]:
    return await _ledger(folder, "run_frozen", freezes=2)


async def _ledger(folder: Path, run_id: str, freezes: int) -> list[Event]:
    """Record a ledger whose holder is frozen ``freezes`` times; then another runtime starts and takes over."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(services.store(folder))
        calls = await stack.enter_async_context(StoreCalls(store.address))
        holder = await stack.enter_async_context(services.runtime(folder, store.address, "runtime0"))
        senders = Senders(calls, [holder.address], random.Random(run_id), LEDGER[-1])
        sending = asyncio.create_task(senders.run())
        await calls.create_run(run_id, "storm.ledger", *LEDGER)
        ended = asyncio.create_task(calls.ended(run_id, SECONDS))
        frozen = []
        for number in range(1, freezes + 1):
            await asyncio.sleep(0.25)
            holder.freeze()
            frozen.append(holder)
            holder = await stack.enter_async_context(services.runtime(folder, store.address, f"runtime{number}"))
            await asyncio.sleep(1.2)
        log = await ended
        sending.cancel()
        for runtime in frozen:
            runtime.thaw()
        await senders.finish()
        return log


RECORDED = (everything_undisturbed, everything_runtimes_killed, ledger_quiet, ledger_frozen)


async def record(directory: Path) -> None:
    """Record every history that is not there yet."""
    for make in RECORDED:
        path = directory / f"{make.__name__.replace('_', '-')}.jsonl"
        if not path.exists():
            with tempfile.TemporaryDirectory() as folder:
                write(path, await make(Path(folder)))
            print(path)


if __name__ == "__main__":
    asyncio.run(record(Path(sys.argv[1])))
