"""Ways to crash: every place of a kind, one after the other, until a run ends before the place is reached.

Owns the enumeration. A schedule names a victim and a fault for each place 1, 2, 3, …; lanes work side by side, each
with a store of its own, and lane n takes every place n + lanes * i. After each crash the victim is started again,
clean, and the run must end as if nothing had been; at the end of a lane the whole store is audited. Read
``client.py`` for the runs, ``mixed.py`` for crashes of both at random places.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

from holdfast.errors import HoldfastError
from tests.checkers.log_audit import audit_database
from tests.crash import client
from tests.crash.faults import Call, KilledAtPostgresCommit, KilledInStep, Traced
from tests.crash.outcome import Outcome, Tally
from tests.storms import services
from tests.storms.faults import KilledAtAppend, KilledAtCommit, When
from tests.storms.services import Fault, Service
from tests.storms.store_calls import Event, StoreCalls
from tests.support.postgres import PostgresServer

#: The fault of a place; told the database that it is about.
FaultAt = Callable[[Path, int], Fault]

#: Pages of the WAL before a checkpoint: so few that every run dies inside one too.
CHECKPOINT_PAGES = 30


@dataclass(frozen=True, slots=True)
class Schedule:
    """One way to crash. ``alone``: no runtime, a client writes; ``is_long``: only for a night."""

    name: str
    victim: Literal["store", "runtime"]
    fault: FaultAt
    alone: bool = False
    needs_strace: bool = False
    on_postgres: bool = False
    is_long: bool = False


def _at_call(call: Call) -> FaultAt:
    return lambda database, place: Traced(database, call, place, checkpoint_pages=CHECKPOINT_PAGES)


def _on_postgres(when: When) -> Schedule:
    name = f"store on PostgreSQL killed {when} each commit"
    return Schedule(name, "store", lambda _, place: KilledAtPostgresCommit(place, when), on_postgres=True)


SCHEDULES: tuple[Schedule, ...] = (
    Schedule("store killed at each write", "store", _at_call("pwrite64"), alone=True, needs_strace=True),
    Schedule("store killed at each sync", "store", _at_call("fdatasync"), alone=True, needs_strace=True),
    Schedule("store killed at each sync, runtime alive", "store", _at_call("fdatasync"), needs_strace=True),
    Schedule(
        "store killed at each write, runtime alive", "store", _at_call("pwrite64"), needs_strace=True, is_long=True
    ),
    Schedule("store killed before each commit", "store", lambda _, place: KilledAtCommit(place, "before")),
    Schedule("store killed after each commit", "store", lambda _, place: KilledAtCommit(place, "after")),
    _on_postgres("before"),
    _on_postgres("after"),
    Schedule("runtime killed before each batch", "runtime", lambda _, place: KilledAtAppend(place, "before")),
    Schedule("runtime killed after each batch", "runtime", lambda _, place: KilledAtAppend(place, "after")),
    Schedule("runtime killed as each step begins", "runtime", lambda _, place: KilledInStep(place, "before")),
    Schedule("runtime killed as each step has ended", "runtime", lambda _, place: KilledInStep(place, "after")),
)


async def enumerate_places(
    schedule: Schedule, folder: Path, lanes: int, stride: int = 1, server: PostgresServer | None = None
) -> Tally:
    """Crash at every ``stride``-th place of a schedule; ``folder`` is empty and stays, for who looks closer.

    ``server`` is for schedules on PostgreSQL.
    """
    tally = Tally(schedule.name)
    began = time.monotonic()
    places = [count(1 + lane * stride, lanes * stride) for lane in range(lanes)]
    paths = [folder / f"lane{lane}" for lane in range(lanes)]
    await asyncio.gather(*(_lane(schedule, *it, tally, server) for it in zip(paths, places, strict=True)))
    tally.seconds = time.monotonic() - began
    return tally


async def _lane(
    schedule: Schedule, path: Path, places: Iterable[int], tally: Tally, server: PostgresServer | None
) -> None:
    with ExitStack() as databases:
        file = path.with_suffix(".db")
        url = databases.enter_context(server.database()) if schedule.on_postgres and server else f"sqlite:///{file}"
        runs = await _crash_at(schedule, path, url, places, tally)
        tally.outcomes.append(await audited(url, runs))


async def _crash_at(schedule: Schedule, path: Path, url: str, places: Iterable[int], tally: Tally) -> int:
    """Crash at one place after the other; returns how many runs lived through it."""
    runs = 0
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(services.store(path.parent, path.name, database=url))
        calls = await stack.enter_async_context(StoreCalls(store.address))
        runtime = services.runtime(path.parent, store.address, f"{path.name}-runtime")
        if not schedule.alone:
            await stack.enter_async_context(runtime)
        victim = store if schedule.victim == "store" else runtime
        for place in places:
            await victim.kill()
            await victim.start(schedule.fault(path.with_suffix(".db"), place))
            runs += 1
            was_killed, outcome = await _one(schedule, victim, calls, place)
            tally.outcomes.append(outcome)
            tally.crashes += was_killed
            if not was_killed:
                break
    return runs


async def _one(schedule: Schedule, victim: Service, calls: StoreCalls, place: int) -> tuple[bool, Outcome]:
    write = client.write_life if schedule.alone else client.run_everything
    wrong_with = client.wrong_with_life if schedule.alone else client.wrong_with_everything
    where = f"{schedule.name}, place {place}"
    crash = asyncio.create_task(_died_at(victim))
    run = asyncio.create_task(write(calls, f"run_{place}"))
    await asyncio.wait({crash, run}, return_when=asyncio.FIRST_COMPLETED)
    if was_killed := crash.done():
        await victim.start()
    crash.cancel()
    return was_killed, await judged(where, run, wrong_with, crash.result() if was_killed else None)


async def judged(
    where: str,
    run: Awaitable[list[Event]],
    wrong_with: Callable[[list[Event]], Iterator[str]],
    died_at: float | None,
) -> Outcome:
    """Wait for a run and return its outcome; ``died_at`` is the wall time of the last crash."""
    try:
        log = await run
    except TimeoutError:
        return Outcome(where, is_stuck=True)
    except HoldfastError as error:
        return Outcome(where, findings=(f"a call was refused: {error!r}",))
    return Outcome(where, findings=tuple(wrong_with(log)), recovery_seconds=_recovery(log, died_at))


async def audited(url: str, runs: int) -> Outcome:
    """Audit the database of a store that was stopped."""
    audit = await audit_database(url)
    findings = [*audit.findings, *(f"left in the queue: {message}" for message in audit.messages)]
    if len(audit.logs) != runs:
        findings.append(f"it holds {len(audit.logs)} runs, {runs} were acknowledged")
    return Outcome(f"audit of {url}", findings=tuple(findings))


async def _died_at(victim: Service) -> float:
    await victim.died.wait()
    return time.time()


def _recovery(log: list[Event], died_at: float | None) -> float | None:
    if died_at is None:
        return None
    after = (at for event in log if (at := event.create_time.ToMilliseconds() / 1000) > died_at)
    first = next(after, None)
    return None if first is None else first - died_at
