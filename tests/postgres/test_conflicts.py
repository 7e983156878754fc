"""Writers in each other's way: tried again, at last told so, and nobody waits for one that stands still."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import psycopg
import pytest

from holdfast.refusal import Refusal
from store_service.engines.contract import Engine, Transaction
from store_service.engines.postgres.connection import Patience
from tests.conformance import samples
from tests.postgres.conftest import OpenReplica

DEADLINE_S = 20


async def put_runs(engine: Engine, *run_ids: str) -> None:
    await engine.write(lambda tx: [tx.put_run(samples.run(run_id)) for run_id in run_ids])


async def test_a_run_that_somebody_never_lets_go_of_is_a_write_conflict(
    replica: OpenReplica, postgres_url: str
) -> None:
    engine = await replica(patience=Patience(lock_ms=40))
    await put_runs(engine, "run_1", "run_2")
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT 1 FROM runs WHERE run_id = 'run_1' FOR UPDATE")
        with pytest.raises(Refusal) as caught:
            await engine.write(lambda tx: tx.put_head(samples.run("run_1", head_seq=2)))
        assert caught.value.reason == "WRITE_CONFLICT"
        assert await engine.read(lambda reader: reader.run("run_1")) == samples.run("run_1")
        await engine.write(lambda tx: tx.put_head(samples.run("run_2", head_seq=2)))
    await engine.write(lambda tx: tx.put_head(samples.run("run_1", head_seq=2)))


async def test_a_conflict_harms_no_other_unit_of_its_batch(replica: OpenReplica, postgres_url: str) -> None:
    engine = await replica(patience=Patience(lock_ms=40))
    await put_runs(engine, *(f"run_{number}" for number in range(6)))
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT 1 FROM runs WHERE run_id = 'run_3' FOR UPDATE")
        writes = (
            engine.write(lambda tx, it=f"run_{number}": tx.put_head(samples.run(it, head_seq=2))) for number in range(6)
        )
        answers = await asyncio.gather(*writes, return_exceptions=True)
    refused = [number for number, answer in enumerate(answers) if isinstance(answer, Refusal)]
    assert refused == [3]


async def test_two_units_that_wait_for_each_other_both_succeed(replica: OpenReplica) -> None:
    """Each holds a run and wants the other's: the database ends one of them, which is tried again."""
    engines = [await replica(), await replica()]
    await put_runs(engines[0], "run_1", "run_2")
    both_hold = threading.Barrier(2)
    tries: list[str] = []

    def unit(first: str, second: str) -> Callable[[Transaction], None]:
        def cross(tx: Transaction) -> None:
            tries.append(first)
            assert tx.run(first) is not None
            if tries.count(first) == 1:
                both_hold.wait(DEADLINE_S)
            row = tx.run(second)
            assert row is not None
            tx.put_head(samples.run(second, head_seq=row.head_seq + 1))

        return cross

    crossing = (
        engine.write(unit(*runs))
        for engine, runs in zip(engines, (("run_1", "run_2"), ("run_2", "run_1")), strict=True)
    )
    await asyncio.wait_for(asyncio.gather(*crossing), DEADLINE_S)
    assert len(tries) == 3, "one of them ran again"
    for run_id in ("run_1", "run_2"):
        row = await engines[0].read(lambda reader, it=run_id: reader.run(it))
        assert row is not None and row.head_seq == 2


async def test_a_store_that_stands_still_inside_a_transaction_holds_up_others_no_longer_than_its_patience(
    replica: OpenReplica,
) -> None:
    """As with SIGSTOP: it holds the run, and wakes up when its transaction is gone. Its unit runs again."""
    still, other = await replica(patience=Patience(idle_ms=300)), await replica()
    await put_runs(other, "run_1")
    holds, wakes_up = threading.Event(), threading.Event()
    seen: list[int] = []

    def standing(tx: Transaction) -> None:
        row = tx.run("run_1")
        assert row is not None
        seen.append(row.head_seq)
        holds.set()
        assert wakes_up.wait(DEADLINE_S)
        tx.put_head(samples.run("run_1", head_seq=row.head_seq + 1))

    standing_still = asyncio.ensure_future(still.write(standing))
    await asyncio.to_thread(holds.wait, DEADLINE_S)
    began = time.monotonic()
    await other.write(lambda tx: tx.put_head(samples.run("run_1", head_seq=tx.run("run_1").head_seq + 1)))  # type: ignore[union-attr]
    assert time.monotonic() - began < 4
    wakes_up.set()
    await asyncio.wait_for(standing_still, DEADLINE_S)
    assert seen == [1, 2], "what it had read was out of date, so it read again"
    row = await other.read(lambda reader: reader.run("run_1"))
    assert row is not None and row.head_seq == 3
