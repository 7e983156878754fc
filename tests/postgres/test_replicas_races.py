"""Two replicas do the same thing in the same instant: exactly one of them did it, and the other knows."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from holdfast.refusal import Refusal
from holdfast.v1 import event_pb2
from store_service.engines.contract import Engine, MessageQuery, Transaction
from store_service.rules import expiry, queue
from store_service.rules.append import Append, append
from store_service.rules.needs import of_append
from tests.postgres.conftest import OpenReplica
from tests.rules import book as write
from tests.rules.book import NOW

ROUNDS = 12


async def send(engine: Engine, run_id: str, *events: event_pb2.Event, now_ms: int = NOW, **fields: Any) -> Any:
    request = Append(run_id=run_id, events=events, **fields)
    return await engine.write(lambda tx: append(tx, request, now_ms), of_append(request))


async def outcomes(*calls: Any) -> list[str]:
    """Make calls at once; returns "done" or the reason of the refusal for each."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    return sorted(answer.reason if isinstance(answer, Refusal) else _done(answer) for answer in answers)


def _done(answer: Any) -> str:
    if isinstance(answer, BaseException):
        raise answer
    return "done"


async def test_of_two_replicas_that_create_one_run_one_wins(replica: OpenReplica) -> None:
    engines = [await replica(), await replica()]
    for number in range(ROUNDS):
        created = (send(engine, f"run_{number}", write.run_created()) for engine in engines)
        assert await outcomes(*created) == ["RUN_EXISTS", "done"]


async def test_of_two_runs_that_claim_a_token_at_once_exactly_one_wins(replica: OpenReplica) -> None:
    engines = [await replica(), await replica()]
    for number in range(ROUNDS):
        runs = [f"run_{number}_{name}" for name in "ab"]
        for run_id in runs:
            await send(engines[0], run_id, write.run_created(), write.run_started())
        claims = (
            send(engine, run_id, write.hook_created(token=f"token {number}"))
            for engine, run_id in zip(engines, runs, strict=True)
        )
        assert await outcomes(*claims) == ["HOOK_TOKEN_CONFLICT", "done"]


async def test_a_token_that_both_found_free_is_never_taken_from_who_got_it(replica: OpenReplica) -> None:
    engines = [await replica(), await replica()]
    runs = ["run_a", "run_b"]
    for run_id in runs:
        await send(engines[0], run_id, write.run_created(), write.run_started())
    both_looked = threading.Barrier(2)
    tries: list[str] = []

    def claiming(run_id: str) -> Callable[[Transaction], object]:
        def unit(tx: Transaction) -> object:
            tries.append(run_id)
            is_free = tx.token("token") is None
            if tries.count(run_id) == 1:
                assert is_free
                both_looked.wait(20)
            return append(tx, Append(run_id=run_id, events=[write.hook_created(token="token")]), NOW)

        return unit

    claims = (engine.write(claiming(run_id)) for engine, run_id in zip(engines, runs, strict=True))
    assert await outcomes(*claims) == ["HOOK_TOKEN_CONFLICT", "done"]
    assert len(tries) == 3, "one of them ran again, and found it taken"


async def test_a_request_that_comes_to_two_replicas_at_once_is_written_once(replica: OpenReplica) -> None:
    engines = [await replica(), await replica()]
    await send(engines[0], "run_1", write.run_created(), write.run_started(), write.hook_created(token="t"))
    for number in range(ROUNDS):
        fact = write.hook_received()
        both = [send(engine, "run_1", fact, request_id=f"request {number}") for engine in engines]
        answers = await asyncio.gather(*both)
        assert sorted(answer.deduplicated for answer in answers) == [False, True]
        assert len({answer.events[0].event_id for answer in answers}) == 1
    row = await engines[0].read(lambda reader: reader.run("run_1"))
    assert row is not None and row.head_seq == 3 + ROUNDS


async def test_a_key_sent_through_two_replicas_at_once_waits_once(replica: OpenReplica) -> None:
    engines = [await replica(), await replica()]

    def sending(key: str) -> Callable[[Transaction], tuple[str, bool]]:
        return lambda tx: queue.enqueue(tx, write.message(key), NOW)

    for number in range(ROUNDS):
        sent = await asyncio.gather(*(engine.write(sending(f"key {number}")) for engine in engines))
        assert sorted(is_known for _, is_known in sent) == [False, True]
        assert len({message_id for message_id, _ in sent}) == 1
    waiting = await engines[0].read(lambda reader: reader.messages(MessageQuery(queue="mail", limit=100)))
    assert len(waiting) == ROUNDS


async def test_a_log_written_through_three_replicas_at_once_is_dense_and_its_times_rise(replica: OpenReplica) -> None:
    engines = [await replica() for _ in range(3)]
    await send(engines[0], "run_1", write.run_created(), write.run_started(), write.hook_created(token="t"))
    # Their clocks differ by an hour either way.
    facts = (
        send(engine, "run_1", write.hook_received(), now_ms=NOW + skew_ms)
        for _ in range(20)
        for engine, skew_ms in zip(engines, (-3_600_000, 0, 3_600_000), strict=True)
    )
    await asyncio.gather(*facts)
    rows = await engines[0].read(lambda reader: reader.events("run_1", limit=100))
    assert [row.seq for row in rows] == list(range(1, 64))
    assert all(later.at > earlier.at for earlier, later in pairwise(rows))


async def test_an_expiry_swept_by_every_replica_happens_once(replica: OpenReplica) -> None:
    engines = [await replica() for _ in range(3)]
    created = write.run_created()
    created.run_created.timeout.FromMilliseconds(1_000)
    for number in range(30):
        await send(engines[0], f"run_{number}", created, write.run_started())
        hook = write.hook_created(token=f"t{number}")
        hook.hook_created.expire_time.FromMilliseconds(NOW + 500)
        await send(engines[0], f"run_{number}", hook)

    async def sweep(engine: Engine, now_ms: int) -> int:
        total = 0
        while count := await engine.write(lambda tx: expiry.expire_due(tx, now_ms, 7)):
            total += count
        return total

    assert sum(await asyncio.gather(*(sweep(engine, NOW + 600) for engine in engines))) == 30
    assert sum(await asyncio.gather(*(sweep(engine, NOW + 1_500) for engine in engines))) == 30
    for number in range(30):
        rows = await engines[0].read(lambda reader, run_id=f"run_{number}": reader.events(run_id, limit=9))
        kinds = [event_pb2.EventType.Name(row.kind) for row in rows]
        assert kinds[3:] == ["EVENT_TYPE_HOOK_DISPOSED", "EVENT_TYPE_RUN_FAILED"]


async def test_two_batches_that_want_the_same_runs_do_not_wait_in_a_circle(replica: OpenReplica) -> None:
    engines = [await replica(writers=2), await replica(writers=2)]
    runs = [f"run_{number}" for number in range(6)]
    for run_id in runs:
        await send(engines[0], run_id, write.run_created(), write.run_started(), write.hook_created(token=run_id))
    # One sends to the runs in order, the other backwards, many at once: each batch holds what the other wants.
    facts = [
        send(engine, run_id, write.hook_received())
        for _ in range(15)
        for engine, order in zip(engines, (runs, runs[::-1]), strict=True)
        for run_id in order
    ]
    await asyncio.wait_for(asyncio.gather(*facts), 20)
    for run_id in runs:
        row = await engines[0].read(lambda reader, run_id=run_id: reader.run(run_id))
        assert row is not None and row.head_seq == 33
