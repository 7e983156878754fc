"""What the store writes when time is over, and what deleting takes away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from holdfast.refusal import Refusal
from holdfast.v1 import entity_pb2, event_pb2, payload_pb2
from store_service.engines.contract import DeletedNote
from store_service.rules import clock, expiry, queue, retention
from tests.rules import book as write
from tests.rules.book import NOW, Book


async def expire(book: Book, now_ms: int, limit: int = 10) -> int:
    return await book.write(lambda tx: expiry.expire_due(tx, now_ms, limit))


async def log_of(book: Book, run_id: str) -> list[event_pb2.Event]:
    rows = await book.read(lambda reader: reader.events(run_id, limit=100))
    return [event_pb2.Event.FromString(row.body) for row in rows]


async def test_a_run_that_timed_out_fails_at_its_time_and_never_before(book: Book) -> None:
    await book.start(timeout={"seconds": 2})
    await book.append("run_1", write.hook_created())
    assert await expire(book, NOW + 1999) == 0
    assert await expire(book, NOW + 2500) == 1
    event = (await log_of(book, "run_1"))[-1]
    assert (event.type, event.origin) == (event_pb2.EVENT_TYPE_RUN_FAILED, event_pb2.EVENT_ORIGIN_STORE)
    assert event.run_failed.failure.category == payload_pb2.FAILURE_CATEGORY_TIMEOUT
    assert event.run_failed.failure.non_retryable
    assert event.occur_time.ToMilliseconds() == NOW + 2000
    row = await book.read(lambda reader: reader.run("run_1"))
    assert row is not None
    assert (row.status, row.expire_ms, row.out_of_band_seq) == (entity_pb2.RUN_STATUS_FAILED, None, 4)
    assert await book.read(lambda reader: reader.token("tok")) is None
    assert await expire(book, NOW + 9999) == 0


async def test_a_run_that_never_started_times_out_as_well(book: Book) -> None:
    await book.append("run_1", write.run_created(timeout={"seconds": 2}))
    assert await expire(book, NOW + 2000) == 1


async def test_a_hook_that_expired_closes_and_wakes_its_run(book: Book) -> None:
    await book.start(wake_queue="runs")
    [leased] = await book.write(lambda tx: queue.claim(tx, ["runs"], 1, 1000, NOW))
    expire_time = clock.to_timestamp(NOW + 50)
    snapshot = (await book.append("run_1", write.hook_created(expire_time=expire_time), state_seq=2)).run.guard
    assert await expire(book, NOW + 50) == 1
    event = (await log_of(book, "run_1"))[-1]
    assert (event.hook_disposed.reason, event.origin) == ("expired", event_pb2.EVENT_ORIGIN_STORE)
    await book.refused("STALE_SNAPSHOT", "run_1", write.run_completed(), state_updated_at=snapshot.head_at)
    await book.refused("ILLEGAL_TRANSITION", "run_1", write.hook_received())
    counts = await book.read(lambda reader: reader.queue_counts("runs", NOW + 50))
    assert counts is not None and (counts.leased, counts.ready) == (1, 1)
    assert leased.message.group == "run_1"


async def test_a_run_and_its_hook_due_together_end_once(book: Book) -> None:
    await book.start(timeout={"seconds": 1})
    await book.append("run_1", write.hook_created(expire_time=clock.to_timestamp(NOW + 10)))
    assert await expire(book, NOW + 1000) == 1
    assert [event.seq for event in await log_of(book, "run_1")] == [1, 2, 3, 4]


async def test_expiry_goes_on_in_pieces(book: Book) -> None:
    for number in range(5):
        await book.append(f"run_{number}", write.run_created(timeout={"seconds": 1}))
    assert [await expire(book, NOW + 1000, limit=2) for _ in range(4)] == [2, 2, 1, 0]


async def test_ended_runs_are_deleted_with_all_they_have(book: Book) -> None:
    for run_id in ("run_1", "run_2"):
        await book.start(run_id, attributes={"a": "b"})
        await book.append(run_id, write.step_created(), write.run_completed(), request_id=f"req-{run_id}")
    deleted = await book.write(lambda tx: retention.delete_runs(tx, ["run_1", "run_1", "run_none"]))
    assert deleted == 1
    assert await book.read(lambda reader: reader.run("run_1")) is None
    assert await log_of(book, "run_1") == []
    assert await book.read(lambda reader: reader.meta(retention.DELETED_POSITION)) == "4"
    await book.refused("RUN_NOT_FOUND", "run_1", write.step_created(), request_id="req-run_1")


async def test_listeners_hear_of_a_deleted_run(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.run_completed())
    notes: list[object] = []
    told = asyncio.Event()

    def listen(batch: Iterable[object]) -> None:
        notes.extend(batch)
        told.set()

    book.engine.listen(listen)
    await book.write(lambda tx: retention.delete_runs(tx, ["run_1"]))
    await asyncio.wait_for(told.wait(), 5)
    assert notes == [DeletedNote("run_1")]


async def test_an_open_run_refuses_the_whole_deletion(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.run_completed())
    await book.start("run_2")
    with pytest.raises(Refusal) as caught:
        await book.write(lambda tx: retention.delete_runs(tx, ["run_1", "run_2"]))
    assert caught.value.reason == "ILLEGAL_TRANSITION"
    assert await book.read(lambda reader: reader.run("run_1")) is not None
