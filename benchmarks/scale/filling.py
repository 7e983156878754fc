"""Fills a store with very many runs, through the rules that would have written them one by one.

Owns what those runs look like. Every run is appended by ``rules.append`` inside a unit of the engine, hundreds in one
commit; nothing goes past the rules, so an audit holds and every index has its rows. The runs are the same every time.
It must not be used on a database that somebody needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from holdfast.v1 import event_pb2, payload_pb2, queue_service_pb2
from store_service.engines.contract import Engine, Needs, Reader, RunQuery, Transaction
from store_service.rules import clock, leases
from store_service.rules.append import Append, append
from store_service.rules.audit import audit_run

Event = event_pb2.Event

#: Runs of one commit, and commits under way at once (an engine with lanes uses as many).
_RUNS_A_UNIT: Final = 250
_UNITS_AT_ONCE: Final = 3

#: The first finished run was created then, each of the others two seconds after the one before.
FIRST_MS: Final = 1_700_000_000_000
APART_MS: Final = 2_000

COMPLETED, FAILED, CANCELLED = "completed", "failed", "cancelled"

#: Runs that have this one as parent: every tenth.
PARENT: Final = "run_parent"


def workflow_of(number: int) -> str:
    """Half of the runs are orders, one in a thousand is an audit, the others are twenty workflows."""
    if number % 1_000 == 999:
        return "audits"
    return "orders" if number % 2 == 0 else f"shop-{number % 20}"


def end_of(number: int) -> str:
    """One in ten failed; one in fifty was cancelled, never one of the orders."""
    if number % 50 == 7:
        return CANCELLED
    return FAILED if number % 10 == 3 or number % 20 == 4 else COMPLETED


def attributes_of(number: int) -> dict[str, str]:
    """A region that most runs share, a customer that a thousandth has."""
    return {"region": "eu" if number % 4 else "us", "customer": f"c-{number % 1_000}"}


def run_id_of(number: int) -> str:
    return f"run_{number:09d}"


async def fill_finished(engine: Engine, count: int) -> None:
    """Write ``count`` runs that ended, oldest first."""
    await _in_units(engine, range(count), _finish)


async def fill_sleeping(engine: Engine, numbers: range, due_ms: Callable[[int], int], now_ms: int) -> None:
    """Write runs of the workflow ``doze`` as a runtime leaves them that let them go: run ``number`` sleeps until
    ``due_ms(number)``, and its wake message waits in the queue until then."""
    await _in_units(engine, numbers, lambda tx, number: _put_to_sleep(tx, number, due_ms(number), now_ms))


async def broken_laws(engine: Engine, count: int) -> list[str]:
    """Audit ``count`` of the runs, spread over all of them by age, and return what is wrong with any."""
    return await engine.read(lambda reader: _audit(reader, count))


async def _in_units(engine: Engine, numbers: range, write_one: Callable[[Transaction, int], None]) -> None:
    units = iter([numbers[start : start + _RUNS_A_UNIT] for start in range(0, len(numbers), _RUNS_A_UNIT)])

    async def keep_writing() -> None:
        for some in units:

            def unit(tx: Transaction, some: range = some) -> None:
                for number in some:
                    write_one(tx, number)

            await engine.write(unit, Needs(run_id=run_id_of(some[0])))

    await asyncio.gather(*(keep_writing() for _ in range(_UNITS_AT_ONCE)))


def _finish(tx: Transaction, number: int) -> None:
    created = event_pb2.RunCreated(
        workflow_name=workflow_of(number),
        input=payload_pb2.Payload(text=f'["order-{number}",250]', metadata={"args": "positional"}),
        attributes=attributes_of(number),
        parent_run_id=PARENT if number % 10 == 1 else "",
        wake_queue="runs",
    )
    events = [Event(run_created=created), Event(run_started=event_pb2.RunStarted(runtime_id="rt-1")), _end(number)]
    append(tx, Append(run_id_of(number), events), FIRST_MS + number * APART_MS)


def _end(number: int) -> Event:
    end = end_of(number)
    if end == COMPLETED:
        return Event(run_completed=event_pb2.RunCompleted(output=payload_pb2.Payload(text='{"paid":true}')))
    if end == FAILED:
        return Event(run_failed=event_pb2.RunFailed(failure=payload_pb2.Failure(type="Refused", message="no money")))
    return Event(run_cancelled=event_pb2.RunCancelled(reason="not wanted any more"))


def _put_to_sleep(tx: Transaction, number: int, due_ms: int, now_ms: int) -> None:
    """What ``doze`` and the runtime that began it write: created, started and asleep, then given back until due."""
    seconds = (due_ms - now_ms) / 1000
    created = event_pb2.RunCreated(
        workflow_name="doze",
        input=payload_pb2.Payload(text=f"[{seconds}]", metadata={"args": "positional"}),
        wake_queue="runs",
    )
    run_id = run_id_of(number)
    born = append(tx, Append(run_id, [Event(run_created=created)], lease_wake_ms=15_000), now_ms)
    assert born.wake_lease is not None
    started = Event(
        run_started=event_pb2.RunStarted(runtime_id="rt-1"), writer="rt-1", occur_time=clock.to_timestamp(now_ms)
    )
    asleep = Event(correlation_id="wait_#1", wait_created=event_pb2.WaitCreated(resume_time=clock.to_timestamp(due_ms)))
    receipt = born.wake_lease.receipt
    append(tx, Append(run_id, [started, asleep], state_updated_at=now_ms, held_receipts=[receipt]), now_ms)
    wish = leases.GiveBack(queue_service_pb2.NACK_ACTION_RELEASE, delay_ms=due_ms - now_ms)
    leases.nack_many(tx, [receipt], wish, now_ms)


def _audit(reader: Reader, count: int) -> list[str]:
    page = reader.runs(RunQuery(limit=1, descending=True)) + reader.runs(RunQuery(limit=1, descending=False))
    newest, oldest = page[0].create_ms, page[-1].create_ms
    found = []
    for number in range(count):
        since = oldest + (newest - oldest) * number // max(1, count)
        for row in reader.runs(RunQuery(limit=1, descending=False, create_from_ms=since)):
            found += [f"{row.run_id}: {finding}" for finding in audit_run(reader, row).findings]
    return found
