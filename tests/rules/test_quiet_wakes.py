"""Consumers are told of a wake message only when they could get it: nobody looks at the queue in vain."""

from __future__ import annotations

import asyncio

from store_service.engines.contract import Note, QueueNote
from store_service.rules import leases, queue
from tests.rules import book as write
from tests.rules.book import NOW, Book


async def queue_notes(book: Book, act: object) -> list[QueueNote]:
    """Do something and return the queue notes of its commit."""
    notes: list[Note] = []
    told = asyncio.Event()

    def listen(batch: list[Note]) -> None:
        notes.extend(batch)
        told.set()

    stop = book.engine.listen(listen)
    await act()  # type: ignore[operator]
    await asyncio.wait_for(told.wait(), 5)
    stop()
    return [note for note in notes if isinstance(note, QueueNote)]


async def test_a_wake_message_leased_at_its_birth_is_told_for_the_end_of_its_lease_only(book: Book) -> None:
    async def create() -> None:
        answer = await book.append("run_1", write.run_created(wake_queue="runs"), lease_wake_ms=5_000)
        assert answer.wake_lease is not None
        assert answer.wake_lease.message.group == "run_1"

    assert await queue_notes(book, create) == [QueueNote("runs", NOW + 5_000)]


async def test_a_wake_message_that_is_not_due_is_not_leased_but_told(book: Book) -> None:
    async def create() -> None:
        later = write.run_created(wake_queue="runs")
        later.run_created.start_time.FromMilliseconds(NOW + 60_000)
        assert (await book.append("run_1", later, lease_wake_ms=5_000)).wake_lease is None

    assert await queue_notes(book, create) == [QueueNote("runs", NOW + 60_000)]


async def test_a_fact_for_a_held_run_is_told_when_the_lease_ends_not_before(book: Book) -> None:
    created = await book.append("run_1", write.run_created(wake_queue="runs"), lease_wake_ms=5_000)
    assert created.wake_lease is not None
    receipt = created.wake_lease.receipt
    await book.append("run_1", write.run_started(), write.hook_created(token="t"), held_receipts=[receipt])

    assert await queue_notes(book, lambda: book.append("run_1", write.hook_received())) == []
    released = await queue_notes(book, lambda: book.write(lambda tx: leases.ack_many(tx, [receipt], NOW)))
    assert released == [QueueNote("runs", 0)]
    [message] = await book.write(lambda tx: queue.claim(tx, ["runs"], 10, 5_000, NOW))
    assert message.message.group == "run_1"
